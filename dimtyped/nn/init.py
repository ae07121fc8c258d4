"""`torch.nn.init` under the name `dimtyped.nn.init`."""

import typing as _typing

from dimtyped.nn.submodules import mirror as _mirror

if _typing.TYPE_CHECKING:
    from torch.nn.init import *  # pyright: ignore[reportWildcardImportFromLibrary]  # noqa: F403  # all of it
    from torch.nn.init import (
        _calculate_correct_fan as _calculate_correct_fan,
        _calculate_fan_in_and_fan_out as _calculate_fan_in_and_fan_out,
    )
else:
    _mirror(__name__)
