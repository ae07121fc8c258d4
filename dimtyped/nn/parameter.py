"""`torch.nn.parameter` under the name `dimtyped.nn.parameter`."""

import typing as _typing

from dimtyped.nn.submodules import mirror as _mirror

if _typing.TYPE_CHECKING:
    from torch.nn.parameter import *  # pyright: ignore[reportWildcardImportFromLibrary]  # noqa: F403  # all of it
else:
    _mirror(__name__)
