"""Code as a user writes it: the static checkers read it, nothing runs it."""

from typing import assert_type

from dimtyped import DeclarationError, Dim, DimSize, configure, dims


def width(hidden: DimSize, directions: DimSize | None = None) -> int:
    return hidden * (directions or 1)


vocab, embed = dims(vocab=10_000, embed=128)
hidden = Dim("hidden", 256)

assert_type(embed, Dim)
assert_type(hidden.name, str)
assert_type(hidden.size, int)
assert_type(2 * hidden, int)
assert_type(width(256, hidden), int)

try:
    configure("off")
except DeclarationError as error:
    assert_type(error.where, str)
    assert_type(error.to_dict(), dict[str, object])
