"""The algebra of axes: each axis as a product of dimensions.

An axis is a product of factors, outermost first. A factor is a piece of a dimension: `size` indices that are `stride` apart.
A whole dimension is one factor of stride 1. Everything here is pure: it knows sizes and dimensions, but no tensors.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Dimension:
    """One size of a run: bound by an annotation, declared by a layer, or anonymous.

    A dimension is compared by identity: two dimensions of equal size are different.

    Args:
        size: Its size in this run.
        name: Its name; None for an anonymous one (a literal, a buffer, a slice).
        origin: Where it comes from, in words: "from `tokens` (32, 10)".
        scopes: The scopes that named it. Two dimensions may be the same under two names if no scope has named both.
        is_constant: True if it belongs to a parameter or a buffer, not to the data of a run.

    Attributes:
        names: All its names: scopes may name one dimension differently.
    """

    __slots__ = ("_joined", "is_constant", "names", "origin", "scopes", "size")

    def __init__(
        self,
        size: int,
        name: str | None = None,
        origin: str = "",
        scopes: Iterable[object] = (),
        *,
        is_constant: bool = False,
    ):
        self.size = size
        self.scopes = frozenset(scopes)
        self.is_constant = is_constant
        self.names: tuple[str, ...] = () if name is None else (name,)
        self.origin = origin
        self._joined: Dimension | None = None

    @property
    def root(self) -> "Dimension":
        """The representative of this dimension and of all that were joined with it."""
        found = self
        while found._joined is not None:
            found = found._joined
        return found

    @property
    def name(self) -> str | None:
        """The first of its names; None for an anonymous dimension."""
        names = self.root.names
        return names[0] if names else None

    @property
    def is_named(self) -> bool:
        """True unless it is anonymous."""
        return bool(self.root.names)

    def join(self, other: "Dimension") -> None:
        """Makes this dimension and another the same, with the names of both; the sizes must agree."""
        mine, theirs = self.root, other.root
        if mine is theirs:
            return
        if mine.size != theirs.size:
            raise ValueError(f"{mine!r} and {theirs!r} have different sizes: they cannot be one dimension")
        mine.names += tuple(name for name in theirs.names if name not in mine.names)
        mine.origin = mine.origin or theirs.origin
        mine.scopes |= theirs.scopes
        theirs._joined = mine

    def may_be(self, other: "Dimension") -> bool:
        """True if both are named and no scope has named both, so that they may be the same."""
        mine, theirs = self.root, other.root
        return bool(mine.scopes and theirs.scopes) and mine.scopes.isdisjoint(theirs.scopes)

    def __repr__(self) -> str:
        return f"{self.name or '_'}={self.size}"


class Factor(NamedTuple):
    """A piece of a dimension: `size` indices, `stride` apart."""

    dimension: Dimension
    stride: int
    size: int

    @property
    def is_whole(self) -> bool:
        """True if it is the whole dimension."""
        return self.stride == 1 and self.size == self.dimension.size

    @property
    def is_named(self) -> bool:
        """True if its dimension has a name."""
        return self.dimension.is_named

    def __str__(self) -> str:
        name = self.dimension.name
        if name is None:
            return str(self.size)
        outer = f"{name}//{self.stride}" if self.stride > 1 else name
        return outer if self.stride * self.size == self.dimension.size else f"{outer}%{self.size}"


class One(Enum):
    """The origin of an axis of size 1, which has no factors."""

    ANY = "a size that is 1 in this run"
    INSERTED = "unsqueeze or an index of None"
    VIEWED = "a view"
    KEPT = "keepdim"
    WEIGHT = "a parameter of size 1"

    @property
    def is_fixed(self) -> bool:
        """True if the axis has size 1 in every run."""
        return self in (One.INSERTED, One.KEPT, One.WEIGHT)


@dataclass(frozen=True, slots=True)
class Axis:
    """A product of factors, outermost first, as `axis_of`, `product` and `reshape` make it: canonical.

    Args:
        factors: Its factors. None of them has size 1, and no two neighbors continue one another.
        one: Where it comes from, if its size is 1.
    """

    factors: tuple[Factor, ...] = ()
    one: One = field(default=One.ANY, compare=False)

    @property
    def size(self) -> int:
        """The number of indices along the axis."""
        factors = self.factors
        return factors[0].size if len(factors) == 1 else math.prod(factor.size for factor in factors)

    @property
    def dimension(self) -> Dimension | None:
        """The dimension that the whole axis is; None if it is anything else."""
        if len(self.factors) == 1 and self.factors[0].is_whole:
            return self.factors[0].dimension.root
        return None

    @property
    def is_named(self) -> bool:
        """True if each of its factors has a name, and there is one."""
        return bool(self.factors) and all(factor.is_named for factor in self.factors)

    @property
    def has_name(self) -> bool:
        """True if one of its factors has a name."""
        return any(factor.is_named for factor in self.factors)

    @property
    def is_constant(self) -> bool:
        """True if all of it belongs to parameters and buffers, not to the data of a run."""
        return bool(self.factors) and all(factor.dimension.is_constant for factor in self.factors)

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The named dimensions that it has pieces of, each once."""
        return tuple(dict.fromkeys(factor.dimension.root for factor in self.factors if factor.is_named))

    def __str__(self) -> str:
        return "*".join(map(str, self.factors)) or "1"


