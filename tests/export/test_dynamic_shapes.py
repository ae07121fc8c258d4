"""Dynamic sizes from annotations: the exported model runs at other sizes, and a size that cannot change is named."""

from __future__ import annotations

import io
import shutil
from typing import NamedTuple

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.export import Dim, export

from dimtyped import DeclarationError, DimensionError, DimSize, dynamic_shapes, nn, typed
from dimtyped.export import mark_dynamic
from dimtyped.runtime.config import mode
from tests.export.models import GPT, Biased, Images, Labelled, Seq2Seq, tokens

Batched = Float[Tensor, "batch seq"]


def names(shapes):
    """The dims as text, nested as they are."""
    if isinstance(shapes, dict):
        return {key: names(value) for key, value in shapes.items()}
    if isinstance(shapes, tuple | list):
        return type(shapes)(*map(names, shapes)) if hasattr(shapes, "_fields") else type(shapes)(map(names, shapes))
    return shapes if shapes is None else getattr(shapes, "__name__", str(shapes))


@pytest.mark.parametrize(
    ("model", "example", "others", "ranges"),
    [
        pytest.param(GPT(20, 16, 8), (tokens(3, 6),), [(tokens(5, 9),), (tokens(2, 16),)], {"seq": (2, 16)}, id="gpt"),
        pytest.param(
            Images(3, 4, 5), (torch.randn(3, 3, 8, 6),), [(torch.randn(2, 3, 5, 9),)], None, id="convolutions"
        ),
        # torch.export unrolls recurrent layers: their length is static
        pytest.param(
            Seq2Seq(20, 8, 6),
            (tokens(3, 4), tokens(3, 5)),
            [(tokens(7, 4), tokens(7, 5))],
            {"source": (4, 4), "target": (5, 5)},
            id="seq2seq",
            marks=pytest.mark.filterwarnings("ignore:The tensor attributes"),
        ),
    ],
)
def test_an_exported_model_is_saved_loaded_and_run_at_other_sizes(model, example, others, ranges):
    model = model.eval()
    program = export(model, example, dynamic_shapes=dynamic_shapes(model, *example, ranges=ranges))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for inputs in (example, *others):
        torch.testing.assert_close(loaded(*inputs), model(*inputs), rtol=1e-4, atol=1e-5)


def test_a_name_is_one_dim_everywhere_and_a_declared_one_is_static():
    class Net(nn.Module):
        def __init__(self, embed: DimSize):
            super().__init__()
            self.linear = nn.Linear(embed, embed)

        def forward(
            self,
            x: Float[Tensor, "batch seq embed"],
            pair: tuple[Float[Tensor, "batch 2*seq"], Float[Tensor, "batch+1 _ 4"]],
            mask: Float[Tensor, "#batch seq"] | None = None,
            *more: Float[Tensor, "*shape embed"],
            **named: Float[Tensor, "... seq"],
        ) -> Float[Tensor, "batch seq embed"]:
            return self.linear(x)

    x, pair = torch.ones(3, 5, 4), (torch.ones(3, 10), torch.ones(4, 7, 4))
    shapes = dynamic_shapes(
        Net(4), x, pair, torch.ones(1, 5), torch.ones(2, 6, 4), last=torch.ones(5), flag=torch.ones(2, 5)
    )
    assert names(shapes) == {
        "x": {0: "batch", 1: "seq"},
        "pair": ({0: "batch", 1: "2*seq"}, {0: "batch + 1", 1: str(Dim.AUTO)}),
        "mask": {1: "seq"},
        "more": ({0: "shape_0", 1: "shape_1"},),
        "named": {"last": {0: "seq"}, "flag": {0: str(Dim.AUTO), 1: "seq"}},
    }
    assert shapes["x"][0] is shapes["pair"][0][0]


@pytest.mark.skipif(mode() == "reference", reason="jaxtyping evaluates an expression as text, which fixes its sizes")
def test_derived_sizes_export():
    class Joined(nn.Module):
        def forward(self, a: Batched, b: Float[Tensor, "batch 2*seq"]) -> Float[Tensor, "batch 3*seq"]:
            return torch.cat([a, b], 1)

    example = torch.ones(3, 4), torch.ones(3, 8)
    program = export(Joined(), example, dynamic_shapes=dynamic_shapes(Joined(), *example, ranges={"seq": (2, 64)}))
    assert program.module()(torch.ones(2, 5), torch.ones(2, 10)).shape == (2, 15)


def test_containers_keyword_arguments_and_plain_values():
    class Pair(NamedTuple):
        left: Batched
        right: Batched

    @typed
    def call(
        pair: Pair, xs: list[Batched], table: dict[str, Batched], plain: Tensor, scale: float, flag: bool = True
    ) -> None:
        return None

    call.__annotations__["pair"] = Pair
    one = torch.ones(3, 4)
    two = {0: "batch", 1: "seq"}
    shapes = dynamic_shapes(
        call, Pair(one, one.clone()), [one.clone()], {"a": one.clone()}, plain=one.clone(), scale=2.0
    )
    assert names(shapes) == {
        "pair": Pair(two, two), "xs": [two], "table": {"a": two}, "plain": {}, "scale": None
    }  # fmt: skip


