"""Questions of users about encoders, decoders and embeddings, each as a model and what it does.

The numbers (A1, B2, ...) are those of the list of users' questions that the project began with.
"""

import copy
import io

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DeclarationError, DimensionError, DimSize, StateError, TyingError, VocabularyError, dims, nn
from tests.helpers.layer_cases import floats, ids, packed

each_rnn = pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])


class Encoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize, bidirectional: bool = False):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True, bidirectional=bidirectional)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "states batch hidden"]:
        return self.gru(self.embedding(tokens))[1]


class Decoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)
        self.out = nn.Linear(hidden, vocab)

    def forward(self, tokens, state):
        output, state = self.gru(self.embedding(tokens), state)
        return self.out(output), state


class Seq2Seq(nn.Module):
    """An encoder whose state the decoder takes, after `between` has been at it."""

    def __init__(self, between, hidden: int = 256):
        super().__init__()
        self.encoder, self.decoder = Encoder(1000, 128, hidden), Decoder(1000, 128, 256)
        self.between = between

    def forward(self, source, target):
        return self.decoder(target, self.between(self.encoder(source)))


def final_state(kind: str, *shape: int):
    return (floats(*shape), floats(*shape)) if kind == "LSTM" else floats(*shape)


# A. Why am I getting a reshape error when tying encoder and decoder weights? ------------------------------------------


def test_a1_a_state_permuted_to_batch_first():
    model = Seq2Seq(lambda state: state.permute(1, 0, 2))
    with pytest.raises(DimensionError) as caught:
        model(ids(32, 10), ids(32, 7))
    error = caught.value
    assert (error.where, error.argument, error.dim) == ("Seq2Seq.decoder.gru", "hx", "layers")
    assert "permute(1, 0, 2)" in error.hint
    assert "permute(1, 0, 2)" in str(error)
    assert Seq2Seq(lambda state: state)(ids(32, 10), ids(32, 7))[0].shape == (32, 7, 1000)


def test_a2_a_float_state_fed_to_the_embedding():
    decoder = Decoder(1000, 128, 256)
    with pytest.raises(DimensionError) as caught:
        decoder(floats(1, 32, 256), floats(1, 32, 256))
    error = caught.value
    assert (error.where, error.argument) == ("Decoder.embedding", "input")
    assert "its dtype is float32, must be int32 or int64" in str(error)
    assert "(1, 32, 256)" in str(error)


def test_a2_named_by_the_models_own_annotation():
    with pytest.raises(DimensionError) as caught:
        Encoder(1000, 128, 256)(floats(1, 32, 256))
    error = caught.value
    assert (error.where, error.argument) == ("Encoder.forward", "tokens")
    assert "dtype is float32" in str(error)
    assert "3 axes" in str(error)


def test_a3_tying_an_output_of_another_width_at_the_assignment():
    decoder = Decoder(1000, 128, 256)
    before = decoder.out.weight
    with pytest.raises(TyingError) as caught:
        decoder.out.weight = decoder.embedding.weight
    error, text = caught.value, str(caught.value)
    assert (error.where, error.argument, error.dim) == ("Linear.weight", "weight", "hidden")
    assert "(vocab=1000, embed=128)" in text
    assert "(vocab=1000, hidden=256)" in text
    assert "TiedDecoder" in error.hint
    assert "project=True" in error.hint
    assert decoder.out.weight is before


def test_a4_tying_where_the_widths_are_equal_works_and_outlives_everything():
    decoder = Decoder(50, 16, 16)
    decoder.out.weight = decoder.embedding.weight
    decoder.out.bias = torch.nn.Parameter(torch.zeros(50))

    def is_tied(model) -> bool:
        return model.out.weight is model.embedding.weight

    saved = io.BytesIO()
    torch.save(decoder, saved)
    saved.seek(0)
    loaded = Decoder(50, 16, 16)
    loaded.out.weight = loaded.embedding.weight
    loaded.load_state_dict(decoder.state_dict(), assign=True)
    for model in (decoder, copy.deepcopy(decoder), torch.load(saved, weights_only=False), loaded):
        assert is_tied(model)
        assert is_tied(model.to(torch.float64))
        assert is_tied(model.to(torch.float32))
    optimizer = torch.optim.SGD(decoder.parameters(), lr=0.1)
    decoder(ids(4, 5), None)[0].sum().backward()
    optimizer.step()
    assert is_tied(decoder)
    assert decoder(ids(4, 5), None)[0].shape == (4, 5, 50)