Axes = tuple[Axis, ...]
SIZE_ONE, INSERTED, VIEWED, KEPT, OF_WEIGHT = (Axis((), one) for one in One)


def axis_of(dimension: Dimension, one: One = One.ANY) -> Axis:
    """The axis that is a dimension, whole.

    Example:
        >>> str(axis_of(Dimension(10, "seq")))
        'seq'
    """
    return Axis(() if dimension.size == 1 else (Factor(dimension, 1, dimension.size),), one)


def anonymous(size: int, origin: str = "", one: One = One.ANY) -> Axis:
    """An axis of a new dimension without a name."""
    return axis_of(Dimension(size, None, origin), one)


def constant(sizes: Iterable[int], origin: str = "") -> Axes:
    """The axes of a parameter or a buffer without names: an axis of size 1 has that size in every run."""
    return tuple(axis_of(Dimension(size, None, origin, is_constant=True), One.WEIGHT) for size in sizes)


def _coalesced(factors: Iterable[Factor]) -> tuple[Factor, ...]:
    found: list[Factor] = []
    for factor in factors:
        if factor.size == 1:
            continue
        last = found[-1] if found else None
        if last and last.dimension.root is factor.dimension.root and last.stride == factor.stride * factor.size:
            found[-1] = Factor(last.dimension, factor.stride, last.size * factor.size)
        else:
            found.append(factor)
    return tuple(found)


def product(axes: Iterable[Axis]) -> Axis:
    """The axis that several axes make, merged in order, the first outermost.

    Example:
        >>> embed = axis_of(Dimension(64, "embed"))
        >>> heads, each = split(embed, (4, 16))
        >>> str(heads), str(each), str(product([heads, each])), str(product([each, heads]))
        ('embed//16', 'embed%16', 'embed', 'embed%16*embed//16')
    """
    return Axis(_coalesced(factor for axis in axes for factor in axis.factors))


def split(axis: Axis, sizes: Sequence[int]) -> Axes:
    """The axes that an axis is split into, as by `unflatten`; anonymous if it cannot be split evenly."""
    return reshape((axis,), sizes).axes


class Cut(NamedTuple):
    """A cut of a reshape across axes: the factors that it splits unevenly, and the range of resulting axes."""

    factors: tuple[Factor, ...]
    first: int
    last: int


class Reshaped(NamedTuple):
    """The result of a reshape: the new axes, and its cuts across the old ones."""

    axes: Axes
    cuts: tuple[Cut, ...]


class _Reshaping:
    """A reshape in progress: the factors that are left, outermost first, and the axes made of them so far."""

    def __init__(self, axes: Iterable[Axis], sizes: Sequence[int]):
        self.left = [factor for axis in axes for factor in axis.factors][::-1]
        self.sizes = sizes
        self.made: list[Axis] = []
        self.cuts: list[Cut] = []

    def run(self) -> Reshaped:
        while len(self.made) < len(self.sizes):
            self._make_axis()
        return Reshaped(tuple(self.made), tuple(self.cuts))

    def _make_axis(self) -> None:
        missing, taken = self.sizes[len(self.made)], list[Factor]()
        while missing > 1:
            factor = self.left.pop()
            if missing % factor.size == 0:
                taken.append(factor)
                missing //= factor.size
            elif factor.size % missing == 0:
                rest = factor.size // missing
                taken.append(Factor(factor.dimension, factor.stride * rest, missing))
                self.left.append(Factor(factor.dimension, factor.stride, rest))
                missing = 1
            else:
                self._cut([*taken, factor])
                return
        self.made.append(Axis(_coalesced(taken)))

    def _cut(self, factors: list[Factor]) -> None:
        """Makes axes anonymous up to the next common boundary of old and new axes."""
        first = last = len(self.made)
        old, new = math.prod(factor.size for factor in factors), self.sizes[first]
        while old != new:
            if old < new:
                factors.append(self.left.pop())
                old *= factors[-1].size
            else:
                last += 1
                new *= self.sizes[last]
        self.cuts.append(Cut(tuple(factors), first, last))
        self.made += [anonymous(size, "a reshape across axes") for size in self.sizes[first : last + 1]]


def reshape(axes: Sequence[Axis], sizes: Sequence[int]) -> Reshaped:
    """The axes that a reshape to `sizes` makes, and its cuts across the old ones.

    The product of the sizes must be that of the axes, as torch ensures.

    Example:
        >>> batch, seq = axis_of(Dimension(4, "batch")), axis_of(Dimension(6, "seq"))
        >>> [str(axis) for axis in reshape((batch, seq), (2, 12)).axes]
        ['batch//2', 'batch%2*seq']
        >>> [str(factor) for factor in reshape((batch, seq), (3, 8)).cuts[0].factors]
        ['batch', 'seq']
    """
    sizes = tuple(sizes)
    old = tuple(axis.size for axis in axes)
    if old == sizes:
        return Reshaped(tuple(axes), ())
    if math.prod(old) != math.prod(sizes):
        raise ValueError(f"a reshape of {old} to {sizes} changes the number of items")
    if 0 in sizes:
        return Reshaped(tuple(map(anonymous, sizes)), ())
    made, cuts = _Reshaping(axes, sizes).run()
    ones = [axis.one for axis in axes if axis.size == 1]
    if len(ones) != sizes.count(1):
        ones = [One.VIEWED] * sizes.count(1)
    remaining = iter(ones)
    return Reshaped(tuple(axis if axis.factors else Axis((), next(remaining)) for axis in made), cuts)


