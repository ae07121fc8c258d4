"""Exported to ONNX with the annotations' names on the axes, and run by onnxruntime at other sizes."""

from __future__ import annotations

import pytest
import torch

from dimtyped import dynamic_shapes
from tests.export.models import GPT, Images, Seq2Seq, tokens

pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")
pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.filterwarnings("ignore"),  # those of torch's exporter
]


@pytest.mark.parametrize(
    ("model", "example", "other", "axes"),
    [
        pytest.param(GPT(20, 16, 8), (tokens(3, 6),), (tokens(5, 9),), [["batch", "seq"]], id="gpt"),
        pytest.param(
            Images(3, 4, 5),
            (torch.randn(3, 3, 8, 6),),
            (torch.randn(2, 3, 5, 9),),
            [["batch", 3, "height", "length"]],
            id="convolutions",
        ),
        pytest.param(
            Seq2Seq(20, 8, 6),
            (tokens(3, 4), tokens(3, 5)),
            (tokens(7, 9), tokens(7, 2)),
            [["batch", "source"], ["batch", "target"]],
            id="seq2seq",
        ),
    ],
)
def test_axes_have_names_and_any_size(model, example, other, axes, tmp_path):
    model, file = model.eval(), tmp_path / "model.onnx"
    torch.onnx.export(model, example, dynamo=True, verbose=False, dynamic_shapes=dynamic_shapes(model, *example)).save(
        file
    )
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(file), options)
    assert [given.shape for given in session.get_inputs()] == axes
    names = [given.name for given in session.get_inputs()]
    (result,) = session.run(None, {name: value.numpy() for name, value in zip(names, other, strict=True)})
    torch.testing.assert_close(torch.from_numpy(result), model(*other), rtol=1e-3, atol=1e-4)
