"""`check`: targets of every kind, and each kind of finding."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dimtyped import DimSize, check, nn, typed
from dimtyped.cli.demo.model import Seq2Seq
from tests.flow import check_cases
from tests.flow.check_cases import Attention, Gpt, line_of


def test_a_module_with_inputs_made_from_its_annotations():
    report = check(Gpt(100, 12, 2, 3))
    assert report.ok, str(report)
    assert report.sizes == {"batch": 5, "seq": 7}
    assert not report.unfollowed


def test_a_module_with_given_inputs():
    report = check(Gpt(100, 12, 2, 1), torch.zeros(4, 6, dtype=torch.long))
    assert report.ok
    assert report.sizes == {"batch": 4, "seq": 6}
    assert check(Gpt(100, 12, 2, 1), tokens=torch.zeros(4, 6, dtype=torch.long)).ok


def test_a_class_gets_sizes_that_differ():
    report = check(Gpt, arguments={"blocks": 2})
    assert report.ok, str(report)
    assert report.notes[0] == "made with heads=2, vocab=24, embed=48"


def test_a_class_with_some_sizes_given():
    report = check(Gpt, sizes={"vocab": 50, "embed": 30, "heads": 5, "seq": 9}, arguments={"blocks": 1})
    assert report.ok
    assert report.sizes == {"batch": 7, "seq": 9}


def test_a_factory():
    def make(embed: DimSize, heads: DimSize) -> nn.Module:
        return Attention(embed, heads, transposed=False)

    assert [found.kind for found in check(make).findings] == ["scramble"]
    assert check(lambda: Attention(12, 2), arguments={}).ok


def test_a_typed_function():
    @typed
    def gram(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch batch"]:
        return x @ x.T

    assert check(gram).ok


def test_a_function_that_is_annotated_and_not_typed():
    def norm(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return x.softmax(0)

    assert [found.kind for found in check(norm).findings] == ["mixing"]


def test_a_method():
    model = Seq2Seq(50, 16, 24)
    assert check(model.write, start=1, length=4).ok
    assert check(Seq2Seq).ok


def test_a_plain_module_with_given_inputs():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    report = check(model, torch.ones(2, 3))
    assert report.ok
    assert report.followed["linear"] == 1


def test_heads_joined_without_transpose_are_told_once_at_the_line():
    report = check(Gpt(100, 12, 2, 3, transposed=False))
    [found] = report.findings
    assert found.kind == "scramble"
    assert found.line == line_of(Attention.forward, "o.reshape(")
    assert found.source == "o.reshape(batch, seq, embed)"
    assert found.where == "Attention.forward"
    assert found.times == 3
    assert found.file == check_cases.__file__


class Annotated(nn.Module):
    def __init__(self, hidden: DimSize):
        super().__init__()
        self.layer = nn.Linear(hidden, hidden)
        self.hidden = hidden

    def forward(self, x: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "seq batch hidden"]:
        return self.layer(x)


def test_annotation_at_a_return():
    report = check(Annotated(8), torch.ones(3, 3, 8))
    [found] = report.findings
    assert (found.kind, found.source) == ("annotation", "return self.layer(x)")
    assert found.message.endswith(
        "the result is (batch=3, seq=3, hidden=8), but is annotated "
        'Float[..., "seq batch hidden"]: batch where it says seq and seq where it says batch'
    )
    report = check(Annotated(8))
    [found] = report.findings
    assert (found.kind, found.line) == ("refused", line_of(Annotated.forward, "return self.layer"))
    assert "Annotated.forward: returned" in found.message or "return" in found.message


class Caller(nn.Module):
    def __init__(self, embed: DimSize, seq_first: bool):
        super().__init__()
        self.block = Attention(embed, 2)
        self.seq_first = seq_first

    def forward(self, x: Float[Tensor, "batch embed seq"]) -> Float[Tensor, "batch seq embed"]:
        return self.block(x if self.seq_first else x.mT)


def test_annotation_at_an_argument():
    x = torch.ones(2, 8, 8)
    assert check(Caller(8, seq_first=False), x).ok
    found = check(Caller(8, seq_first=True), x).findings[0]
    assert found.kind == "annotation"
    assert found.line == line_of(Caller.forward, "return self.block")
    assert found.message.endswith(
        '`x` is (batch=2, embed=8, seq=8), but is annotated Float[..., "batch seq embed"]: seq where it says embed'
    )


def test_refused_by_torch_has_the_operands():
    @typed
    def scores(
        q: Float[Tensor, "batch seq dim"], k: Float[Tensor, "batch other dim"]
    ) -> Float[Tensor, "batch seq other"]:
        return q @ k

    [found] = check(scores).findings
    assert found.kind == "refused"
    assert found.source == "q @ k"
    assert found.operands == ("float32 (batch=5, seq=7, dim=11)", "float32 (batch=5, other=13, dim=11)")


def test_a_batch_written_into_the_code():
    @typed
    def flatten(x: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch height*width"]:
        return x.view(32, -1)

    [found] = check(flatten).findings
    assert (found.kind, found.names) == ("fixed", ("batch",))
    assert found.message.startswith("it runs only with batch=32; batch=5 fails")


def test_a_length_written_into_a_buffer_that_the_first_run_does_not_reach():
    class Positions(nn.Module):
        def __init__(self, embed: DimSize):
            super().__init__()
            self.table = torch.nn.Parameter(torch.zeros(8, embed))

        def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
            return x + self.table[: x.shape[1]]

    [found] = check(Positions(6)).findings
    assert found.kind == "fixed"
    assert "it runs with batch=5, seq=7 but not with batch=7, seq=11" in found.message


def test_squeeze_that_takes_the_batch_away():
    @typed
    def mean(x: Float[Tensor, "batch seq 1"]) -> Float[Tensor, "batch seq"]:
        return x.squeeze()

    found = check(mean).findings
    assert [(each.kind, each.names, each.source) for each in found] == [
        ("degenerate", ("batch",), "x.squeeze()"),
        ("degenerate", ("seq",), "x.squeeze()"),
    ]

    @typed
    def right(x: Float[Tensor, "batch seq 1"]) -> Float[Tensor, "batch seq"]:
        return x.squeeze(-1)

    assert check(right).ok


def test_mixing_along_another_name():
    @typed
    def norm(x: Float[Tensor, "sample dim"]) -> Float[Tensor, "sample dim"]:
        return x.softmax(0)

    assert check(norm).ok
    assert [found.kind for found in check(norm, independent=["sample"]).findings] == ["mixing"]


def test_optional_arguments_are_tried_too():
    @typed
    def masked(
        x: Float[Tensor, "batch seq dim"], mask: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch seq dim"]:
        return x if mask is None else x.masked_fill(mask, 0.0)

    [found] = check(masked).findings
    assert (found.kind, found.source) == ("refused", "x.masked_fill(mask, 0.0)")
