"""The interpreter: which tensors keep their names, on real, fake and meta tensors, with gradients and without."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dimtyped.flow import RULES, Flow, rule
from tests.flow.named import Run


def attention(x, qkv, out, heads):
    batch, seq, embed = x.shape
    q, k, v = qkv(x).view(batch, seq, 3, heads, embed // heads).permute(2, 0, 3, 1, 4)
    scores = (q @ k.transpose(-2, -1)).masked_fill(torch.ones(seq, seq).triu(1).bool(), -1e9)
    return out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, seq, embed))


def named_layers(run, device="cpu"):
    qkv, out = nn.Linear(12, 36, device=device), nn.Linear(12, 12, device=device)
    run.name(qkv.weight, "36 embed")
    run.name(out.weight, "embed embed")
    return qkv, out


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_attention_keeps_its_names(mode):
    run = Run(batch=2, seq=7, embed=12)
    with run.flow, mode():
        qkv, out = named_layers(run)
        assert run.text(attention(run("batch seq embed"), qkv, out, 3)) == "(batch=2, seq=7, embed=12)"
    assert run.flow.findings == []
    assert not run.flow.unfollowed


def test_fake_and_meta_tensors():
    run = Run(batch=2, seq=7, embed=12)
    with FakeTensorMode(allow_non_fake_inputs=True), run.flow:
        qkv, out = named_layers(run)
        assert run.text(attention(run("batch seq embed"), qkv, out, 3)) == "(batch=2, seq=7, embed=12)"
    run = Run(batch=2, seq=7, embed=12)
    with run.flow:
        qkv, out = named_layers(run, "meta")
        x = run("batch seq embed", lambda *shape: torch.empty(shape, device="meta"))
        assert run.text((x + x).softmax(-1) @ out.weight.T) == "(batch=2, seq=7, embed=12)"


def step(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def model_and_data():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
    return model, torch.randn(6, 4), torch.randn(6, 1)


def test_a_training_step_has_the_same_results():
    def trained(flow):
        model, x, y = model_and_data()
        optimizer = torch.optim.AdamW(model.parameters())
        if flow is None:
            losses = [step(model, optimizer, x, y) for _ in range(3)]
        else:
            with flow:
                losses = [step(model, optimizer, x, y) for _ in range(3)]
        return [*losses, *model.state_dict().values(), torch.rand(1)]

    flow = Flow(strict=True)
    for plain, followed in zip(trained(None), trained(flow), strict=True):
        assert torch.equal(plain, followed)
    assert flow.findings == []
    assert sum(flow.followed.values()) > 100


def test_names_are_held_weakly_and_an_id_that_comes_back_has_none():
    run = Run(batch=4)
    tensor = run("batch")
    reference = weakref.ref(tensor)
    del tensor
    gc.collect()
    assert reference() is None
    for _ in range(50):
        assert run.text(torch.empty(4)) == "(4)"


def test_in_place_operators_change_the_names_of_the_tensor_itself():
    run = Run(batch=2, seq=3)
    with run.flow:
        x = run("batch seq")
        x += 1
        x.mul_(2).clamp_(min=0)
        assert run.text(x) == "(batch=2, seq=3)"
        x.t_()
        assert run.text(x) == "(seq=3, batch=2)"
        x.unsqueeze_(0)
        assert run.text(x) == "(1, seq=3, batch=2)"


def test_out_gets_the_names():
    run = Run(batch=2, seq=3)
    with run.flow:
        x, out = run("batch seq"), torch.empty(2, 3)
        torch.add(x, x, out=out)
        assert run.text(out) == "(batch=2, seq=3)"


def test_a_tensor_whose_shape_changed_has_no_names():
    run = Run(batch=2, seq=3)
    x = run("batch seq")
    x.data = torch.ones(5)
    assert run.text(x) == "(5)"
    x = run("batch seq")
    with run.flow:
        x.data = run("seq batch")
        assert run.text(x) == "(seq=3, batch=2)"
        x.data = torch.ones(3, 2)
        assert run.text(x) == "(seq=3, batch=2)"
        x[0] = run("batch")
        assert run.text(x) == "(seq=3, batch=2)"
    assert not run.flow.unfollowed


def test_wrong_axes_are_refused():
    run = Run(batch=2)
    with pytest.raises(ValueError, match=r"axes \(batch=2\) for a tensor of shape \(3,\)"):
        run.name(torch.ones(3), "batch")


def test_an_operator_without_a_rule_is_counted_and_its_result_has_no_names():
    run = Run(batch=2)
    with run.flow:
        x = run("batch batch")
        assert run.text(torch.as_strided(x, (2, 2), (1, 1))) == "(2, 2)"
    assert run.flow.unfollowed["as_strided"] == 1


def test_what_torch_refuses_is_explained():
    run = Run(batch=2, seq=3, embed=4)
    with run.flow, pytest.raises(RuntimeError) as caught:
        run("batch seq") @ run("embed seq")
    error, found = run.flow.operator_error
    assert error is caught.value
    assert (found.kind, found.source) == ("refused", 'run("batch seq") @ run("embed seq")')
    assert found.operands == ("float32 (batch=2, seq=3)", "float32 (embed=4, seq=3)")
    assert found.message.endswith("seq=3 meets embed=4")


def test_a_rule_that_is_wrong_never_ends_the_run(monkeypatch):
    monkeypatch.setitem(RULES, "relu", lambda call: call.first()[:1])
    run = Run(Flow(), batch=2, seq=3)
    with run.flow:
        assert run.text(run("batch seq").relu()) == "(2, 3)"
    assert run.flow.unfollowed["relu"] == 1
    with Flow(strict=True), pytest.raises(ValueError, match=r"a rule gave \(2\) for a result of shape \(2, 3\)"):
        torch.ones(2, 3).relu()


def test_an_operator_has_one_rule():
    with pytest.raises(ValueError, match="softmax has two rules"):
        rule("softmax")(lambda call: None)


def test_paused():
    run = Run(batch=2)
    with run.flow:
        x = run("batch")
        with run.flow.paused():
            assert not torch.overrides.has_torch_function((x,))
            y = x + 1
        assert run.text(y) == "(2)"
        assert run.text(x + 1) == "(batch=2)"


@pytest.mark.parametrize("gradients", [False, True])
def test_fused_transformer_layers_give_the_same_results(gradients):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [True] * 5])
    run = Run(batch=3, seq=5, embed=8)
    x = run("batch seq embed")

    def results():
        return encoder(x, src_key_padding_mask=padding), attention(x, x, x)[0]

    with torch.set_grad_enabled(gradients):
        plain = results()
        with run.flow:
            followed = results()
    for one, other in zip(plain, followed, strict=True):
        assert torch.equal(one.nan_to_num(7), other.nan_to_num(7))
        assert run.text(other).startswith("(batch=3, seq=5, ")
    assert run.flow.findings == []
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._has_any_global_hook()


def test_a_fused_layer_that_mixes_the_batch_is_found():
    encoder = nn.TransformerEncoderLayer(8, 2, 16).eval()
    run = Run(batch=3, seq=5, embed=8)
    with torch.no_grad(), run.flow:
        encoder(run("batch seq embed"))
        with pytest.raises(AssertionError):
            encoder(run("batch seq"))
        assert run.text(run("batch") * 2) == "(batch=3)"
    (found,) = run.flow.findings
    assert (found.kind, found.names, found.source) == ("mixing", ("batch",), 'encoder(run("batch seq embed"))')


def test_compiled_code_runs_eagerly_meanwhile():
    import torch._dynamo

    compiled = torch.compile(lambda x: x.softmax(0), backend="eager", fullgraph=True)
    run = Run(batch=2, seq=3)
    x = run("batch seq")
    before = compiled(x)
    with run.flow:
        assert torch.equal(compiled(x), before)
    assert run.kinds == ["mixing"]
    assert torch._dynamo.eval_frame._stance.stance == "default"


def test_vmap_and_grad():
    run = Run(batch=2, seq=3)
    with run.flow:
        x = run("batch seq")
        torch.func.vmap(lambda row: row.softmax(0))(x)
        torch.func.grad(lambda t: (t * t).sum())(x)
    assert run.flow.findings == []


def test_a_function_of_the_users_keeps_names():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 2

    run = Run(batch=2)
    with run.flow:
        x = run("batch").requires_grad_()
        Double.apply(x).sum().backward()
        assert run.text(x.grad) == "(batch=2)"
    assert run.flow.findings == []
