"""The algebra of axes: what it promises, over drawn axes, and checked against torch, which moves the items themselves."""

import math

import pytest
import torch
from hypothesis import assume, given, strategies as st

from dimtyped.flow import Axis, Dimension, Factor, Verdict, anonymous, axis_of, compare, product, reshape, same, split
from dimtyped.flow.axes import One, better, expand, permute, slice_of

SMALL = st.sampled_from([1, 2, 3, 4, 6, 8, 12])


def whole(size, name="x"):
    return axis_of(Dimension(size, name))


@st.composite
def axis_lists(draw, min_size=1):
    sizes = draw(st.lists(SMALL, min_size=min_size, max_size=4))
    return tuple(whole(size, f"d{index}") for index, size in enumerate(sizes))


@st.composite
def factorizations(draw, number):
    found = []
    while number > 1 and len(found) < 3:
        found.append(draw(st.sampled_from([each for each in range(1, number + 1) if number % each == 0])))
        number //= found[-1]
    return (*found, number)


@given(st.data())
def test_split_and_merge_are_inverse(data):
    size = data.draw(SMALL)
    axis = whole(size)
    pieces = split(axis, data.draw(factorizations(size)))
    assert same(product(pieces), axis)
    assert math.prod(piece.size for piece in pieces) == size


@given(axis_lists(), st.data())
def test_a_reshape_conserves_the_factors(axes, data):
    total = math.prod(axis.size for axis in axes)
    made, cuts = reshape(axes, data.draw(factorizations(total)))
    assert math.prod(axis.size for axis in made) == total
    if not cuts:
        assert same(product(made), product(axes))


@given(axis_lists(), st.data())
def test_a_reshape_without_a_cut_can_be_undone(axes, data):
    sizes = tuple(axis.size for axis in axes)
    made, cuts = reshape(axes, data.draw(factorizations(math.prod(sizes))))
    assume(not cuts)
    back, _ = reshape(made, sizes)
    assert all(map(same, back, axes))


@given(axis_lists(), st.data())
def test_a_merged_product_is_canonical(axes, data):
    merged = product(axes)
    assert same(product([merged]), merged)
    assert all(factor.size != 1 for factor in merged.factors)
    for outer, inner in zip(merged.factors, merged.factors[1:], strict=False):
        assert outer.dimension is not inner.dimension or outer.stride != inner.stride * inner.size
    cut = data.draw(st.integers(0, len(axes)))
    assert same(product([product(axes[:cut]), product(axes[cut:])]), merged)


