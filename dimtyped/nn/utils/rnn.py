"""`torch.nn.utils.rnn` under the name `dimtyped.nn.utils.rnn`."""

import typing as _typing

from dimtyped.nn.submodules import mirror as _mirror

if _typing.TYPE_CHECKING:
    from torch.nn.utils.rnn import *  # pyright: ignore[reportWildcardImportFromLibrary]  # noqa: F403  # all of it
else:
    _mirror(__name__)
