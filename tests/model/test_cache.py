"""Caches that keep a window and first tokens: what is seen against a mask, memory that stops growing, refusals."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention as torch_attention

from course_lib.accounting import kv_cache_bytes
from course_lib.model import (
    CausalSelfAttention,
    KVCache,
    LayerCache,
    ModelConfig,
    RotaryEmbedding,
    TransformerLM,
)

CONFIG = ModelConfig(20, 64, 16, 2, 4, 2)


@given(st.integers(1, 9), st.lists(st.integers(1, 7), min_size=1, max_size=8), st.booleans())
def test_a_windowed_cache_gives_what_reading_at_once_gives(
    window: int, pieces: list[int], has_rope: bool
) -> None:
    rope = RotaryEmbedding(100.0, 4, 64) if has_rope else None
    attention = CausalSelfAttention(16, 4, 2, rope=rope, window=window)
    x, cache = torch.randn(2, sum(pieces), 16), LayerCache(2, 2, 64, 4, window=window)
    with torch.no_grad():
        parts = [attention(part, cache=cache) for part in x.split(pieces, 1)]
        torch.testing.assert_close(torch.cat(parts, 1), attention(x), atol=1e-5, rtol=1e-4)
    assert cache.length == sum(pieces)
    assert cache.keys.shape == (2, 2, min(window, 64), 4)


@given(st.integers(1, 6), st.integers(0, 4), st.lists(st.integers(1, 5), min_size=1, max_size=9))
def test_what_is_kept(window: int, sinks: int, pieces: list[int]) -> None:
    """Each step sees the first positions, the last ones before it, and the new ones; several at once in order."""
    cache = LayerCache(1, 1, 50, 1, window=window, sinks=sinks)
    read = 0
    for piece in pieces:
        new = torch.arange(read, read + piece).float().view(1, 1, -1, 1)
        keys, values = cache.append(new, -new)
        seen = keys.flatten().int().tolist()
        before = [i for i in range(read) if i < sinks or i >= read - window]
        expected = before + list(range(read, read + piece))
        if piece == 1:  # the slots are the last ones and those of the sinks; the oldest has made room
            expected = [i for i in expected if i < sinks or i > read - window]
            assert sorted(seen) == expected
        else:
            assert seen == expected
        assert torch.equal(values, -keys)
        read += piece


def test_memory_stops_growing() -> None:
    windowed = replace(CONFIG, window=8, context_length=4096)
    sizes = {length: KVCache(windowed, 3, length).num_bytes for length in (4, 8, 64, 4096)}
    assert sizes == {4: 3 * 2 * 2 * 2 * 4 * 4 * 4, **dict.fromkeys((8, 64, 4096), 3 * 2 * 2 * 2 * 4 * 8 * 4)}
    assert all(kv_cache_bytes(windowed, 3, length) == size for length, size in sizes.items())
    cache = KVCache(windowed)
    buffers = [tensor.data_ptr() for layer in cache.layers for tensor in (layer.keys, layer.values)]
    model = TransformerLM(windowed).eval()
    ids = torch.randint(20, (1, 200))
    with torch.no_grad():
        for place in range(200):
            model(ids[:, place : place + 1], cache=cache)
    assert cache.length == 200
    assert cache.num_bytes == sizes[64] // 3
    assert buffers == [tensor.data_ptr() for layer in cache.layers for tensor in (layer.keys, layer.values)]


def test_local_and_global_layers() -> None:
    model = TransformerLM(CONFIG).eval()
    model.layers[0].attn.window = 5
    ids = torch.randint(20, (2, 40))
    cache = KVCache(CONFIG, 2, windows=[5, None])
    assert cache.num_bytes == 2 * 2 * 2 * 4 * 4 * (5 + 64)
    assert repr(cache).endswith("0 of 64 positions, windows of 5)")
    with torch.no_grad():
        steps = [model(ids[:, :9], cache=cache)] + [
            model(ids[:, i : i + 1], cache=cache) for i in range(9, 40)
        ]
        torch.testing.assert_close(torch.cat(steps, 1), model(ids), atol=1e-5, rtol=1e-4)


def test_first_tokens_stay_in_sight() -> None:
    attention = CausalSelfAttention(16, 4, 2)
    x, cache = torch.randn(1, 30, 16), LayerCache(1, 2, 64, 4, window=6, sinks=3)
    place = torch.arange(30)
    allowed = (place <= place[:, None]) & ((place < 3) | (place > place[:, None] - 6))
    with torch.no_grad():
        steps = torch.cat([attention(x[:, i : i + 1], cache=cache) for i in range(30)], 1)
        mixed = torch_attention(*attention.heads(x), attn_mask=allowed, enable_gqa=True)
        expected = attention.output_proj(mixed.transpose(1, 2).flatten(-2))
    torch.testing.assert_close(steps, expected, atol=1e-5, rtol=1e-4)
    assert cache.keys.shape[2] == 9


def test_generation_with_a_window_is_that_without_a_cache() -> None:
    model = TransformerLM(replace(CONFIG, window=6)).eval()
    tokens = [
        model.generate([1, 2, 3, 4, 5, 6, 7, 8], 40, temperature=0, use_cache=keep).tolist()
        for keep in (True, False)
    ]
    assert tokens[0] == tokens[1]


def test_a_cache_that_has_forgotten_can_only_be_emptied() -> None:
    cache = KVCache(CONFIG, windows=[4, None])
    new = torch.ones(1, 2, 6, 4)
    for layer in cache.layers:
        layer.append(new[:, :, :4], new[:, :, :4])
    cache.truncate(2)
    assert cache.length == 2
    for layer in cache.layers:
        layer.append(new, new)
    with pytest.raises(
        ValueError, match="length must be 0 or 8, not 3: a window of 4 keeps no older positions"
    ):
        cache.truncate(3)
    assert [layer.length for layer in cache.layers] == [8, 8], "nothing half done"
    cache.truncate(8)
    cache.truncate()
    assert [layer.length for layer in cache.layers] == [0, 0]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="window must be at least 1, not 0"):
        LayerCache(1, 2, 8, 4, window=0)
    with pytest.raises(ValueError, match="sinks must be at least 0, not -1"):
        LayerCache(1, 2, 8, 4, window=2, sinks=-1)
    with pytest.raises(ValueError, match="sinks need a window"):
        LayerCache(1, 2, 8, 4, sinks=1)
    with pytest.raises(ValueError, match="windows must have 2 entries, one per layer, not 3"):
        KVCache(CONFIG, windows=[4, None, 4])
    layer = CausalSelfAttention(16, 4, 2, window=5)
    for other in ({"window": 4}, {"window": 5, "sinks": 1}):
        cache = LayerCache(1, 2, 8, 4, **other)  # type: ignore[arg-type]
        with pytest.raises(
            ValueError, match="the layer's own window is 5, so it needs a cache of that window"
        ):
            layer(torch.randn(1, 1, 16), cache=cache)
        assert cache.length == 0
    full = LayerCache(1, 2, 3, 4, window=2)
    full.append(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
    with pytest.raises(ValueError, match="3 positions are filled, 1 more were requested, max_seq_len is 3"):
        full.append(torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4))
