"""CausalSelfAttention against its formula, with every option, and the KV cache."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_lib.model import (
    CausalSelfAttention,
    KVCache,
    LayerCache,
    ModelConfig,
    RotaryEmbedding,
    causal_mask,
    rms_norm_reference,
    scaled_dot_product_attention,
)


def by_hand(attention: CausalSelfAttention, x: Tensor) -> Tensor:
    """One head at a time, from the weights."""
    heads, kv_heads, d = attention.num_heads, attention.num_kv_heads, attention.head_dim
    mask = causal_mask(x.shape[-2], x.shape[-2], window=attention.window)
    mixed = []
    for head in range(heads):
        kv = head // (heads // kv_heads)
        q = x @ attention.q_proj.weight[head * d : (head + 1) * d].T
        k = x @ attention.k_proj.weight[kv * d : (kv + 1) * d].T
        v = x @ attention.v_proj.weight[kv * d : (kv + 1) * d].T
        if attention.q_norm is not None and attention.k_norm is not None:
            q, k = (
                rms_norm_reference(q, attention.q_norm.weight),
                rms_norm_reference(k, attention.k_norm.weight),
            )
        if attention.rope is not None:
            q, k = attention.rope(q), attention.rope(k)
        mixed.append(scaled_dot_product_attention(q, k, v, mask))
    return torch.cat(mixed, -1) @ attention.output_proj.weight.T


OPTIONS = st.fixed_dictionaries(
    {
        "kv_heads": st.sampled_from([1, 2, 4]),
        "rope": st.booleans(),
        "qk_norm": st.booleans(),
        "window": st.one_of(st.none(), st.integers(1, 9)),
        "head_dim": st.sampled_from([None, 6]),
    }
)


def build(kv_heads: int, rope: bool, head_dim: int | None, **options: object) -> CausalSelfAttention:
    table = RotaryEmbedding(100.0, head_dim or 8, 16) if rope else None
    return CausalSelfAttention(32, 4, kv_heads, rope=table, head_dim=head_dim, **options)  # type: ignore[arg-type]


@given(OPTIONS, st.integers(1, 12), st.sampled_from([(), (2,), (2, 3)]))
def test_attention_equals_its_formula(options: dict[str, object], t: int, leading: tuple[int, ...]) -> None:
    attention = build(**options)  # type: ignore[arg-type]
    x = torch.randn(*leading, t, 32)
    torch.testing.assert_close(attention(x), by_hand(attention, x), atol=1e-5, rtol=1e-4)


@given(OPTIONS, st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_reading_in_pieces_with_a_cache_equals_reading_at_once(
    options: dict[str, object], pieces: list[int]
) -> None:
    attention = build(**options)  # type: ignore[arg-type]
    x = torch.randn(2, min(sum(pieces), 16), 32)
    cache = LayerCache(2, attention.num_kv_heads, 16, attention.head_dim)
    with torch.no_grad():
        parts, start = [], 0
        for piece in pieces:
            if start < x.shape[1]:
                parts.append(attention(x[:, start : start + piece], cache=cache))
                start += piece
        torch.testing.assert_close(torch.cat(parts, 1), attention(x), atol=1e-5, rtol=1e-4)
    assert cache.length == x.shape[1]


def test_given_positions_turn_queries_and_keys() -> None:
    attention = build(2, True, None)
    x = torch.randn(2, 5, 32)
    torch.testing.assert_close(attention(x, torch.arange(5)), attention(x))
    torch.testing.assert_close(attention(x, torch.arange(5) + 9), attention(x), atol=1e-5, rtol=1e-4)
    spread = torch.stack((torch.arange(5), 3 * torch.arange(5)))
    together = attention(x, spread)
    torch.testing.assert_close(together[0], attention(x)[0])
    torch.testing.assert_close(together[1], attention(x[1], spread[1]))
    assert (together[1] - attention(x)[1]).abs().max() > 1e-4


def test_the_future_is_not_seen_and_the_window_ends() -> None:
    attention = build(2, True, None, window=3)
    x = torch.randn(1, 8, 32, requires_grad=True)
    seen = torch.autograd.grad(attention(x)[0, 5].sum(), x)[0][0].abs().sum(-1) > 0
    assert seen.tolist() == [False, False, False, True, True, True, False, False]


def test_names_and_shapes_of_parameters() -> None:
    attention = CausalSelfAttention(32, 4, 2, qk_norm=True)
    assert {name: tuple(p.shape) for name, p in attention.named_parameters()} == {
        "q_proj.weight": (32, 32),
        "k_proj.weight": (16, 32),
        "v_proj.weight": (16, 32),
        "output_proj.weight": (32, 32),
        "q_norm.weight": (8,),
        "k_norm.weight": (8,),
    }


def test_cache_of_a_model() -> None:
    config = ModelConfig(10, 16, 32, 3, 4, 2)
    cache = KVCache(config, batch_size=5)
    assert cache.num_bytes == 2 * 3 * 2 * 8 * 16 * 5 * 4
    assert KVCache(config, dtype=torch.bfloat16, max_seq_len=4).num_bytes == 2 * 3 * 2 * 8 * 4 * 2
    assert repr(cache) == "KVCache(3 layers, batch_size=5, kv_heads=2, head_dim=8, 0 of 16 positions)"
    for layer in cache.layers:
        layer.append(torch.ones(5, 2, 3, 8), torch.ones(5, 2, 3, 8))
    assert cache.length == 3
    cache.truncate(1)
    assert cache.length == 1 and cache.max_seq_len == 16
    with pytest.raises(ValueError, match=r"length must be in 0 … 1, the filled length, not 2"):
        cache.truncate(2)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="num_heads must divide d_model = 32"):
        CausalSelfAttention(32, 5)
    with pytest.raises(ValueError, match="num_kv_heads must divide num_heads = 4, not 3"):
        CausalSelfAttention(32, 4, 3)
    with pytest.raises(ValueError, match="rope must be made for head_dim = 8, not 16"):
        CausalSelfAttention(32, 4, rope=RotaryEmbedding(100.0, 16, 16))
    with pytest.raises(ValueError, match="window must be at least 1, not 0"):
        CausalSelfAttention(32, 4, window=0)
    attention = build(2, True, None)
    with pytest.raises(ValueError, match=r"position 16 is beyond the table"):
        attention(torch.randn(1, 17, 32))
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., T, 32\), not \(32,\)"):
        attention(torch.randn(32))
    with pytest.raises(ValueError, match="x must have 32 features"):
        attention(torch.randn(2, 3, 31))
    with pytest.raises(ValueError, match="token_positions must broadcast"):
        attention(torch.randn(2, 3, 32), torch.arange(4))


def test_cache_refuses_what_does_not_fit() -> None:
    attention = build(2, False, None)
    cache = LayerCache(2, 2, 4, 8)
    with pytest.raises(ValueError, match="0 positions are filled, 5 more were requested, max_seq_len is 4"):
        attention(torch.randn(2, 5, 32), cache=cache)
    with pytest.raises(
        ValueError, match=r"keys for this cache must have shape \(2, 2, 3, 8\), not \(1, 2, 3, 8\)"
    ):
        attention(torch.randn(1, 3, 32), cache=cache)
    with pytest.raises(
        ValueError, match=r"keys for this cache must be torch\.float32 on cpu, not torch\.float64"
    ):
        attention.double()(torch.randn(2, 3, 32).double(), cache=cache)
    assert cache.length == 0
    with pytest.raises(
        ValueError, match="max_seq_len must be at most the model's context_length = 16, not 17"
    ):
        KVCache(ModelConfig(10, 16, 32, 3, 4, 2), max_seq_len=17)
