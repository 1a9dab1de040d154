"""The fused kernels against their formulas: on every instruction set, and as functions that autograd knows."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model import (
    CausalSelfAttention,
    GatedFFN,
    Linear,
    RotaryEmbedding,
    rms_norm_reference,
    rotate_pairs,
    scaled_dot_product_attention,
)
from course_lib.model.fused import (
    can_fuse_attention,
    can_fuse_product,
    few_rows_product,
    fused_attention,
    fused_rms_norm,
    fused_rotate,
    fused_swiglu,
)
from course_lib.model.watchers import can_fuse

ISAS = _kernels.available_isas()


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, requires_grad=True)


def gradients(y: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a sum with fixed weights, so that no symmetry hides an error."""
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape).sin()
    return torch.autograd.grad((y * weights).sum(), inputs)


def swiglu(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, -1)
    return torch.nn.functional.silu(gate) * up


def attend(
    qkv: Tensor, heads: int, tables: tuple[Tensor, Tensor] | None = None, layout: str = "interleaved"
) -> Tensor:
    """What ``fused_attention`` stands for."""
    kv_heads = (qkv.shape[2] - heads) // 2
    q, k, v = qkv.split((heads, kv_heads, kv_heads), 2)
    if tables is not None:
        q, k = (rotate_pairs(x, *(table.unsqueeze(1) for table in tables), layout) for x in (q, k))
    return scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), is_causal=True).transpose(
        1, 2
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 31), (130, 32), (65, 97), (64, 256)])
def test_rms_norm_on_every_instruction_set(isa: str, rows: int, width: int) -> None:
    x, weight, dy = torch.randn(rows, width), torch.randn(width), torch.randn(rows, width)
    y, inverse_rms = torch.empty(rows, width), torch.empty(rows)
    dx, dweight = torch.empty(rows, width), torch.empty(width)
    _kernels.rms_norm_forward(
        rows, width, 1e-5, x.data_ptr(), weight.data_ptr(), y.data_ptr(), inverse_rms.data_ptr(), isa
    )
    inputs = [t.data_ptr() for t in (dy, x, weight, inverse_rms)]
    _kernels.rms_norm_backward(rows, width, *inputs, dx.data_ptr(), dweight.data_ptr(), isa)
    exact_x, exact_weight = x.double().requires_grad_(), weight.double().requires_grad_()
    exact = rms_norm_reference(exact_x, exact_weight)
    exact.backward(dy.double())
    assert exact_x.grad is not None and exact_weight.grad is not None
    torch.testing.assert_close(y.double(), exact.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dx.double(), exact_x.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dweight.double(), exact_weight.grad, atol=1e-4, rtol=1e-4)


def test_unknown_instruction_set() -> None:
    with pytest.raises(ValueError, match="isa must be one of available_isas"):
        _kernels.rms_norm_forward(0, 0, 0.0, 0, 0, 0, 0, "mmx")


