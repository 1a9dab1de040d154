"""The attention kernel against the formula, and where it is used."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model import CausalSelfAttention, RotaryEmbedding, rotate_pairs, scaled_dot_product_attention
from course_lib.model.kernels import attention, projected_attention
from course_lib.model.kernels.attention import side_by_side_attention
from tests.model.derivatives import gradients, leaf
from tests.model.kernels.conftest import Reached

ISAS = _kernels.available_isas()
# Without AVX2 the kernel is never used: there are too few registers for it.
USED = {"attention_forward"} if ISAS[-1] != "portable" else set()


def attend(
    qkv: Tensor, heads: int, tables: tuple[Tensor, Tensor] | None = None, layout: str = "interleaved"
) -> Tensor:
    """The plain form of ``side_by_side_attention``."""
    kv_heads = (qkv.shape[2] - heads) // 2
    q, k, v = qkv.split((heads, kv_heads, kv_heads), 2)
    if tables is not None:
        q, k = (rotate_pairs(x, *(table.unsqueeze(1) for table in tables), layout) for x in (q, k))
    return scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), is_causal=True).transpose(
        1, 2
    )


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
    options: dict[str, Any] = {
        "batch": 2,
        "tokens": tokens,
        "heads": heads,
        "kv_heads": kv_heads,
        "width": width,
        "scale": width**-0.5,
        "interleaved": layout == "interleaved",
        "cos": 0 if tables is None else tables[0].data_ptr(),
        "sin": 0 if tables is None else tables[1].data_ptr(),
        "isa": isa,
    }
    _kernels.attention_forward(*(x.data_ptr() for x in (qkv, y, log_sums)), **options)
    _kernels.attention_backward(*(x.data_ptr() for x in (dy, qkv, log_sums, dqkv)), **options)
    exact = qkv.double().requires_grad_()
    expected = attend(exact, heads, tables, layout or "half")
    torch.testing.assert_close(y.double(), expected.detach(), atol=1e-5, rtol=1e-5)
    (slope,) = torch.autograd.grad(expected, exact, dy.double())
    torch.testing.assert_close(dqkv.double(), slope, atol=1e-4, rtol=1e-4)


def test_attention_of_huge_scores_any_strides_and_second_derivatives() -> None:
    large = torch.cat((100 * torch.randn(1, 5, 2, 8), torch.randn(1, 5, 2, 8)), 2).requires_grad_()
    torch.testing.assert_close(side_by_side_attention(large, 2), attend(large, 2), atol=1e-3, rtol=1e-3)
    base, angles = leaf(8, 5, 2, 6), torch.randn(5, 3)
    tables = angles.cos(), angles.sin()

    def second(f: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        qkv = base.permute(2, 1, 0, 3)
        slope = torch.autograd.grad((f(qkv, 4, tables, "half") ** 3).sum(), base, create_graph=True)[0]
        return slope, torch.autograd.grad(slope.square().sum(), base)[0]

    torch.testing.assert_close(second(side_by_side_attention), second(attend), atol=1e-3, rtol=1e-3)


def test_attention_sees_no_later_token() -> None:
    qkv = torch.randn(1, 20, 3, 8)
    later = qkv.clone()
    later[:, 7:] = 1e6
    assert torch.equal(side_by_side_attention(qkv, 1)[:, :7], side_by_side_attention(later, 1)[:, :7])


@pytest.mark.parametrize("options", [{}, {"num_kv_heads": 1}, {"num_kv_heads": 2, "qk_norm": True}])
def test_attention_fused_and_in_parts(options: dict[str, Any]) -> None:
    attention = CausalSelfAttention(32, 4, rope=RotaryEmbedding(100.0, 8, 64), **options)
    x, positions = leaf(2, 19, 32), torch.arange(3, 22)
    fused = attention(x, positions)
    in_parts = attention(x, positions.expand(2, -1))  # positions of its own for each sequence are not fused
    torch.testing.assert_close(fused, in_parts, atol=1e-5, rtol=1e-4)
    inputs = x, *attention.parameters()
    torch.testing.assert_close(gradients(fused, *inputs), gradients(in_parts, *inputs), atol=1e-4, rtol=1e-4)


def heads(tokens: int, sequences: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(sequences, tokens, 4, 8), *torch.randn(2, sequences, tokens, 2, 8)


def test_it_is_used_for_short_whole_sequences(reached: Reached) -> None:
    short = 256 // torch.get_num_threads()
    q, k, v = heads(short)
    tables = torch.randn(short, 4), torch.randn(short, 4)
    assert reached(lambda: attention(q, k, v)) == USED
    assert reached(lambda: attention(q, k, v, tables)) - {"rotate"} == USED
    assert reached(lambda: attention(q, k, v, window=short)) == USED
    per_sequence = tuple(table.expand(2, short, 4) for table in tables)
    unused: list[Callable[[], Tensor]] = [
        lambda: attention(*heads(short + 1)),
        lambda: attention(q, k, v, window=short - 1),
        lambda: attention(q, k, v, per_sequence),  # type: ignore[arg-type]
        lambda: attention(*(x.double() for x in (q, k, v))),
        lambda: attention(q[0], k[0], v[0]),  # no batch
        lambda: attention(*(x.unsqueeze(0) for x in (q, k, v))),  # two batch dimensions
    ]
    for work in unused:
        assert "attention_forward" not in reached(work)
    with torch.no_grad():  # a token or a few, while nobody asks for gradients
        assert reached(lambda: attention(*heads(5, 1))) == USED
        assert not reached(lambda: attention(*heads(4, 1)))
        with torch.autocast("cpu", torch.bfloat16):
            assert not reached(lambda: attention(q, k, v))


def test_of_projected_tokens(reached: Reached) -> None:
    x, weights = leaf(2, 7, 12), [leaf(n, 12) for n in (24, 12, 12)]
    q, k, v = ((x @ weight.T).view(2, 7, -1, 6) for weight in weights)
    tables = torch.randn(7, 3), torch.randn(7, 3)
    expected = attention(q, k, v, tables, "half")
    found = projected_attention(x, weights, 6, tables, "half")
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    slopes = [gradients(y, x, *weights) for y in (found, expected)]
    torch.testing.assert_close(*slopes, atol=1e-3, rtol=1e-3)
    assert reached(lambda: projected_attention(x, weights, 6)) == USED
    backward = {name.replace("forward", "backward") for name in USED}
    assert reached(projected_attention(x, weights, 6).sum().backward) == backward
    with torch.no_grad():
        assert reached(lambda: projected_attention(x[:1, :4], weights, 6)) == {"multiply_few_rows"}
        in_parts = projected_attention(x, weights, 6, tables, "half", window=6)
        torch.testing.assert_close(in_parts[:, :6], expected[:, :6], atol=1e-4, rtol=1e-4)


def test_operands_that_do_not_fit_are_never_read(reached: Reached) -> None:
    q, k, v = heads(7)
    tables: list[tuple[int, int]] = [(6, 4), (7, 3)]
    unfit: list[Callable[[], Tensor]] = [
        lambda: attention(q, k[:, :5], v),
        lambda: attention(q, k[..., :7], v),
        lambda: attention(q[:, :, :3], k, v),
        lambda: attention(q, k, torch.randn(2, 7, 4, 8)),  # would be taken for three heads each
        lambda: projected_attention(torch.randn(2, 7, 12), [torch.randn(n, 12) for n in (24, 12, 6)], 6),
        lambda: projected_attention(torch.randn(2, 7, 12), [torch.randn(24, n) for n in (12, 12, 11)], 6),
        *(
            lambda shape=shape: attention(q, k, v, (torch.randn(shape), torch.randn(shape)))
            for shape in tables
        ),
    ]
    for work in unfit:
        with contextlib.suppress(RuntimeError, ValueError):  # some are refused elsewhere
            assert "attention_forward" not in reached(work)


def test_long_sequences_see_no_later_token_either() -> None:
    layer = CausalSelfAttention(16, 2, rope=RotaryEmbedding(100.0, 8, 300))
    x = torch.randn(1, 300, 16)
    torch.testing.assert_close(layer(x)[:, :100], layer(x[:, :100]), atol=1e-5, rtol=1e-4)
