"""`torch.nn.utils.prune` under the name `dimtyped.nn.utils.prune`."""

import typing as _typing

from dimtyped.nn.submodules import mirror as _mirror

if _typing.TYPE_CHECKING:
    from torch.nn.utils.prune import *  # pyright: ignore[reportWildcardImportFromLibrary]  # noqa: F403  # all of it
else:
    _mirror(__name__)
