"""Linear, Embedding, activations and feed-forward layers."""

import math

import pytest
import torch
import torch.nn.functional as tf
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib.model import ACTIVATIONS, FFN, Embedding, GatedFFN, Linear, SwiGLU
from course_lib.model.activation import torch_kernel


def test_linear_is_torch_linear_without_bias() -> None:
    ours, theirs = Linear(7, 5), nn.Linear(7, 5, bias=False)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 7)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("d_in", "d_out"), [(300, 500), (1000, 40)])
def test_linear_starts_as_a_truncated_normal(d_in: int, d_out: int) -> None:
    torch.manual_seed(0)
    weight = Linear(d_in, d_out).weight
    sigma = math.sqrt(2 / (d_in + d_out))
    # A normal cut off at three standard deviations has 0.9867 of its standard deviation.
    assert weight.std().item() == pytest.approx(0.9867 * sigma, rel=0.01)
    assert 2.9 * sigma < weight.abs().max().item() <= 3 * sigma


def test_embedding_picks_rows_and_sums_their_gradients() -> None:
    embedding = Embedding(10, 4)
    ids = torch.tensor([[1, 9], [1, 0]])
    out = embedding(ids)
    torch.testing.assert_close(out, embedding.weight[ids])
    out.sum().backward()
    assert embedding.weight.grad is not None
    assert embedding.weight.grad[:, 0].tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    torch.manual_seed(0)
    weight = Embedding(1000, 50).weight
    assert weight.std().item() == pytest.approx(0.9867, rel=0.01)
    assert weight.abs().max().item() <= 3


THEIRS = {
    "relu": nn.ReLU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "relu2": lambda x: torch.relu(x) ** 2,
    "sigmoid": nn.Sigmoid(),
    "identity": nn.Identity(),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_gradients_equal_torch(name: str) -> None:
    def results(f: object) -> tuple[Tensor, Tensor]:
        x = torch.linspace(-8, 8, 1001, dtype=torch.float64, requires_grad=True)
        y = f(x)  # type: ignore[operator]
        return y, torch.autograd.grad(y.sum(), x)[0]

    expected = results(THEIRS[name])
    torch.testing.assert_close(results(ACTIVATIONS[name]), expected)
    torch.testing.assert_close(results(torch_kernel(name)), expected)


@given(st.sampled_from(["relu", "gelu", "gelu_tanh", "silu", "relu2"]), st.integers(1, 9), st.integers(1, 9))
def test_plain_and_gated_layers(name: str, d_model: int, d_ff: int) -> None:
    x = torch.randn(3, d_model)
    plain = FFN(d_model, d_ff, name)
    torch.testing.assert_close(plain(x), ACTIVATIONS[name](x @ plain.w1.weight.T) @ plain.w2.weight.T)
    gated = GatedFFN(d_model, d_ff, name)
    hidden = ACTIVATIONS[name](x @ gated.w1.weight.T) * (x @ gated.w3.weight.T)
    torch.testing.assert_close(gated(x), hidden @ gated.w2.weight.T)


def test_names_of_the_glu_family() -> None:
    x = torch.randn(3, 6)
    for whole, gate in {
        "bilinear": "identity",
        "glu": "sigmoid",
        "reglu": "relu",
        "geglu": "gelu",
        "swiglu": "silu",
    }.items():
        ours, same = GatedFFN(6, 8, whole), GatedFFN(6, 8, gate)
        same.load_state_dict(ours.state_dict())
        assert torch.equal(ours(x), same(x))
    bilinear = GatedFFN(6, 8, "bilinear")
    w1, w2, w3 = (layer.weight for layer in (bilinear.w1, bilinear.w2, bilinear.w3))
    torch.testing.assert_close(bilinear(x), ((x @ w1.T) * (x @ w3.T)) @ w2.T)
    swiglu = SwiGLU(6, 8)
    assert [(name, tuple(p.shape)) for name, p in swiglu.named_parameters()] == [
        ("w1.weight", (8, 6)),
        ("w2.weight", (6, 8)),
        ("w3.weight", (8, 6)),
    ]
    gate, up, down = (swiglu.get_parameter(f"{name}.weight") for name in ("w1", "w3", "w2"))
    torch.testing.assert_close(swiglu(x), (tf.silu(x @ gate.T) * (x @ up.T)) @ down.T)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"x must have 7 features in its last dimension, not shape \(2, 6\)"):
        Linear(7, 5)(torch.randn(2, 6))
    with pytest.raises(ValueError, match=r"x must be torch\.float32 like the weights, not torch\.float64"):
        Linear(7, 5)(torch.randn(2, 7).double())
    with pytest.raises(ValueError, match="x must be on cpu like the weights, not on meta"):
        Linear(7, 5)(torch.randn(2, 7, device="meta"))
    with pytest.raises(ValueError, match="d_out must be at least 1, not 0"):
        Linear(7, 0)
    with pytest.raises(TypeError, match=r"d_in must be an integer, not 7\.0"):
        Linear(7.0, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ids must be in 0 … 9, not 10"):
        Embedding(10, 4)(torch.tensor([3, 10]))
    with pytest.raises(ValueError, match=r"ids must be in 0 … 9, not -1"):
        Embedding(10, 4)(torch.tensor([-1]))
    with pytest.raises(ValueError, match="ids must be a tensor of int64"):
        Embedding(10, 4)(torch.tensor([1.0]))
    with pytest.raises(ValueError, match=r"activation must be one of .*'relu2', not 'elu'"):
        FFN(4, 8, "elu")
    with pytest.raises(ValueError, match=r"activation must be one of .*'swiglu'.*, not 'swish'"):
        GatedFFN(4, 8, "swish")


def test_autocast_may_mix_dtypes() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        hidden = Linear(7, 5)(torch.randn(2, 7))
        assert hidden.dtype == torch.bfloat16
        assert Linear(5, 3)(hidden).dtype == torch.bfloat16