def test_a5_an_encoder_wider_than_the_decoder_at_construction():
    embed, wide, hidden = dims(embed=128, wide=512, hidden=256)
    encoder = nn.GRU(embed, wide)
    with pytest.raises(StateError) as caught:
        nn.GRU(embed, hidden, state_from=encoder)
    error = caught.value
    assert (error.argument, error.dim, error.expected, error.actual) == ("state_from", "hidden", 256, 512)
    assert "hidden: 512 in the source, 256 here" in str(error)
    assert "StateBridge" in error.hint
    bridge = nn.StateBridge(encoder, decoder := nn.GRU(embed, hidden))
    state = encoder(floats(10, 32, 128))[1]
    assert decoder(floats(7, 32, 128), bridge(state))[1].shape == (1, 32, 256)


@pytest.mark.parametrize(
    ("options", "differing"),
    [
        ({"bidirectional": True}, {"directions": (2, 1)}),
        ({"num_layers": 2}, {"layers": (2, 1)}),
        ({"num_layers": 3, "bidirectional": True}, {"layers": (3, 1), "directions": (2, 1)}),
    ],
    ids=["bidirectional", "deeper", "both"],
)
def test_a6_a_bidirectional_or_deeper_encoder_at_construction(options, differing):
    encoder = nn.GRU(128, 256, **options)
    with pytest.raises(StateError) as caught:
        nn.GRU(128, 256, state_from=encoder)
    for name, (theirs, ours) in differing.items():
        assert f"{name}: {theirs} in the source, {ours} here" in str(caught.value)
    bridge = nn.StateBridge(encoder, decoder := nn.GRU(128, 256))
    state = encoder(floats(10, 32, 128))[1]
    assert decoder(floats(7, 32, 128), bridge(state))[1].shape == (1, 32, 256)


def test_a8_a_projection_before_the_tied_output():
    vocab, embed, hidden = dims(vocab=1000, embed=128, hidden=256)
    embedding = nn.Embedding(vocab, embed)
    out = nn.TiedDecoder(embedding, hidden, project=True)
    assert out(floats(32, 7, 256)).shape == (32, 7, 1000)
    assert out.weight is embedding.weight
    with pytest.raises(TyingError, match="project=True"):
        nn.TiedDecoder(embedding, hidden)


# B. Why does a mismatch exist between expected and provided embedding layer weight shapes? ----------------------------


def test_b1_token_ids_past_the_vocabulary():
    model = Encoder(1000, 128, 256)
    tokens = ids(32, 10, high=1000)
    tokens[3, 4] = 1234
    tokens[5, 6] = 1001
    with pytest.raises(VocabularyError) as caught:
        model(tokens)
    error, text = caught.value, str(caught.value)
    assert isinstance(error, IndexError)
    assert (error.where, error.argument, error.dim, error.expected) == ("Encoder.embedding", "input", "vocab", 1000)
    assert "2 token ids outside the vocabulary: 1001, 1234, must be 0 to 999" in text
    assert "(3, 4), (5, 6)" in text


def test_b2_rows_that_never_train():
    with pytest.warns(UserWarning, match="900 entries, the matrix 1000 rows: 100 rows are never looked up"):
        nn.Embedding.from_pretrained(floats(1000, 8), vocabulary=900)


def test_b3_a_pretrained_matrix_with_too_few_rows():
    vocab, embed = dims(vocab=1000, embed=8)
    with pytest.raises(DeclarationError, match="vocab is 1000, but the matrix .* has 900 rows"):
        nn.Embedding.from_pretrained(floats(900, 8), vocabulary=vocab)
    layer = nn.Embedding(vocab, embed)
    with pytest.raises(TyingError, match="vocab=1000, embed=8") as caught:
        layer.weight = torch.nn.Parameter(floats(1000, 6))
    assert (caught.value.dim, caught.value.argument) == ("embed", "weight")


def test_b4_pretrained_and_frozen():
    layer = nn.Embedding.from_pretrained(floats(1000, 8))
    assert not layer.weight.requires_grad
    assert layer(ids(2, 3)).shape == (2, 3, 8)


def test_b5_another_vocabulary_at_inference_than_at_training():
    embedding = nn.Embedding(*dims(vocab=32_000, embed=4))
    model = nn.ModuleDict({"embedding": embedding, "out": nn.TiedDecoder(embedding)})
    plain = torch.nn.Embedding(32_001, 4)
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict({"embedding.weight": plain.weight, "out.bias": torch.zeros(32_001)})
    text = str(caught.value)
    assert text.startswith("Error(s) in loading state_dict for ModuleDict:")
    assert "size mismatch for embedding.weight: copying a param with shape torch.Size([32001, 4])" in text
    assert text.count("vocab: 32001 in the checkpoint, 32000 in the model") == 2
    embedding, (out,) = embedding.resized(32_001)  # the fix
    model = nn.ModuleDict({"embedding": embedding, "out": out})
    model.load_state_dict({"embedding.weight": plain.weight, "out.bias": torch.zeros(32_001)})
    assert torch.equal(model["out"].weight, plain.weight)