def test_fused_takes_any_strides() -> None:
    base = torch.randn(6, 5, 8)
    for x in (base.transpose(0, 1), base[:, ::2], base[..., ::2], base[0, 0].expand(4, 8)):
        weight = torch.randn(16, requires_grad=True)[:: 16 // x.shape[-1]]
        x = x.detach().requires_grad_()
        ours, expected = fused_rms_norm(x, weight, 1e-5), rms_norm_reference(x, weight, 1e-5)
        torch.testing.assert_close(ours, expected)
        torch.testing.assert_close(gradients(ours, x, weight), gradients(expected, x, weight))


def test_fused_with_an_expanded_gradient_and_two_uses() -> None:
    x, weight = leaf(4, 8), leaf(8)
    twice = fused_rms_norm(fused_rms_norm(x, weight, 1e-5), weight, 1e-5) + fused_rms_norm(x, weight, 1e-5)
    expected = rms_norm_reference(rms_norm_reference(x, weight), weight) + rms_norm_reference(x, weight)
    torch.testing.assert_close(
        torch.autograd.grad(twice.sum(), (x, weight)), torch.autograd.grad(expected.sum(), (x, weight))
    )


def test_fused_has_second_derivatives() -> None:
    def second(f: object) -> tuple[Tensor, ...]:
        x, weight = torch.linspace(-1, 2, 24).view(3, 8).requires_grad_(), torch.ones(8, requires_grad=True)
        y = f(x, weight, 1e-5)  # type: ignore[operator]
        dx, dweight = torch.autograd.grad((y**3).sum(), (x, weight), create_graph=True)
        return torch.autograd.grad(dx.square().sum() + dweight.square().sum(), (x, weight))

    torch.testing.assert_close(second(fused_rms_norm), second(rms_norm_reference), atol=1e-3, rtol=1e-3)


def test_frozen_inputs_and_no_grad() -> None:
    x, weight = torch.randn(3, 8), leaf(8)
    torch.testing.assert_close(
        gradients(fused_rms_norm(x, weight, 1e-5), weight), gradients(rms_norm_reference(x, weight), weight)
    )
    with torch.no_grad():
        assert not fused_rms_norm(x, weight, 1e-5).requires_grad
    empty = torch.zeros(0, 8, requires_grad=True)
    assert fused_rms_norm(empty, weight, 1e-5).shape == (0, 8)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", ["interleaved", "half"])
@pytest.mark.parametrize("pairs", [1, 3, 12, 16, 37])
def test_rotate_on_every_instruction_set(isa: str, layout: str, pairs: int) -> None:
    x, y = torch.randn(2, 5, 3, 2 * pairs), torch.empty(2, 5, 3, 2 * pairs)
    cos, sin = torch.randn(5, pairs), torch.randn(5, pairs)
    for transposed in (False, True):
        addresses = [t.data_ptr() for t in (x, cos, sin, y)]
        _kernels.rotate(2, 5, 3, pairs, layout == "interleaved", transposed, *addresses, isa)
        expected = rotate_pairs(x, cos.unsqueeze(1), (-sin if transposed else sin).unsqueeze(1), layout)
        torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "width"), [(0, 3), (1, 1), (2, 15), (3, 64), (5, 1001)])