def coordinates(axes, dimension):
    """For each item of a tensor with these axes: the index along `dimension`, as its factors say it."""
    found = torch.zeros([axis.size for axis in axes], dtype=torch.long)
    for place, axis in enumerate(axes):
        index = torch.arange(axis.size)
        inner = 1
        along = torch.zeros_like(index)
        for factor in reversed(axis.factors):
            if factor.dimension is dimension:
                along += (index // inner % factor.size) * factor.stride
            inner *= factor.size
        found += along.reshape([-1 if dim == place else 1 for dim in range(len(axes))])
    return found


@given(axis_lists(), st.data())
def test_the_factors_are_where_torch_moves_the_items(axes, data):
    order = data.draw(st.permutations(range(len(axes))))
    sizes = data.draw(factorizations(math.prod(axis.size for axis in axes)))
    made, cuts = reshape(permute(axes, order), sizes)
    assume(not cuts)
    for axis in axes:
        for factor in axis.factors:
            dimension = factor.dimension
            moved = coordinates(axes, dimension).permute(*order).reshape(sizes)
            assert torch.equal(coordinates(made, dimension), moved)


@given(axis_lists(min_size=2), st.data())
def test_a_cut_gives_up_on_names_and_tells_what_it_cut(axes, data):
    made, cuts = reshape(axes, data.draw(factorizations(math.prod(axis.size for axis in axes))))
    for cut in cuts:
        assert len(cut.factors) > 1
        assert not any(axis.has_name for axis in made[cut.first : cut.last + 1])


@given(axis_lists(), st.data())
def test_a_slice_of_one_turn_is_the_inner_factors(axes, data):
    merged = product(axes)
    assume(merged.size > 1)
    length = data.draw(st.integers(1, merged.size))
    start = data.draw(st.integers(0, merged.size - length))
    made = slice_of(merged, start, length)
    assert made.size == length
    if made.has_name:
        for factor in merged.factors:
            items = coordinates((merged,), factor.dimension)[start : start + length]
            if factor in made.factors:
                assert torch.equal(coordinates((made,), factor.dimension), items)


def test_heads_are_pieces_of_embed():
    batch, seq, embed = whole(2, "batch"), whole(7, "seq"), whole(12, "embed")
    split_heads, _ = reshape((batch, seq, embed), (2, 7, 3, 4))
    assert list(map(str, split_heads)) == ["batch", "seq", "embed//4", "embed%4"]
    right = permute(permute(split_heads, (0, 2, 1, 3)), (0, 2, 1, 3))
    assert list(map(str, reshape(right, (2, 7, 12)).axes)) == ["batch", "seq", "embed"]
    wrong = reshape(permute(split_heads, (0, 2, 1, 3)), (2, 7, 12))
    assert [[str(factor) for factor in cut.factors] for cut in wrong.cuts] == [["embed//4", "seq", "embed%4"]]


def test_text_of_a_piece():
    outer, middle, inner = split(whole(24, "embed"), (2, 3, 4))
    assert (str(outer), str(middle), str(inner)) == ("embed//12", "embed//4%3", "embed%4")
    assert str(product([whole(2, "batch"), anonymous(3)])) == "batch*3"


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (lambda d: d["batch"], lambda d: d["batch"], Verdict.SAME),
        (lambda d: d["batch"], lambda d: d["seq"], Verdict.CLASH),
        (lambda d: d["batch"], lambda d: anonymous(4), Verdict.UNSURE),
        (lambda d: product([d["batch"], d["seq"]]), lambda d: product([d["seq"], d["batch"]]), Verdict.CLASH),
        (lambda d: product([d["batch"], anonymous(4)]), lambda d: product([d["seq"], d["batch"]]), Verdict.UNSURE),
        # heads may be declared by name where embed is split: neither is a mistake
        (lambda d: split(d["embed"], (4, 4))[0], lambda d: d["heads"], Verdict.UNSURE),
        (lambda d: product([split(d["embed"], (4, 4))[0], d["width"]]), lambda d: d["embed"], Verdict.UNSURE),
        # a shuffle of channels, and a square of them
        (lambda d: product(split(d["embed"], (2, 8))[::-1]), lambda d: d["embed"], Verdict.UNSURE),
        (lambda d: split(d["embed"], (4, 4))[0], lambda d: split(d["embed"], (4, 4))[1], Verdict.UNSURE),
        # heads joined without a transpose, where the sizes divide
        (lambda d: product([split(d["embed"], (2, 8))[0], split(d["batch"], (2, 2))[0]]), lambda d: d["batch"], Verdict.CLASH),
    ],
)  # fmt: skip
def test_compare(first, second, verdict):
    sizes = {"batch": 4, "seq": 4, "embed": 16, "heads": 4, "width": 4}
    dims = {name: whole(size, name) for name, size in sizes.items()}
    assert compare(first(dims), second(dims)) is verdict
    assert compare(second(dims), first(dims)) is verdict


@given(axis_lists(), axis_lists())
def test_compare_is_symmetric(first, second):
    one, other = product(first), product(second)
    assert compare(one, other) is compare(other, one)


def test_better_prefers_names_and_pieces():
    batch, other = whole(4, "batch"), whole(4, "heads")
    piece = split(whole(16, "embed"), (4, 4))[0]
    assert better(anonymous(4), batch) is batch
    assert better(batch, anonymous(4)) is batch
    assert better(other, piece) is piece
    assert better(product([anonymous(2), anonymous(2)]), batch) is batch


def test_joined_dimensions_are_one():
    embed, hidden = Dimension(8, "embed", "declared by `a`"), Dimension(8, "hidden")
    axis = axis_of(hidden)
    assert compare(axis_of(embed), axis) is Verdict.CLASH
    embed.join(hidden)
    hidden.join(embed)
    assert compare(axis_of(embed), axis) is Verdict.SAME
    assert hidden.root.names == ("embed", "hidden")
    assert hidden.name == "embed"
    with pytest.raises(ValueError, match="embed=8 and seq=4 have different sizes"):
        embed.join(Dimension(4, "seq"))


def test_a_reshape_of_another_number_of_items_is_refused():
    with pytest.raises(ValueError, match=r"a reshape of \(4,\) to \(5,\) changes the number of items"):
        reshape((whole(4),), (5,))


def test_no_items():
    made, cuts = reshape((whole(0), whole(3)), (3, 0))
    assert [axis.size for axis in made] == [3, 0]
    assert not cuts


def test_size_one_is_no_factor():
    assert axis_of(Dimension(1, "batch")) == Axis()
    assert product([whole(1), whole(3)]).size == 3
    (one, _), _ = reshape((whole(3, "seq"),), (1, 3))
    assert one.one is One.VIEWED
    assert not one.one.is_fixed
    assert [axis.size for axis in expand((Axis(), whole(3)), (5, 4, 3))] == [5, 4, 3]


def test_factors_say_if_they_are_whole():
    dimension = Dimension(6, "seq")
    assert Factor(dimension, 1, 6).is_whole
    assert not Factor(dimension, 2, 3).is_whole