def test_b6_off_by_one():
    with pytest.raises(VocabularyError, match="one too many") as caught:
        Encoder(1000, 128, 256)(torch.tensor([[1, 1000]]))
    assert "Make vocab 1001" in caught.value.hint


# C. How to resolve a PyTorch RNN error where input and hidden state dimensions mismatch? ------------------------------


@each_rnn
def test_c1_the_inputs_width_is_not_the_layers(kind):
    with pytest.raises(DimensionError) as caught:
        getattr(nn, kind)(*dims(embed=10, hidden=20))(floats(5, 3, 11))
    error = caught.value
    assert (error.argument, error.dim, error.expected, error.actual) == ("input", "embed", 10, 11)
    assert f"embed = 10  declared by {kind}(embed=10 -> hidden=20)" in str(error)


@each_rnn
def test_c2_the_states_width_is_not_the_layers(kind):
    with pytest.raises(DimensionError) as caught:
        getattr(nn, kind)(*dims(embed=10, hidden=20))(floats(5, 3, 10), final_state(kind, 1, 3, 30))
    error = caught.value
    assert (error.argument, error.dim, error.expected, error.actual) == ("hx", "hidden", 20, 30)


@each_rnn
def test_c3_a_state_kept_for_a_last_smaller_batch(kind):
    layer = getattr(nn, kind)(*dims(embed=10, hidden=20), batch_first=True)
    _, state = layer(floats(32, 5, 10))
    with pytest.raises(DimensionError) as caught:
        layer(floats(17, 5, 10), state)
    error = caught.value
    assert (error.argument, error.dim, error.expected, error.actual) == ("hx", "batch", 17, 32)
    assert "from `input` (17, 5, 10)" in str(error)


@each_rnn
def test_c4_a_state_in_batch_first_order(kind):
    layer = getattr(nn, kind)(*dims(embed=10, hidden=20), batch_first=True)
    with pytest.raises(DimensionError) as caught:
        layer(floats(3, 5, 10), final_state(kind, 3, 1, 20))
    assert caught.value.argument == "hx"
    assert "permute(1, 0, 2)" in caught.value.hint


class Tagger(nn.Module):
    """Its annotation says what `batch` is, by the lengths."""

    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.rnn = nn.GRU(embed, hidden, batch_first=True)

    def forward(
        self,
        x: Float[Tensor, "batch seq embed"],
        lengths: Int[Tensor, "batch"],
    ) -> Float[Tensor, "batch seq hidden"]:
        return self.rnn(x)[0]


def test_c5_batch_first_forgotten():
    model = Tagger(10, 20)
    assert model(floats(3, 5, 10), ids(3)).shape == (3, 5, 20)
    with pytest.raises(DimensionError) as caught:
        model(floats(5, 3, 10), ids(3))
    error = caught.value
    assert error.dim == "batch"
    assert {error.expected, error.actual} == {3, 5}


@each_rnn
def test_c6_pretrained_weights_of_other_sizes(kind):
    embed, hidden = dims(embed=10, hidden=20)
    layer = getattr(nn, kind)(embed, hidden)
    with pytest.raises(RuntimeError, match="hidden.*: .* in the checkpoint, .* in the model"):
        layer.load_state_dict(getattr(torch.nn, kind)(10, 30).state_dict())
    with pytest.raises(RuntimeError, match="embed: 11 in the checkpoint, 10 in the model"):
        layer.load_state_dict(getattr(torch.nn, kind)(11, 20).state_dict())


class TestC7:
    @each_rnn
    def test_c7_unbatched_input(self, kind):
        layer = getattr(nn, kind)(*dims(embed=10, hidden=20))
        assert layer(floats(5, 10), final_state(kind, 1, 20))[0].shape == (5, 20)
        with pytest.raises(DimensionError, match="hidden is 30, must be 20"):
            layer(floats(5, 10), final_state(kind, 1, 30))

    @each_rnn
    def test_c7_packed_sequences(self, kind):
        layer = getattr(nn, kind)(*dims(embed=10, hidden=20))
        layer(packed(10), final_state(kind, 1, 3, 20))
        with pytest.raises(DimensionError, match="embed is 11, must be 10"):
            layer(packed(11))
        with pytest.raises(DimensionError, match="batch is 4, must be 3"):
            layer(packed(10), final_state(kind, 1, 4, 20))

    @pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
    def test_c7_proj_size_is_the_width_of_h_and_not_of_c(self):
        layer = nn.LSTM(*dims(embed=10, hidden=20), proj_size=5)
        h, c = floats(1, 3, 5), floats(1, 3, 20)
        with torch.no_grad():
            _, (new_h, new_c) = layer(floats(7, 3, 10), (h, c))
        assert (new_h.shape, new_c.shape) == (h.shape, c.shape)
        with pytest.raises(DimensionError, match=r"hx\[0\]. does not fit: proj is 20, must be 5"):
            layer(floats(7, 3, 10), (c, c))
        with pytest.raises(DimensionError, match=r"hx\[1\]. does not fit: hidden is 5, must be 20"):
            layer(floats(7, 3, 10), (h, h))


