"""`torch.nn.utils` under the name `dimtyped.nn.utils`."""

import typing as _typing

from dimtyped.nn.submodules import mirror as _mirror

if _typing.TYPE_CHECKING:
    from torch.nn.utils import *  # pyright: ignore[reportWildcardImportFromLibrary]  # noqa: F403  # all of it

    from dimtyped.nn.utils import (
        clip_grad as clip_grad,
        parametrizations as parametrizations,
        parametrize as parametrize,
        prune as prune,
        rnn as rnn,
        stateless as stateless,
    )
else:
    _mirror(__name__)
