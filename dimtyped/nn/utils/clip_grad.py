"""`torch.nn.utils.clip_grad` under the name `dimtyped.nn.utils.clip_grad`."""

import typing as _typing

from dimtyped.nn.submodules import mirror as _mirror

if _typing.TYPE_CHECKING:
    from torch.nn.utils.clip_grad import *  # pyright: ignore[reportWildcardImportFromLibrary]  # noqa: F403  # all of it
else:
    _mirror(__name__)