# D. Why does PyTorch model parameter shape differ from its definition? ------------------------------------------------


@pytest.mark.parametrize("batch", [(), (1,), (32,), (32, 7), (0,)], ids=str)
def test_d1_any_batch_goes_through_a_linear_and_its_parameters_keep_their_shape(batch):
    layer = nn.Linear(*dims(embed=10, hidden=20))
    assert layer(floats(*batch, 10)).shape == (*batch, 20)
    assert (layer.weight.shape, layer.bias.shape) == ((20, 10), (20,))


class TestD3:
    def test_d3_two_layers_that_do_not_chain_in_sequential(self):
        with pytest.raises(DeclarationError) as caught:
            nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(30, 5))
        error = caught.value
        assert "layer 2 takes in_features=30, but layer 0 gives out_features=20" in str(error)
        assert (error.expected, error.actual) == (20, 30)

    def test_d3_when_named_at_construction(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Linear(10, *dims(hidden=20))
                self.second = nn.Linear(*dims(hidden=30), 5)

        with pytest.raises(DeclarationError, match="`hidden` has two sizes: 30 by Net.second, 20 by Net.first"):
            Net()

    def test_d3_else_at_the_call(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = nn.Linear(10, 20), nn.Linear(30, 5)

            def forward(self, x):
                return self.second(self.first(x))

        with pytest.raises(DimensionError, match=r"^Net.second: .*in_features is 20, must be 30"):
            Net()(floats(2, 10))


# E. Why is embed_dim not equal to embed_dim_to_check? -----------------------------------------------------------------


class TestE2:
    def test_e2_a_projection_that_doubles_the_width_in_sequential(self):
        (embed,) = dims(embed=128)
        with pytest.raises(DeclarationError, match=r"takes embed=128, but layer 0 gives 2\*embed=256"):
            nn.Sequential(nn.Linear(embed, 2 * embed), nn.Linear(embed, 10))
        nn.Sequential(nn.Linear(embed, 2 * embed), nn.Linear(2 * embed, 10))

    def test_e2_else_at_the_call_by_name(self):
        class Block(nn.Module):
            def __init__(self, embed: DimSize):
                super().__init__()
                self.up, self.next = nn.Linear(embed, 2 * embed), nn.Linear(embed, 10)

            def forward(self, x):
                return self.next(self.up(x))

        with pytest.raises(DimensionError) as caught:
            Block(128)(floats(2, 128))
        error = caught.value
        assert (error.where, error.dim, error.expected, error.actual) == ("Block.next", "embed", 128, 256)

    def test_e2_the_other_way_round(self):
        class Block(nn.Module):
            def __init__(self, embed: DimSize):
                super().__init__()
                self.next = nn.Linear(2 * embed, 10)

            def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch 10"]:
                return self.next(x)

        with pytest.raises(DimensionError) as caught:
            Block(128)(floats(2, 128))
        assert (caught.value.dim, caught.value.expected, caught.value.actual) == ("2*embed", 256, 128)


@pytest.mark.parametrize("heads", [3, 5, 0, -2, 2.0, True], ids=repr)
def test_e4_a_width_that_the_heads_do_not_divide(heads):
    (embed,) = dims(embed=128)
    for make, name in (
        (lambda: nn.MultiheadAttention(embed, heads), "num_heads"),
        (lambda: nn.TransformerEncoderLayer(embed, heads), "nhead"),
        (lambda: nn.Transformer(embed, heads), "nhead"),
    ):
        with pytest.raises(DeclarationError, match=f"{name}={heads!r}") as caught:
            make()
        assert not isinstance(caught.value, AssertionError | TypeError)
    assert nn.MultiheadAttention(embed, 4)(*[floats(5, 2, 128)] * 3)[0].shape == (5, 2, 128)


def test_e4_the_mend_is_the_next_multiple():
    with pytest.raises(DeclarationError, match="embed=128 is not divisible by num_heads=3") as caught:
        nn.MultiheadAttention(*dims(embed=128), 3)
    error = caught.value
    assert (error.dim, error.actual) == ("embed", 128)
    assert error.hint == "Make embed a multiple of num_heads: 126 or 129."