def test_swiglu_on_every_instruction_set(isa: str, rows: int, width: int) -> None:
    gate_up, dy = 5 * torch.randn(rows, 2 * width), torch.randn(rows, width)
    y, dgate_up = torch.empty(rows, width), torch.empty(rows, 2 * width)
    _kernels.swiglu_forward(rows, width, gate_up.data_ptr(), y.data_ptr(), isa)
    _kernels.swiglu_backward(rows, width, dy.data_ptr(), gate_up.data_ptr(), dgate_up.data_ptr(), isa)
    exact_input = gate_up.double().requires_grad_()
    exact = swiglu(exact_input)
    (expected,) = torch.autograd.grad(exact, exact_input, dy.double())
    torch.testing.assert_close(y.double(), exact.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dgate_up.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("isa", ISAS)
def test_sigmoid_of_the_kernel_over_its_whole_range(isa: str) -> None:
    gate = torch.cat((torch.linspace(-200, 200, 100_001), torch.tensor([0.0, -0.0, 3e38, -3e38, 1e-40])))
    gate_up, y = torch.cat((gate, torch.ones_like(gate))), torch.empty_like(gate)
    _kernels.swiglu_forward(1, len(gate), gate_up.data_ptr(), y.data_ptr(), isa)
    exact = torch.nn.functional.silu(gate.double())
    inside = gate.abs() < 87  # beyond, exp is held at the edge of the range of float32
    torch.testing.assert_close(y[inside].double(), exact[inside], atol=1e-30, rtol=1e-6)
    torch.testing.assert_close(y[gate >= 87], gate[gate >= 87])
    assert not y[gate <= -87.1].any()
    gate_up[3] = float("nan")
    _kernels.swiglu_forward(1, len(gate), gate_up.data_ptr(), y.data_ptr(), isa)
    assert y[3].isnan() and y.isnan().sum() == 1


def test_rotate_takes_any_strides_and_has_derivatives_of_any_order() -> None:
    rope = RotaryEmbedding(100.0, 6, 20, scaling={"type": "yarn", "factor": 2, "original_max_seq_len": 10})
    tables = rope.tables(5, start=3)
    base = leaf(5, 2, 4, 6)
    q, k = base.transpose(0, 1), base[:, :1, ::2].transpose(0, 1)
    turned = fused_rotate((q, k), *tables, "half")
    expected = tuple(rotate_pairs(x, *(t.unsqueeze(1) for t in tables), "half") for x in (q, k))
    torch.testing.assert_close(turned, expected)
    slopes = [
        torch.autograd.grad((a**3).sum() * (b**3).sum(), base, create_graph=True)[0]
        for a, b in (turned, expected)
    ]
    torch.testing.assert_close(*slopes, atol=1e-3, rtol=1e-4)
    curvatures = [torch.autograd.grad(slope.square().sum(), base)[0] for slope in slopes]
    torch.testing.assert_close(*curvatures, atol=1e-2, rtol=1e-3)


def test_swiglu_takes_any_strides_and_has_second_derivatives() -> None:
    base = leaf(6, 5, 4)

    def second(f: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        slope = torch.autograd.grad((f(base.transpose(0, 2)) ** 2).sum(), base, create_graph=True)[0]
        return slope, torch.autograd.grad(slope.square().sum(), base, retain_graph=True)[0]

    torch.testing.assert_close(second(fused_swiglu), second(swiglu), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("tokens", [1, 2, 4, 7, 16, 17, 33, 64])
@pytest.mark.parametrize("layout", [None, "interleaved", "half"])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "width"), [(1, 1, 1), (2, 1, 3), (2, 2, 6), (4, 2, 24), (6, 2, 40), (2, 2, 64)]
)
def test_attention_on_every_instruction_set(
    isa: str, tokens: int, layout: str | None, heads: int, kv_heads: int, width: int
) -> None:
    qkv, dy = torch.randn(2, tokens, heads + 2 * kv_heads, width), torch.randn(2, tokens, heads, width)
    tables = None
    if layout is not None and width % 2 == 0:
        angles = torch.randn(tokens, width // 2)
        tables = angles.cos(), angles.sin()
    y, log_sums, dqkv = torch.empty_like(dy), torch.empty(2, heads, tokens), torch.empty_like(qkv)
    addresses = (0, 0) if tables is None else tuple(table.data_ptr() for table in tables)
    options = 2, tokens, heads, kv_heads, width, width**-0.5, layout == "interleaved", *addresses
    _kernels.attention_forward(*options, *(x.data_ptr() for x in (qkv, y, log_sums)), isa)
    _kernels.attention_backward(*options, *(x.data_ptr() for x in (dy, qkv, log_sums, dqkv)), isa)
    exact = qkv.double().requires_grad_()
    expected = attend(exact, heads, tables, layout or "half")
    torch.testing.assert_close(y.double(), expected.detach(), atol=1e-5, rtol=1e-5)
    (slope,) = torch.autograd.grad(expected, exact, dy.double())
    torch.testing.assert_close(dqkv.double(), slope, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "width", "outputs"), [(0, 5, 3), (1, 1, 1), (1, 97, 5), (3, 64, 7)])
def test_few_rows_product_on_every_instruction_set(isa: str, rows: int, width: int, outputs: int) -> None:
    x, w, y = torch.randn(rows, width), torch.randn(outputs, width), torch.empty(rows, outputs)
    _kernels.multiply_few_rows(rows, width, outputs, x.data_ptr(), w.data_ptr(), y.data_ptr(), isa)
    torch.testing.assert_close(y, x @ w.T, atol=1e-5, rtol=1e-4)


def test_few_rows_product_is_for_a_few_rows_without_gradients() -> None:
    linear = Linear(6, 5)
    wide = torch.randn(4, 1, 12)
    assert not can_fuse_product(wide[..., :6], linear.weight)  # a gradient may be asked for
    with torch.no_grad():
        for x in (wide[..., ::2], wide[0, 0, :6], wide[:0, :, :6]):
            assert can_fuse_product(x, linear.weight)
            torch.testing.assert_close(linear(x), x @ linear.weight.T)
        assert not can_fuse_product(torch.randn(5, 6), linear.weight)
        transposed = torch.randn(6, 5).T
        torch.testing.assert_close(
            few_rows_product(wide[:2, 0, :6], transposed), wide[:2, 0, :6] @ transposed.T
        )


def test_attention_of_huge_scores_any_strides_and_second_derivatives() -> None:
    large = torch.cat((100 * torch.randn(1, 5, 2, 8), torch.randn(1, 5, 2, 8)), 2).requires_grad_()
    torch.testing.assert_close(fused_attention(large, 2), attend(large, 2), atol=1e-3, rtol=1e-3)
    base, angles = leaf(8, 5, 2, 6), torch.randn(5, 3)
    tables = angles.cos(), angles.sin()

    def second(f: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        qkv = base.permute(2, 1, 0, 3)
        slope = torch.autograd.grad((f(qkv, 4, tables, "half") ** 3).sum(), base, create_graph=True)[0]
        return slope, torch.autograd.grad(slope.square().sum(), base)[0]

    torch.testing.assert_close(second(fused_attention), second(attend), atol=1e-3, rtol=1e-3)


def test_attention_sees_no_later_token() -> None:
    qkv = torch.randn(1, 20, 3, 8)
    later = qkv.clone()
    later[:, 7:] = 1e6
    assert torch.equal(fused_attention(qkv, 1)[:, :7], fused_attention(later, 1)[:, :7])


def test_attention_is_fused_for_short_sequences_only() -> None:
    threads = torch.get_num_threads()
    # Without AVX2 it is never: the compiler has too few registers for it.
    assert can_fuse_attention(torch.empty(1, 256 // threads, 8)) == (ISAS[-1] != "portable")
    assert not can_fuse_attention(torch.empty(1, 256 // threads + 1, 8))
    attention = CausalSelfAttention(16, 2, rope=RotaryEmbedding(100.0, 8, 300))
    x = torch.randn(1, 300, 16)
    torch.testing.assert_close(attention(x)[:, :100], attention(x[:, :100]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"num_kv_heads": 1}, {"num_kv_heads": 2, "qk_norm": True}])
def test_attention_fused_and_in_parts(options: dict[str, Any]) -> None:
    attention = CausalSelfAttention(32, 4, rope=RotaryEmbedding(100.0, 8, 64), **options)
    x, positions = leaf(2, 19, 32), torch.arange(3, 22)
    fused = attention(x, positions)
    in_parts = attention(x, positions.expand(2, -1))  # positions of its own for each sequence are not fused
    torch.testing.assert_close(fused, in_parts, atol=1e-5, rtol=1e-4)
    inputs = x, *attention.parameters()
    torch.testing.assert_close(gradients(fused, *inputs), gradients(in_parts, *inputs), atol=1e-4, rtol=1e-4)


def test_a_watched_projection_is_called() -> None:
    seen: list[torch.Size] = []
    attention, ffn, x = CausalSelfAttention(16, 2), GatedFFN(16, 32, "swiglu"), torch.randn(1, 5, 16)
    before = attention(x), ffn(x)
    for linear in (attention.k_proj, ffn.w1):
        linear.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    torch.testing.assert_close((attention(x), ffn(x)), before, atol=1e-5, rtol=1e-4)
    assert seen == [(5, 16), (5, 32)]


def test_only_plain_float32_on_the_cpu_is_fused() -> None:
    x = torch.randn(3)
    assert can_fuse(x, torch.nn.Parameter(x))
    assert not can_fuse(x, x.double())
    assert not can_fuse(x.to("meta"))
    with torch._subclasses.FakeTensorMode():
        assert not can_fuse(torch.randn(3))


def test_layers_give_the_same_under_transforms() -> None:
    ffn, rope, x = GatedFFN(8, 16, "swiglu"), RotaryEmbedding(100.0, 8, 16), torch.randn(4, 3, 8)
    torch.testing.assert_close(torch.func.vmap(ffn)(x), ffn(x))
    torch.testing.assert_close(torch.func.vmap(rope)(x), rope(x))
