"""softmax, SiLU and attention against torch, over shapes, masks and groups of heads."""

import math

import pytest
import torch
import torch.nn.functional as tf
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_lib.model import (
    causal_mask,
    online,
    online_attention,
    online_softmax,
    recomputed_attention,
    scaled_dot_product_attention,
    silu,
    softmax,
)

SIZES = st.integers(1, 9)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(SIZES, SIZES, st.sampled_from([0, 1, -1]), st.floats(0.1, 1000))
def test_softmax(rows: int, columns: int, dim: int, scale: float) -> None:
    x = normal(rows, columns) * scale
    torch.testing.assert_close(softmax(x, dim), torch.softmax(x, dim))


def test_softmax_of_large_numbers_does_not_overflow() -> None:
    x = torch.tensor([1e4, 1e4 - math.log(3)])
    torch.testing.assert_close(softmax(x, 0), torch.tensor([0.75, 0.25]), atol=1e-3, rtol=0)


def test_silu() -> None:
    x = normal(100)
    torch.testing.assert_close(silu(x), tf.silu(x))


@given(SIZES, SIZES, SIZES, st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_attention_equals_torch(t: int, s: int, d: int, kv_heads: int, group: int, is_causal: bool) -> None:
    q, k, v = (
        normal(2, kv_heads * group, t, d),
        normal(2, kv_heads, s, d, seed=1),
        normal(2, kv_heads, s, d, seed=2),
    )
    expected = tf.scaled_dot_product_attention(q, k, v, is_causal=is_causal, enable_gqa=True)
    torch.testing.assert_close(scaled_dot_product_attention(q, k, v, is_causal=is_causal), expected)


@given(SIZES, SIZES, st.integers(1, 3), st.sampled_from([(), (1,), (4,), (2, 1), (2, 4)]), st.integers(0, 99))
def test_attention_with_masks_equals_torch(
    t: int, s: int, kv_heads: int, leading: tuple[int, ...], seed: int
) -> None:
    kv_heads = {1: 1, 2: 2, 3: 4}[kv_heads]
    q, k, v = normal(2, 4, t, 8), normal(2, kv_heads, s, 8, seed=1), normal(2, kv_heads, s, 8, seed=2)
    numbers = normal(*leading, t, s, seed=seed)
    for mask in (numbers > 0, numbers):  # some rows of the boolean one look nowhere
        expected = tf.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
        torch.testing.assert_close(scaled_dot_product_attention(q, k, v, mask), expected)


def test_attention_without_batch_or_heads() -> None:
    q, k, v = normal(5, 4), normal(7, 4, seed=1), normal(7, 3, seed=2)
    expected = torch.softmax(q @ k.T / 2, -1) @ v
    torch.testing.assert_close(scaled_dot_product_attention(q, k, v), expected)


def test_causal_mask_by_its_definition() -> None:
    for window in (None, 1, 3):
        mask = causal_mask(4, 9, offset=5, window=window)
        for i in range(4):
            for j in range(9):
                assert mask[i, j] == (j <= i + 5 and (window is None or j > i + 5 - window))


@given(SIZES, st.integers(1, 12), st.booleans(), st.one_of(st.none(), st.integers(1, 12)), st.integers(0, 99))
def test_online_attention_is_exact(
    t: int, block: int, is_causal: bool, window: int | None, seed: int
) -> None:
    window = window if is_causal else None
    q, k, v = (
        normal(2, t, 4, seed=seed) * 5,
        normal(2, t, 4, seed=seed + 1) * 5,
        normal(2, t, 3, seed=seed + 2),
    )
    mask = causal_mask(t, t, window=window) if is_causal else None
    mixed = online_attention(q, k, v, block_size=block, is_causal=is_causal, window=window)
    torch.testing.assert_close(mixed, scaled_dot_product_attention(q, k, v, mask))


@given(st.integers(1, 20), st.integers(1, 25))
def test_online_softmax(n: int, block: int) -> None:
    x = normal(3, n) * 50
    maximum, total = online_softmax(x, block)
    torch.testing.assert_close(maximum, x.amax(-1))
    torch.testing.assert_close(maximum + total.log(), x.logsumexp(-1))


def test_bad_arguments() -> None:
    q = normal(4, 5, 8)
    with pytest.raises(ValueError, match="exclude each other"):
        scaled_dot_product_attention(q, q, q, torch.ones(5, 5, dtype=torch.bool), is_causal=True)
    with pytest.raises(ValueError, match=r"q, k and v must have shapes .* not \(4, 5, 8\), \(4, 5, 7\)"):
        scaled_dot_product_attention(q, normal(4, 5, 7), q)
    with pytest.raises(ValueError, match="the 3 heads of k and v must divide the 4 heads of q"):
        scaled_dot_product_attention(q, q[:3], q[:3])
    with pytest.raises(ValueError, match="block_size must be at least 1, not 0"):
        online_attention(q, q, q, block_size=0)
    with pytest.raises(ValueError, match="window needs is_causal=True"):
        online_attention(q, q, q, window=3)


def test_a_query_that_may_look_nowhere_gets_zeros_and_gives_no_gradient() -> None:
    q, k, v = (normal(2, 3, 5, 4, seed=i).requires_grad_() for i in range(3))
    allowed = normal(5, 5, seed=4) > 0
    allowed[:, 0], allowed[1] = True, False
    numbers = torch.zeros(5, 5, dtype=q.dtype).masked_fill(~allowed, -math.inf).requires_grad_()
    by_kind = [scaled_dot_product_attention(q, k, v, mask) for mask in (allowed, numbers)]
    expected = tf.scaled_dot_product_attention(q, k, v, allowed)
    slopes = [torch.autograd.grad(y.square().sum(), (q, k, v)) for y in (*by_kind, expected)]
    for y, found in zip(by_kind, slopes, strict=False):
        assert not y[..., 1, :].any() and not found[0][..., 1, :].any()
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(found, slopes[-1])
    grouped = scaled_dot_product_attention(q, k[:, :1], v[:, :1], numbers)
    assert grouped.isfinite().all() and not grouped[..., 1, :].any()
    (slope,) = torch.autograd.grad(scaled_dot_product_attention(q, k, v, numbers).square().sum(), numbers)
    assert slope.isfinite().all() and slope.any()


def test_queries_beyond_the_window_of_the_last_key_get_zeros() -> None:
    q, k, v = (normal(size, 4, seed=size).requires_grad_() for size in (9, 3, 3))
    mixed = online_attention(q, k, v, block_size=2, is_causal=True, window=2)
    expected = scaled_dot_product_attention(q, k, v, causal_mask(9, 3, window=2))
    torch.testing.assert_close(mixed, expected)
    assert not mixed[4:].any()
    slopes = [torch.autograd.grad(y.square().sum(), (q, k, v)) for y in (mixed, expected)]
    torch.testing.assert_close(*slopes)


def test_online_softmax_past_blocks_of_minus_infinity() -> None:
    x = normal(3, 8)
    x[0, :4], x[1, 4:], x[2] = -math.inf, -math.inf, -math.inf
    maximum, total = online_softmax(x, 2)
    torch.testing.assert_close(maximum + total.log(), x.logsumexp(-1))


@given(
    SIZES,
    SIZES,
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([(False, None), (True, None), (True, 1), (True, 3)]),
)
def test_tiles_of_queries_and_keys_change_nothing(
    t: int, s: int, block: int, rows: int, options: tuple[bool, int | None]
) -> None:
    is_causal, window = options
    q, k, v = normal(2, t, 4) * 5, normal(2, s, 4, seed=1) * 5, normal(2, s, 3, seed=2)
    mask = causal_mask(t, s, window=window) if is_causal else None
    mixed = online_attention(
        q, k, v, block_size=block, query_block_size=rows, is_causal=is_causal, window=window
    )
    torch.testing.assert_close(mixed, scaled_dot_product_attention(q, k, v, mask))


def test_hidden_tiles_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles: list[tuple[int, int]] = []
    scores = online._scores

    def watch(q: Tensor, k: Tensor, *rest: object) -> Tensor:
        tiles.append((q.shape[-2], k.shape[-2]))
        return scores(q, k, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(online, "_scores", watch)
    q = normal(64, 4)
    for options, expected in (({}, 8 * 8), ({"is_causal": True}, 36), ({"is_causal": True, "window": 8}, 15)):
        tiles.clear()
        online_attention(q, q, q, block_size=8, query_block_size=8, **options)  # type: ignore[arg-type]
        assert tiles == [(8, 8)] * expected


@given(SIZES, SIZES, st.integers(1, 6), st.sampled_from([(False, None), (True, None), (True, 2)]))
def test_the_recomputed_backward_equals_autograd(
    t: int, s: int, block: int, options: tuple[bool, int | None]
) -> None:
    is_causal, window = options
    inputs = [normal(2, t, 4), normal(2, s, 4, seed=1), normal(2, s, 3, seed=2)]
    q, k, v = (tensor.mul(2).requires_grad_() for tensor in inputs)
    mask = causal_mask(t, s, window=window) if is_causal else None
    mixed = recomputed_attention(q, k, v, block_size=block, is_causal=is_causal, window=window)
    expected = scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(mixed, expected)
    slope = normal(2, t, 3, seed=3)
    found, wanted = (torch.autograd.grad(y, (q, k, v), slope) for y in (mixed, expected))
    torch.testing.assert_close(found, wanted)


def test_the_recomputed_backward_keeps_no_weights() -> None:
    q, k, v = (normal(2, 96, 4, seed=i).requires_grad_() for i in range(3))
    kept = []
    for attend in (online_attention, recomputed_attention):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (sizes.append(x.numel()), x)[1], lambda x: x):  # noqa: B023
            attend(q, k, v, block_size=16, is_causal=True)
        kept.append(sum(sizes))
    assert kept[0] > 2 * 96 * 96
    assert kept[1] == 2 * 96 * (4 * 4 + 1)  # q, k, v, the result, and one number per query


def test_bad_arguments_of_recomputation() -> None:
    q = normal(4, 5, 8)
    with pytest.raises(ValueError, match=r"the same leading dimensions, not shapes \(4, 5, 8\), \(2, 5, 8\)"):
        recomputed_attention(q, q[:2], q[:2])
    with pytest.raises(ValueError, match="window needs is_causal=True"):
        recomputed_attention(q, q, q, window=3)
    with pytest.raises(ValueError, match="query_block_size must be at least 1, not 0"):
        online_attention(q, q, q, query_block_size=0)
    q = q.requires_grad_()
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        torch.autograd.grad(recomputed_attention(q, q, q).sum(), q, create_graph=True)
