"""What several tests here share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.helpers.tied_models import (
    WAYS,
    ByAssignment,
    ByDecoder,
    ByTie,
)

Way = Callable[[], torch.nn.Module]


every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


three_kinds = pytest.mark.parametrize("way", [ByDecoder, ByTie, ByAssignment], ids=lambda way: way.__name__)
