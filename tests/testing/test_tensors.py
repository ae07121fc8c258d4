"""`tensors`: what is drawn fits, covers what finds bugs, and shrinks."""

import jaxtyping
import pytest
import torch
from hypothesis import find, given, strategies as st
from jaxtyping import AbstractDtype, Bool, Complex, Float, Float32, Int, Shaped, UInt8
from torch import Tensor

from dimtyped import DeclarationError
from dimtyped.testing import tensors

ANNOTATIONS = [
    Float[Tensor, ""],
    Float[Tensor, "batch seq"],
    Float[Tensor, "n n"],
    Float[Tensor, "batch 3 _"],
    Float[Tensor, "... n"],
    Float[Tensor, "*rest n"],
    Float[Tensor, "*#rest n"],
    Float[Tensor, "#n n"],
    Float[Tensor, "n #n"],
    Float[Tensor, "n 2*n n-1 n//2"],
    Float[Tensor, "n m n+m min(n,m)"],
    Float[Tensor, "n m n-m"],
    Float[Tensor, "n n-20"],
    Float[Tensor, "rows=4 n"],
    Int[Tensor, "batch"],
    Bool[Tensor, "batch"],
    Complex[Tensor, "batch"],
    UInt8[Tensor, "batch"],
    Shaped[Tensor, "a b c d"],
    Float[torch.nn.Parameter, "n"],
    Float[Float[Tensor, "*rest"], "n"],
    jaxtyping.Num[Tensor, "n"],
]


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_what_is_drawn_fits(annotation):
    @given(tensors(annotation))
    def check(tensor):
        with jaxtyping.jaxtyped("context"):
            assert isinstance(tensor, annotation)

    check()


