"""Loads of a part of a checkpoint: what fits is loaded, the rest is named by dimension."""

import warnings

import pytest
import torch

import dimtyped
from dimtyped import DeclarationError, DimensionWarning, DimSize, nn


class Model(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize = 4, *, bias: bool = True):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.scale = nn.Parameter(torch.ones(int(vocab)))
        self.out = nn.Linear(3, vocab, bias=bias)


class Tied(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.out = nn.TiedDecoder(self.embedding, bias=False)


class TestLoadMatching:
    def test_loads_all_that_fits_and_tells_the_rest_by_dimension(self):
        saved, model = Model(35).state_dict(), Model(28, bias=False)
        before = model.embedding.weight.clone()
        report = dimtyped.load_matching(model, saved)
        assert str(report).splitlines() == [
            f"loaded {len(report.loaded)} of {len(report.loaded) + 3} keys",
            "  scale             (35,) in the checkpoint, (28,) in the model",
            "  embedding.weight  vocab: 35 in the checkpoint, 28 in the model",
            "  out.weight        vocab: 35 in the checkpoint, 28 in the model",
            "  out.bias          not in the model",
        ]
        assert torch.equal(model.gru.weight_ih_l0, saved["gru.weight_ih_l0"])
        assert torch.equal(model.embedding.weight, before)

    def test_a_plain_layer_is_told_by_its_roles(self):
        report = dimtyped.load_matching(torch.nn.Linear(3, 4), torch.nn.Linear(3, 5).state_dict())
        assert report.other_sizes == {
            "weight": "out_features: 5 in the checkpoint, 4 in the model",
            "bias": "out_features: 5 in the checkpoint, 4 in the model",
        }
        assert (report.loaded, report.missing, report.unexpected) == ((), (), ())

    def test_what_is_missing_is_told(self):
        saved = nn.Linear(3, 4).state_dict()
        del saved["bias"]
        report = dimtyped.load_matching(nn.Linear(3, 4), saved)
        assert (report.loaded, report.missing) == (("weight",), ("bias",))
        assert str(report) == "loaded 1 of 2 keys\n  bias  not in the checkpoint"

    def test_one_key_of_a_tie_is_enough(self):
        model, saved = Tied(9, 4), Tied(9, 4).state_dict()
        del saved["out.weight"]
        report = dimtyped.load_matching(model, saved)
        assert (report.missing, dict(report.other_sizes)) == ((), {})
        assert torch.equal(model.out.weight, saved["embedding.weight"])
        assert model.out.weight is model.embedding.weight

    def test_assign(self):
        saved = nn.Linear(3, 4).state_dict()
        with torch.device("meta"):
            model = nn.Linear(3, 4)
        dimtyped.load_matching(model, saved, assign=True)
        assert torch.equal(model.weight, saved["weight"])

    @pytest.mark.parametrize(("model", "state"), [("model.pt", {}), (nn.Linear(2, 3), "model.pt")])
    def test_bad_arguments(self, model, state):
        with pytest.raises(DeclarationError, match="load_matching"):
            dimtyped.load_matching(model, state)


class TestAPartialLoad:
    def test_a_key_below_another_prefix_in_another_size_is_told_once(self):
        saved = {f"module.{key}": tensor for key, tensor in Model(35).state_dict().items()}
        with pytest.warns(DimensionWarning) as told:
            Model(28).load_state_dict(saved, strict=False)
        assert [(str(each.message), each.filename) for each in told] == [
            (
                "Model.load_state_dict: 4 parameters were not loaded and keep the values that they had:\n"
                "  scale    module.scale has (35,) in the checkpoint, (28,) in the model\n"
                "  embedding.weight    module.embedding.weight has vocab: 35 in the checkpoint, 28 in the model\n"
                "  out.weight    module.out.weight has vocab: 35 in the checkpoint, 28 in the model\n"
                "  out.bias    module.out.bias has vocab: 35 in the checkpoint, 28 in the model\n"
                "  dimtyped.load_matching(model, state_dict) loads what fits and reports the rest.",
                __file__,
            )
        ]

    @pytest.mark.parametrize("strict", [True, False])
    def test_a_right_load_is_quiet(self, strict):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Model(28).load_state_dict(Model(28).state_dict(), strict=strict)

    def test_what_is_only_left_out_is_quiet(self):
        saved = {key: tensor for key, tensor in Model(28).state_dict().items() if "out" not in key}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = Model(28).load_state_dict({**saved, "head.weight": torch.ones(7, 3)}, strict=False)
        assert result.missing_keys == ["out.weight", "out.bias"]
