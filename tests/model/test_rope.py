"""Rotary positions: against complex numbers, transformers, and what they are for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from course_lib.model import (
    CausalSelfAttention,
    RopeScaling,
    RotaryEmbedding,
    SinusoidalEmbedding,
    half_to_interleaved,
    interleaved_to_half,
    rotary_frequencies,
)

LAYOUTS = st.sampled_from(["interleaved", "half"])


@given(LAYOUTS, st.integers(1, 8), st.integers(0, 99))
def test_rotation_is_multiplication_by_complex_numbers(layout: str, pairs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 2, 5, 2 * pairs, generator=generator)
    positions = torch.randint(0, 50, (2, 5), generator=generator)
    rope = RotaryEmbedding(100.0, 2 * pairs, 50, layout=layout)
    angles = positions[..., None] * 100.0 ** (-torch.arange(pairs) / pairs)
    turn = torch.polar(torch.ones_like(angles), angles)
    if layout == "interleaved":
        expected = torch.view_as_real(torch.view_as_complex(x.view(3, 2, 5, pairs, 2)) * turn).flatten(-2)
    else:
        turned = torch.complex(*x.chunk(2, -1)) * turn
        expected = torch.cat((turned.real, turned.imag), -1)
    torch.testing.assert_close(rope(x, positions), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(rope(x), rope(x, torch.arange(5)))


@given(LAYOUTS, st.integers(0, 400), st.integers(0, 400), st.integers(0, 100))
def test_scores_depend_on_the_offset_alone(layout: str, m: int, n: int, shift: int) -> None:
    rope = RotaryEmbedding(10000.0, 16, 512, layout=layout)
    q, k = torch.randn(1, 16), torch.randn(1, 16)

    def score(m: int, n: int) -> float:
        return (rope(q, torch.tensor([m])) * rope(k, torch.tensor([n]))).sum().item()

    assert score(m, n) == pytest.approx(score(m + shift, n + shift), abs=1e-3)


def test_layouts_are_the_same_up_to_the_order_of_features() -> None:
    x = torch.randn(2, 7, 32)
    interleaved = CausalSelfAttention(32, 4, 2, rope=RotaryEmbedding(100.0, 8, 16))
    half = CausalSelfAttention(32, 4, 2, rope=RotaryEmbedding(100.0, 8, 16, layout="half"))
    weights = dict(interleaved.state_dict())
    half.load_state_dict(weights)
    assert (half(x) - interleaved(x)).abs().max() > 1e-3
    for name in ("q_proj.weight", "k_proj.weight"):
        moved = interleaved_to_half(weights[name], 8)
        assert torch.equal(half_to_interleaved(moved, 8), weights[name])
        weights[name] = moved
    half.load_state_dict(weights)
    torch.testing.assert_close(half(x), interleaved(x))


@pytest.mark.parametrize("head_dim", [16, 64])
@pytest.mark.parametrize("original", [256, 4096])
@pytest.mark.parametrize(
    "scaling",
    [
        {"type": "linear", "factor": 4.0},
        {"type": "yarn", "factor": 4.0},
        {"type": "yarn", "factor": 16.0, "beta_fast": 8.0, "attention_factor": 1.5},
        {"type": "llama3", "factor": 8.0},
    ],
)
def test_scaling_equals_transformers(scaling: dict[str, object], original: int, head_dim: int) -> None:
    theirs = {
        **scaling,
        "rope_type": scaling["type"],
        "rope_theta": 10000.0,
        "original_max_position_embeddings": original,
    }
    del theirs["type"]
    if scaling["type"] == "llama3":
        theirs |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config = LlamaConfig(
        hidden_size=4 * head_dim,
        num_attention_heads=4,
        max_position_embeddings=int(original * scaling["factor"]),  # type: ignore[call-overload]
        rope_parameters=theirs,
    )
    expected, factor = ROPE_INIT_FUNCTIONS[theirs["rope_type"]](config, "cpu")
    ours, our_factor = rotary_frequencies(10000.0, head_dim, {**scaling, "original_max_seq_len": original})
    torch.testing.assert_close(ours, expected)
    assert our_factor == pytest.approx(factor)


def test_ntk_keeps_the_fastest_pair_and_interpolates_the_slowest() -> None:
    plain, _ = rotary_frequencies(10000.0, 32)
    ntk, factor = rotary_frequencies(10000.0, 32, RopeScaling("ntk", 4.0))
    assert factor == 1.0
    assert ntk[0] == plain[0]
    assert (plain[-1] / ntk[-1]).item() == pytest.approx(4.0, rel=1e-4)
    assert torch.all((plain / ntk).diff() > 0)


def test_attention_factor_scales_queries_and_keys() -> None:
    rope = RotaryEmbedding(100.0, 8, 16, scaling={"type": "yarn", "factor": 2, "original_max_seq_len": 8})
    x = torch.randn(4, 8)
    torch.testing.assert_close(rope(x).norm(dim=-1), x.norm(dim=-1) * (0.1 * math.log(2) + 1))


def test_low_precision_and_device_moves() -> None:
    rope = RotaryEmbedding(100.0, 8, 16)
    assert not rope.state_dict()
    assert rope(torch.randn(4, 8).bfloat16()).dtype == torch.bfloat16


def test_sinusoidal() -> None:
    table = SinusoidalEmbedding(20, 6)(torch.arange(20))
    for position in (0, 7, 19):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)
    assert SinusoidalEmbedding(4, 5)(torch.tensor([3])).shape == (1, 5)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"head_dim must be even.* not 7"):
        RotaryEmbedding(100.0, 7, 16)
    with pytest.raises(ValueError, match="layout must be one of 'interleaved', 'half', not 'neox'"):
        RotaryEmbedding(100.0, 8, 16, layout="neox")
    with pytest.raises(ValueError, match="theta must be positive, not 0"):
        RotaryEmbedding(0, 8, 16)
    rope = RotaryEmbedding(100.0, 8, 16)
    with pytest.raises(ValueError, match=r"position 16 is beyond the table: max_seq_len is 16"):
        rope(torch.randn(17, 8))
    for wrong in (16, -1):
        with pytest.raises(ValueError, match=rf"token_positions must be in 0 … 15 .*, not {wrong}"):
            rope(torch.randn(2, 8), torch.tensor([3, wrong]))
    with pytest.raises(ValueError, match=r"token_positions must broadcast to \(2, 5\)"):
        rope(torch.randn(2, 5, 8), torch.arange(4))
    with pytest.raises(ValueError, match="token_positions must be a tensor of int64"):
        rope(torch.randn(2, 8), torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., T, 8\), not \(2, 6\)"):
        rope(torch.randn(2, 6))
    for wrong_scaling, message in (
        ({"type": "cubic", "factor": 2}, "type of scaling must be one of 'linear'.*not 'cubic'"),
        ({"type": "linear", "factor": 0.5}, "factor of scaling must be at least 1, not 0.5"),
        ({"type": "yarn", "factor": 2}, "'yarn' needs original_max_seq_len"),
        (
            {"type": "yarn", "factor": 2, "original_max_seq_len": 8, "beta_fast": 1},
            "beta_fast must be greater",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            RotaryEmbedding(100.0, 8, 16, scaling=wrong_scaling)
    with pytest.raises(ValueError, match="divide the 12 rows of weight, not 8"):
        interleaved_to_half(torch.zeros(12, 3), 8)
