"""`torch.nn.utils.rnn` under the name `dimtyped.nn.utils.rnn`, its `pack_padded_sequence` checked."""

import typing as _typing

from dimtyped.nn.packing import pack_padded_sequence as pack_padded_sequence
from dimtyped.nn.submodules import mirror as _mirror

if _typing.TYPE_CHECKING:
    from torch.nn.utils.rnn import (
        PackedSequence as PackedSequence,
        invert_permutation as invert_permutation,
        pack_sequence as pack_sequence,
        pad_packed_sequence as pad_packed_sequence,
        pad_sequence as pad_sequence,
        unpack_sequence as unpack_sequence,
        unpad_sequence as unpad_sequence,
    )
else:
    _mirror(__name__, pack_padded_sequence=pack_padded_sequence)
