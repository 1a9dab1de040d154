"""The norms against torch."""

import pytest
import torch
import torch.nn.functional as tf
from hypothesis import given
from hypothesis import strategies as st

from course_lib.model import LayerNorm, RMSNorm, layer_norm_reference, rms_norm_reference
from tests.model.derivatives import gradients, leaf

SHAPES = st.lists(st.integers(1, 5), max_size=2).flatmap(
    lambda leading: st.integers(1, 150).map(lambda d: (*leading, d))
)


@given(SHAPES, st.sampled_from([0.0, 1e-5, 0.1]))
def test_rms_norm_equals_torch(shape: tuple[int, ...], eps: float) -> None:
    x, norm = leaf(*shape), RMSNorm(shape[-1], eps)
    torch.nn.init.normal_(norm.weight)
    expected = tf.rms_norm(x, shape[-1:], norm.weight, eps)
    torch.testing.assert_close(norm(x), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(rms_norm_reference(x, norm.weight, eps), expected, atol=1e-5, rtol=1e-4)
    ours, theirs = gradients(norm(x), x, norm.weight), gradients(expected, x, norm.weight)
    # A row of small numbers has a steep norm: rounding errors are that much larger, even where gradients cancel.
    steepest = float(norm.weight.detach().abs().max() * (x.detach().square().mean(-1) + eps).rsqrt().max())
    scale = max(1.0, steepest, *(gradient.abs().max().item() for gradient in theirs))
    torch.testing.assert_close(ours, theirs, atol=1e-5 * scale, rtol=1e-3)


@given(SHAPES, st.booleans())
def test_layer_norm_equals_torch(shape: tuple[int, ...], bias: bool) -> None:
    x, norm = torch.randn(shape), LayerNorm(shape[-1], bias=bias)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    expected = tf.layer_norm(x, shape[-1:], norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(
        layer_norm_reference(x, norm.weight, norm.bias), expected, atol=1e-4, rtol=1e-4
    )


def test_transforms_of_torch_func_take_the_formula() -> None:
    norm, x = RMSNorm(8), torch.randn(5, 3, 8)
    torch.testing.assert_close(torch.func.vmap(norm)(x), norm(x))
    slopes = torch.func.grad(lambda x: norm(x).sin().sum())(x)
    expected = x.clone().requires_grad_()
    norm(expected).sin().sum().backward()
    torch.testing.assert_close(slopes, expected.grad)


def test_other_dtypes_take_the_formula() -> None:
    norm = RMSNorm(64)
    x = 100 + torch.randn(10, 64)
    half = norm(x.half())
    assert half.dtype == torch.float16  # squares of 300 would overflow in 16 bits
    torch.testing.assert_close(half.float(), norm(x.half().float()), atol=1e-3, rtol=1e-3)
    double = RMSNorm(64).double()
    assert double(x.double()).dtype == torch.float64
    bf16 = LayerNorm(64)(x.bfloat16())
    assert bf16.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [RMSNorm, LayerNorm])
def test_bad_arguments(kind: type[RMSNorm] | type[LayerNorm]) -> None:
    with pytest.raises(ValueError, match=r"8 in its last dimension, not torch.float32 of shape \(2, 1\)"):
        kind(8)(torch.randn(2, 1))
    with pytest.raises(ValueError, match="floating-point numbers"):
        kind(8)(torch.ones(2, 8, dtype=torch.int64))
    with pytest.raises(ValueError, match="d must be at least 1, not 0"):
        kind(0)
    with pytest.raises(ValueError, match="x must be on cpu like the weights, not on meta"):
        kind(8)(torch.randn(2, 8, device="meta"))
