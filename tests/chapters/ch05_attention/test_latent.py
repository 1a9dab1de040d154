"""Latent attention: its two forms against each other, against DeepSeek's own module, and its cache."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import (
    DeepseekV3Attention,
    DeepseekV3RotaryEmbedding,
)

from course_lib.chapters.ch05_attention.experiments import latent
from course_lib.model import RotaryEmbedding


def layer(
    heads: int = 4, width: int = 8, kept: int = 12, turned: int = 4, d_model: int = 32
) -> latent.LatentAttention:
    return latent.small_layer(d_model, heads, width, latent=kept, rope_dim=turned)


def tokens(batch: int = 2, length: int = 20, d_model: int = 32) -> torch.Tensor:
    return torch.randn(
        batch, length, d_model, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


@given(
    st.integers(1, 5), st.integers(1, 9), st.integers(1, 12), st.sampled_from([2, 4, 6]), st.integers(1, 12)
)
def test_the_two_forms_are_equal(heads: int, width: int, kept: int, turned: int, length: int) -> None:
    made, x = layer(heads, width, kept, turned), tokens(2, length)
    torch.testing.assert_close(made.absorbed(x), made.by_heads(x), atol=1e-12, rtol=1e-10)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_reading_in_pieces_through_the_cache(pieces: list[int]) -> None:
    made, x = layer(), tokens(2, sum(pieces))
    cache = made.new_cache(2, 40)
    parts = [made.absorbed(part, cache) for part in x.split(pieces, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), made.by_heads(x), atol=1e-12, rtol=1e-10)
    assert cache.length == sum(pieces)
    assert cache.num_bytes == 2 * 40 * (12 + 4) * 8


def test_the_cache_refuses_what_does_not_fit() -> None:
    cache = layer().new_cache(2, 3)
    with pytest.raises(
        ValueError, match=r"the cache is too short: 0 positions are filled, 4 more were requested"
    ):
        cache.append(torch.ones(2, 4, 16, dtype=torch.float64))
    assert cache.length == 0


def test_deepseeks_own_module_gives_the_same() -> None:
    config = DeepseekV3Config(
        hidden_size=32,
        num_attention_heads=4,
        num_key_value_heads=4,
        q_lora_rank=None,
        kv_lora_rank=12,
        qk_nope_head_dim=8,
        qk_rope_head_dim=4,
        v_head_dim=8,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    theirs, ours, x = DeepseekV3Attention(config, 0).double().eval(), layer(), tokens()
    with torch.no_grad():
        theirs.q_proj.weight.copy_(ours.q_proj.weight)
        theirs.kv_a_proj_with_mqa.weight.copy_(torch.cat((ours.down.weight, ours.k_rope.weight)))
        theirs.kv_a_layernorm.weight.copy_(ours.norm.weight)
        up = [part.weight.unflatten(0, (4, 8)) for part in (ours.k_up, ours.v_up)]
        theirs.kv_b_proj.weight.copy_(torch.cat(up, 1).flatten(0, 1))
        theirs.o_proj.weight.copy_(ours.output_proj.weight)
        positions = torch.arange(20).unsqueeze(0)
        tables = DeepseekV3RotaryEmbedding(config)(x, positions)
        mask = torch.full((1, 1, 20, 20), float("-inf"), dtype=torch.float64).triu(1)
        expected = theirs(x, position_embeddings=tables, attention_mask=mask)[0]
    # Their tables of cosines and sines are made in float32.
    torch.testing.assert_close(ours.absorbed(x), expected, atol=3e-5, rtol=1e-5)


def test_a_rotation_cannot_be_absorbed() -> None:
    made, x = layer(), tokens()
    torch.testing.assert_close(*latent.scores_two_ways(made, x))
    one, other = latent.scores_two_ways(made, x, RotaryEmbedding(100.0, 8, 64))
    assert (one - other)[..., 1:].abs().max() > 0.1
    torch.testing.assert_close(one[..., 0, 0], other[..., 0, 0])  # at position 0 nothing is turned