def test_a_dataclass_that_was_registered_is_an_input():
    torch.export.register_dataclass(Labelled)
    example = Labelled(torch.ones(3, 4), torch.ones(3))
    shapes = dynamic_shapes(Biased(), example)
    assert names(shapes) == {"given": [{0: "batch", 1: "seq"}, {0: "batch"}]}
    program = export(Biased(), (example,), dynamic_shapes=shapes)
    assert program.module()(Labelled(torch.ones(5, 7), torch.ones(5))).tolist() == [8.0] * 5


def test_one_tensor_given_several_times_has_each_annotation_of_its_own():
    square = torch.ones(3, 3)

    @typed
    def product(a: Float[Tensor, "rows inner"], pair: tuple[Float[Tensor, "inner columns"], Batched], other: Tensor):
        return a @ pair[0], pair[1], other

    shapes = dynamic_shapes(product, square, (square, square), square)
    assert names(shapes) == {
        "a": {0: "rows", 1: "inner"},
        "pair": ({0: "inner", 1: "columns"}, {0: "batch", 1: "seq"}),
        "other": {},
    }


@pytest.mark.slow
@pytest.mark.any_engine
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # torch's own
@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs a C++ compiler")
def test_a_compiled_package_runs_at_other_sizes(tmp_path):
    model, example = Images(3, 4, 5).eval(), (torch.randn(3, 3, 8, 6),)
    program = export(model, example, dynamic_shapes=dynamic_shapes(model, *example))
    package = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
    other = torch.randn(2, 3, 5, 9)
    with torch.no_grad():
        torch.testing.assert_close(
            torch._inductor.aoti_load_package(package)(other), model(other), rtol=1e-4, atol=1e-5
        )


class Ten(nn.Module):
    """Its view has a length written into it."""

    def __init__(self, embed: DimSize):
        super().__init__()
        self.down = nn.Linear(10 * embed, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch embed"]:
        return self.down(x.reshape(x.shape[0], 10 * x.shape[2]))


def test_a_name_that_the_code_fixes_is_told_with_its_line():
    with pytest.raises(DeclarationError, match="`seq` cannot be dynamic") as caught:
        dynamic_shapes(Ten(4), torch.ones(3, 10, 4))
    text = str(caught.value)
    assert "it runs only with seq=10" in text
    assert "test_dynamic_shapes.py" in text
    assert "`x.reshape(x.shape[0], 10 * x.shape[2])`" in text
    assert "ranges={'seq': (10, 10)}" in text
    example = (torch.ones(3, 10, 4),)
    shapes = dynamic_shapes(Ten(4), *example, ranges={"seq": (10, 10)})
    assert export(Ten(4), example, dynamic_shapes=shapes).module()(torch.ones(7, 10, 4)).shape == (7, 4)


@pytest.mark.parametrize(
    ("ranges", "text"),
    [
        ({"bacth": (2, 9)}, "the range of `bacth`: no annotation of the call has this name\n  Write `batch`."),
        (
            {"width": (2, 9)},
            "no annotation of the call has this name\n  Give a range for one of these: `batch`, `seq`.",
        ),
        ({"embed": (2, 9)}, "the range of `embed`: the module declares it, so its size never changes"),
        ({"seq": (9, 2)}, r"(9, 2) is not a range: 9 is more than 2"),
        ({"seq": 9}, "9 is not a range\n  Give the smallest and the largest size: (1, 2048)."),
        ({"seq": (2, 9)}, "it is 10 in the example, outside (2, 9)"),
        ({"seq": range(2, 9)}, "it is 10 in the example, outside range(2, 9)"),
    ],
)
def test_a_range_that_cannot_be_is_refused(ranges, text):
    with pytest.raises(DeclarationError) as caught:
        dynamic_shapes(Ten(4), torch.ones(3, 10, 4), ranges=ranges)
    assert text in str(caught.value)


def test_a_size_of_one_in_the_example_is_refused():
    with pytest.raises(
        DeclarationError, match="`batch` is 1 in the example, but torch treats sizes of 0 and 1 as fixed"
    ):
        dynamic_shapes(Ten(4), torch.ones(1, 10, 4))


def test_an_example_that_does_not_fit_and_a_model_without_annotations():
    with pytest.raises(DimensionError, match="embed is 5, must be 4"):
        dynamic_shapes(Ten(4), torch.ones(3, 10, 5))
    with pytest.raises(DeclarationError, match=r"Linear\.forward has no annotations that are checked"):
        dynamic_shapes(torch.nn.Linear(2, 3), torch.ones(3, 2))
    with pytest.raises(TypeError):
        dynamic_shapes(Ten(4))


class TestMarkDynamic:
    def compiles(self, model, first, others, **ranges):
        """The number of compilations of a model that is called with inputs of several sizes."""
        count = 0

        def backend(graph, _):
            nonlocal count
            count += 1
            return graph

        torch._dynamo.reset()
        compiled = torch.compile(model, backend=backend, fullgraph=True)
        mark_dynamic(model, *first, **ranges)
        for inputs in (first, *others):
            torch.testing.assert_close(compiled(*inputs), model(*inputs))
        return count

    def test_other_sizes_do_not_recompile(self):
        model = GPT(20, 16, 8)
        assert self.compiles(model, (tokens(3, 6),), [(tokens(5, 9),), (tokens(2, 16),)], ranges={"seq": (2, 16)}) == 1

    def test_a_static_name_does(self):
        model, example = Images(3, 4, 5).eval(), torch.randn(3, 3, 8, 6)
        others = [(torch.randn(4, 3, 8, 6),), (torch.randn(2, 3, 9, 6),)]
        assert self.compiles(model, (example,), others, ranges={"height": (8, 8)}) == 2