@pytest.mark.parametrize(
    ("what", "of"),
    {
        "a side of 1": lambda t: 1 in t.shape,
        "the longest side": lambda t: 6 in t.shape,
        "two sides that differ": lambda t: len(set(t.shape)) == 4,
        "every side of 1": lambda t: t.shape == (1, 1, 1, 1),
        "zeros": lambda t: not t.any(),
        "numbers": lambda t: t.numel() > 1 and len(t.unique()) > 1,
        "negative numbers": lambda t: bool((t < 0).any()),
        "contiguous": lambda t: t.is_contiguous(),
        "not contiguous": lambda t: not t.is_contiguous() and 0 not in t.stride(),
        "expanded": lambda t: 0 in t.stride() and t.shape[0] > 1,
        "channels last": lambda t: (
            t.shape[1] > 1 and not t.is_contiguous() and t.is_contiguous(memory_format=torch.channels_last)
        ),
        "double": lambda t: t.dtype is torch.float64,
        "half": lambda t: t.dtype is torch.float16,
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_draws(what, of):
    find(tensors(Float[Tensor, "a b c d"]), of)


def test_volumes_are_drawn_with_channels_last_too():
    def is_channels_last(tensor):
        is_plain = tensor.is_contiguous() or tensor.shape[1] == 1 or 0 in tensor.stride()
        return not is_plain and tensor.is_contiguous(memory_format=torch.channels_last_3d)

    find(tensors(Float[Tensor, "a b c d e"]), is_channels_last)


def test_it_shrinks_to_sides_of_one_and_zeros():
    smallest = find(tensors(Shaped[Tensor, "a b"]), lambda _: True)
    assert smallest.shape == (1, 1)
    assert smallest.dtype is torch.float32
    assert not smallest.any()
    assert smallest.is_contiguous()


@given(tensors(Float[Tensor, "batch hidden 2*hidden"], sizes={"hidden": 8}))
def test_a_fixed_name_keeps_its_size(tensor):
    assert tensor.shape[1:] == (8, 16)


@given(tensors(Float[Tensor, "a b"], min_side=3, max_side=4))
def test_sides_are_within_the_bounds(tensor):
    assert set(tensor.shape) <= {3, 4}


def test_an_empty_side_is_drawn_only_where_it_is_allowed():
    find(tensors(Float[Tensor, "a b"], allow_empty=True), lambda t: t.shape[0] == 0)

    @given(tensors(Float[Tensor, "a b a//2+1"]))
    def check(tensor):
        assert 0 not in tensor.shape

    check()


@given(tensors(Int[Tensor, "batch vocab"], sizes={"vocab": 3}))
def test_integers_stay_below_the_vocabulary(tensor):
    assert bool((tensor >= 0).all())
    assert bool((tensor < 3).all())


@given(tensors(Float[Tensor, "a b"]))
def test_floats_are_finite(tensor):
    assert bool(tensor.isfinite().all())


@given(tensors(Float32[Tensor, "a"], elements=st.sampled_from([7.0, 9.0])))
def test_elements_are_drawn_where_they_are_given(tensor):
    assert set(tensor.tolist()) <= {7.0, 9.0}


@given(tensors(Int[Tensor, "a"], elements=st.just(300)))
def test_a_dtype_that_does_not_hold_the_elements_is_not_drawn(tensor):
    assert set(tensor.tolist()) == {300}


def test_elements_that_are_no_numbers_are_refused():
    with pytest.raises(DeclarationError, match="elements gives a value that no tensor of torch.float32 can hold"):
        find(tensors(Float32[Tensor, "a"], elements=st.just("text")), lambda _: True)


@given(tensors(Shaped[Tensor, "a"], dtypes=[torch.int16]))
def test_a_dtype_is_one_of_those_given(tensor):
    assert tensor.dtype is torch.int16


class Nothing(AbstractDtype):
    dtypes = ("nothing",)


@pytest.mark.parametrize(
    ("annotation", "options", "text"),
    [
        (Tensor, {}, 'tensors() takes an annotation such as Float[Tensor, "batch seq"], not <class'),
        (Float[object, "a"], {}, "tensors() makes torch tensors, but "),
        (Float[Tensor, "a a-a-1"], {}, "no size of `a` up to 70 makes `a-a-1` a valid size"),
        (Float[Tensor, "a b a-b-b-a-1"], {}, "no sizes up to 6 make `a-b-b-a-1` a valid size"),
        (Float[Tensor, "a n-5"], {"sizes": {"n": 2}}, "no sizes up to 6 make `n-5` a valid size"),
        (
            Float[Tensor, "a b*c"],
            {},
            "the axis `b*c` uses `b`, which is not the name of an axis\n  Give its size: sizes={'b': ...}.",
        ),
        (Float[Tensor, "{self.n}"], {}, "`{self.n}` reads `self`, which is not known when inputs are made"),
        (Float[Tensor, "a=3"], {"sizes": {"a": 4}}, "`a` is fixed twice: 3 by the annotation, `a=3`, 4 by sizes="),
        (Float[Tensor, "a"], {"sizes": {"a": True}}, "sizes: `a` is True, must be an int of at least 0"),
        (Float[Tensor, "a"], {"sizes": {"a": -1}}, "sizes: `a` is -1, must be an int of at least 0"),
        (
            Float[Tensor, "a"],
            {"min_side": 0},
            "min_side is 0, must be an int of at least 1; allow_empty=True draws sides of 0",
        ),
        (Float[Tensor, "a"], {"min_side": 5, "max_side": 2}, "min_side is 5, more than max_side, 2"),
        (Float[Tensor, "a"], {"device": "nowhere"}, "no tensor can be made on device 'nowhere'"),
        (Float[Tensor, "a"], {"device": "meta"}, "a tensor on device 'meta' has no values"),
        (Float[Tensor, "a"], {"dtypes": [torch.int8]}, "admits none of dtypes=[torch.int8]"),
        (Float[Tensor, "a"], {"dtypes": []}, "admits none of dtypes=[]"),
        (Float[Tensor, "a"], {"dtypes": torch.float64}, "must be a list of dtypes\n  Write dtypes=[torch.float64]."),
        (Nothing[Tensor, "a"], {}, "admits no dtype of torch"),
        (jaxtyping.Int4[Tensor, "a"], {}, "admits no dtype of torch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_refused_with_what_to_write(annotation, options, text):
    with pytest.raises(DeclarationError) as caught:
        tensors(annotation, **options)
    assert text in str(caught.value)