def permute(axes: Sequence[Axis], order: Iterable[int]) -> Axes:
    """The axes in another order, as `torch.permute` takes it."""
    return tuple(axes[index] for index in order)


def expand(axes: Sequence[Axis], sizes: Sequence[int]) -> Axes:
    """The axes broadcast to `sizes`, aligned at the last: an axis that was 1 or missing becomes anonymous."""
    missing = len(sizes) - len(axes)
    padded = (*(SIZE_ONE for _ in range(missing)), *axes)
    return tuple(
        axis if axis.size == size else anonymous(size, "expand") for axis, size in zip(padded, sizes, strict=True)
    )


def slice_of(axis: Axis, start: int, length: int, step: int = 1) -> Axis:
    """A piece of an axis: its inner factors if the slice is one whole cycle of them, anonymous otherwise.

    Example:
        >>> both = product([anonymous(2), axis_of(Dimension(8, "hidden"))])
        >>> str(slice_of(both, 8, 8)), str(slice_of(both, 4, 8))
        ('hidden', '8')
    """
    if start == 0 and length == axis.size and step == 1:
        return axis
    inner = 1
    for index in range(len(axis.factors) - 1, 0, -1):
        inner *= axis.factors[index].size
        if inner == length and start % length == 0 and step == 1:
            return Axis(axis.factors[index:])
    dimension = axis.dimension
    if dimension is not None and dimension.is_constant and length > 1:
        return axis_of(Cutting(length, dimension))
    return anonymous(length, f"a slice of {axis}" if axis.has_name else "a slice")


class Cutting(Dimension):
    """A slice of a parameter or a buffer: `self.positions[:length]`."""

    __slots__ = ()

    def __init__(self, size: int, whole: Dimension):
        super().__init__(size, None, f"a slice of {whole.origin or 'a parameter'}")


class Verdict(Enum):
    """The verdict on two axes of one size that a call treats as equal."""

    SAME = "the same dimensions"
    UNSURE = "nothing is known"
    CLASH = "different dimensions"


def _places(axis: Axis) -> dict[Dimension, tuple[int, int] | None]:
    """Maps each dimension to the stride of its piece and the piece's stride in the axis; to None for several pieces."""
    found: dict[Dimension, tuple[int, int] | None] = {}
    inner = 1
    for factor in reversed(axis.factors):
        root = factor.dimension.root
        found[root] = None if root in found else (factor.stride, inner)
        inner *= factor.size
    return found


def same(first: Axis, second: Axis) -> bool:
    """True if two axes are made of the same pieces of the same dimensions, in the same order."""
    if first is second:
        return True
    return len(first.factors) == len(second.factors) and all(
        one.dimension.root is other.dimension.root and one.stride == other.stride and one.size == other.size
        for one, other in zip(first.factors, second.factors, strict=True)
    )


def compare(first: Axis, second: Axis) -> Verdict:
    """Compares two axes of one size that a call treats as equal.

    They clash if they are two whole dimensions, or if a dimension has different places in them. An axis with an anonymous
    factor agrees with everything. A piece of a dimension may stand for a name that is not known (`heads` for a piece of
    `embed`), so it agrees with other dimensions.

    Example:
        >>> batch, seq = axis_of(Dimension(4, "batch")), axis_of(Dimension(4, "seq"))
        >>> compare(batch, seq).name, compare(product([batch, seq]), product([seq, batch])).name
        ('CLASH', 'CLASH')
        >>> compare(batch, anonymous(4)).name
        'UNSURE'
    """
    if same(first, second):
        return Verdict.SAME
    if not (first.is_named and second.is_named) or first.size != second.size:
        return Verdict.UNSURE
    if first.dimension and second.dimension:
        return Verdict.UNSURE if first.dimension.may_be(second.dimension) else Verdict.CLASH
    mine, theirs = _places(first), _places(second)
    if len(mine) == len(theirs) == 1:
        return Verdict.UNSURE
    for dimension in mine.keys() & theirs.keys():
        one, other = mine[dimension], theirs[dimension]
        if one and other and one[0] * other[1] != other[0] * one[1]:
            return Verdict.CLASH
    return Verdict.UNSURE


def better(first: Axis, second: Axis) -> Axis:
    """The more specific of two axes of one size: names rather than none, pieces rather than another dimension."""
    if first.is_named != second.is_named:
        return first if first.is_named else second
    if first.has_name != second.has_name:
        return first if first.has_name else second
    if not first.factors:
        return first if second.one is not One.ANY else second
    return second if first.dimension and second.is_named and not second.dimension else first
