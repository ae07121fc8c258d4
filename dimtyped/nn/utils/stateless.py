"""`torch.nn.utils.stateless` under the name `dimtyped.nn.utils.stateless`."""

import typing as _typing

from dimtyped.nn.submodules import mirror as _mirror

if _typing.TYPE_CHECKING:
    from torch.nn.utils.stateless import *  # pyright: ignore[reportWildcardImportFromLibrary]  # noqa: F403  # all of it
else:
    _mirror(__name__)
