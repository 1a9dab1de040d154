"""Chapter 4: rotated queries and keys: their scores, the precision that is needed, and the cost."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from types import MethodType

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import attentions
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread
from course_lib.model import (
    CausalSelfAttention,
    LayerCache,
    ModelConfig,
    RotaryEmbedding,
    SinusoidalEmbedding,
    TransformerLM,
    rotary_frequencies,
    rotate_pairs,
    scaled_dot_product_attention,
)

_OFFSETS = (0, 1, 2, 3, *(round(2 ** (power / 4)) for power in range(8, 53)))

# --- does attention know about order? ---------------------------------------------------------------------------------


@float32_on_cpu()
@torch.no_grad()
def order_matters(
    models: Sequence[str] = ("none", "none, no mask", "rope"),
    num_layers: Sequence[int] = (1, 2, 4),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    length: int = 32,
) -> pd.DataFrame:
    """The change of the last token's logits when all other tokens are shuffled.

    Untrained models with random tokens. ``models``: position encodings; with ", no mask", every token sees all tokens.
    Columns: model, layers, seed, change (norm of the difference of the last logits, relative to their norm).
    """
    rows = []
    for name in models:
        position, _, unmasked = name.partition(", ")
        for layers in num_layers:
            for seed in seeds:
                generator = torch.Generator().manual_seed(seed)
                torch.manual_seed(seed)
                model = TransformerLM(ModelConfig(100, length, 64, layers, 4, position=position))
                if unmasked:
                    _look_everywhere(model)
                ids = torch.randint(100, (length,), generator=generator)
                order = torch.randperm(length - 1, generator=generator)
                last, shuffled = model(ids)[-1], model(torch.cat((ids[order], ids[-1:])))[-1]
                rows.append((name, layers, seed, float((shuffled - last).norm() / last.norm())))
    return pd.DataFrame(rows, columns=["model", "layers", "seed", "change"])


def _look_everywhere(model: TransformerLM) -> None:
    """Take the causal mask away: as in an encoder, every token sees all tokens."""

    def forward(
        attention: CausalSelfAttention,
        x: Tensor,
        token_positions: Tensor | None = None,
        *,
        cache: LayerCache | None = None,  # noqa: ARG001
    ) -> Tensor:
        mixed = scaled_dot_product_attention(*attention.heads(x, token_positions))
        return attention.output_proj(mixed.transpose(-3, -2).flatten(-2))  # type: ignore[no-any-return]

    for attention in attentions(model):
        attention.forward = MethodType(forward, attention)  # type: ignore[method-assign]


# --- scores depend on the offset --------------------------------------------------------------------------------------


@float32_on_cpu()
def placed_scores(
    length: int = 48, head_dim: int = 32, *, theta: float = 10000.0, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """The scores of one query and one key for each pair of their positions, (length, length).

    Keys: "added" (sinusoidal vectors added to both), "rotated" (RoPE). The query's position is the row.
    """
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, head_dim, generator=generator, dtype=torch.float64)
    positions = torch.arange(length)
    table = SinusoidalEmbedding(length, head_dim)(positions).double()
    rope = RotaryEmbedding(theta, head_dim, length).double()
    turned_q, turned_k = (rope(vector.expand(length, head_dim)) for vector in (q, k))
    return {"added": ((q + table) @ (k + table).T).numpy(), "rotated": (turned_q @ turned_k.T).numpy()}


def diagonal_spread(scores: NDArray[np.float64]) -> float:
    """The share of the scores' variation among pairs with the same offset: 0 if only the offset matters, at most 1.

    The root of the mean variance within the diagonals, relative to the standard deviation of all scores.
    """
    offsets = range(1 - len(scores), len(scores))
    within = sum(float(np.var(scores.diagonal(o))) * len(scores.diagonal(o)) for o in offsets)
    return math.sqrt(within / scores.size) / float(scores.std())


ROUNDED = (
    "bfloat16 angles",
    "float16 angles",
    "float32 angles",
    "bfloat16 table, query and key",
)
"""The things that are rounded. In the last one only angles are float32."""


@float32_on_cpu()
def score_precision(
    rounded: Sequence[str] = ROUNDED,
    shifts: Sequence[int] = (0, 16, 64, 256, 1024, 4096, 16384),
    *,
    head_dim: int = 64,
    theta: float = 10000.0,
    draws: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """The error of scores when query and key are moved together by ``shift`` and something is ``rounded``.

    Exact scores do not change. Angles of a format: positions, frequencies and their product are rounded to it.
    Everything that is not rounded is computed in float64, so that the error is that of the rounding alone. Offsets are
    0 … 31. Columns: rounded, shift, error (root mean square, relative to that of the exact scores).
    """
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, draws, head_dim, generator=generator, dtype=torch.float64)
    n = torch.randint(32, (draws,), generator=generator)
    frequencies = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)

    def scores(shift: int, angle_type: torch.dtype, stored: torch.dtype) -> Tensor:
        def turned(x: Tensor, positions: Tensor) -> Tensor:
            angles = (positions.to(angle_type)[:, None] * frequencies.to(angle_type)).double()
            cos, sin, x = (t.to(stored).double() for t in (angles.cos(), angles.sin(), x))
            return rotate_pairs(x, cos, sin)

        return (turned(q, n + shift) * turned(k, torch.full((draws,), shift))).sum(-1)

    exact = scores(0, torch.float64, torch.float64)
    rows = []
    for name in rounded:
        first = name.partition(" ")[0]
        is_table = "table" in name
        angle_type = torch.float32 if is_table else getattr(torch, first)
        stored = getattr(torch, first) if is_table else torch.float64
        for shift in shifts:
            error = scores(shift, angle_type, stored) - exact
            rows.append((name, shift, float(error.norm() / exact.norm())))
    return pd.DataFrame(rows, columns=["rounded", "shift", "error"])


# --- frequencies, and scores by offset --------------------------------------------------------------------------------


@float32_on_cpu()
def spectrum(theta: float = 10000.0, head_dim: int = 64, *, length: int = 4096) -> pd.DataFrame:
    """Each pair's wavelength in tokens, and its turns within ``length``. Columns: theta, pair, wavelength, turns."""
    frequencies, _ = rotary_frequencies(theta, head_dim)
    wavelengths = 2 * math.pi / frequencies.double().numpy()
    return pd.DataFrame(
        {
            "theta": theta,
            "pair": np.arange(head_dim // 2),
            "wavelength": wavelengths,
            "turns": length / wavelengths,
        }
    )


@float32_on_cpu()
def score_by_offset(
    offsets: Sequence[int] = _OFFSETS,
    *,
    head_dim: int = 64,
    theta: float = 10000.0,
    draws: int = 4000,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores q·k / sqrt(head_dim) of normal vectors by offset: independent ones, and a key that equals its query.

    Columns: vectors ("independent", "equal"), offset, mean, std, and bound: the long-range decay of RoFormer's section
    3.4.3, the mean over i of |e^(i a_0) + … + e^(i a_i)| with a_i the angle of pair i at that offset,
    as a share of its value at offset 0.
    """
    generator = torch.Generator().manual_seed(seed)
    q, other = torch.randn(2, draws, head_dim, generator=generator)
    rope = RotaryEmbedding(theta, head_dim, max(offsets) + 1)
    frequencies, _ = rotary_frequencies(theta, head_dim)
    at_zero = np.arange(1, head_dim // 2 + 1).mean()
    rows = []
    for offset in offsets:
        turned = rope(q, torch.full((draws,), offset))
        bound = np.abs(np.exp(1j * offset * frequencies.double().numpy()).cumsum()).mean() / at_zero
        for name, keys in (("independent", other), ("equal", q)):
            scores = (turned * keys).sum(-1) / math.sqrt(head_dim)
            rows.append((name, offset, float(scores.mean()), float(scores.std()), float(bound)))
    return pd.DataFrame(rows, columns=["vectors", "offset", "mean", "std", "bound"])


# --- the cost of a rotation -------------------------------------------------------------------------------------------


@float32_on_cpu()
def rotation_costs(
    shape: tuple[int, int, int, int] = (2, 8, 512, 64), *, repeats: int = 7, seed: int = 0
) -> pd.DataFrame:
    """CPU time of rotating queries of ``shape`` (B, H, T, head_dim) with one formula, written in different ways.

    All must agree (AssertionError otherwise); they take turns. Columns: form, milliseconds (median of
    ``repeats``), relative (to the fastest).
    """
    *_, length, head_dim = shape
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    forms = _forms(length, head_dim)
    expected = forms["real, table kept"](x)
    for name, form in forms.items():
        torch.testing.assert_close(form(x.clone()), expected, atol=1e-4, rtol=1e-4, msg=name)
    # One form works in place, so each gets its own copy.
    work = {name: partial(form, x.clone()) for name, form in forms.items()}
    with one_thread():
        seconds = take_turns(work, repeats, description="turning")
    milliseconds = [1e3 * median(seconds[name]) for name in forms]
    table = pd.DataFrame({"form": list(forms), "milliseconds": milliseconds})
    return table.assign(relative=table["milliseconds"] / table["milliseconds"].min())


def _forms(length: int, head_dim: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Ways to rotate the interleaved pairs of (..., length, head_dim)."""
    rope = RotaryEmbedding(10000.0, head_dim, length)
    cos, sin = rope.tables(length)
    turns = torch.complex(cos, sin)
    matrices = torch.stack((torch.stack((cos, sin), -1), torch.stack((-sin, cos), -1)), -2)  # (T, d/2, 2, 2)
    blocks = torch.stack([torch.block_diag(*row) for row in matrices])  # type: ignore[no-untyped-call] # (T, d, d)

    def complex_product(x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(torch.unflatten(x, -1, (-1, 2)))
        return torch.view_as_real(pairs * turns).flatten(-2)

    def in_place(x: Tensor) -> Tensor:
        torch.view_as_complex(torch.unflatten(x, -1, (-1, 2))).mul_(turns)
        return x

    return {
        "matrix R of every position": lambda x: (x.unsqueeze(-2) @ blocks).squeeze(-2),
        "real, table made anew": lambda x: rotate_pairs(
            x, *RotaryEmbedding(10000.0, head_dim, length).tables(length)
        ),
        "real, table kept": lambda x: rotate_pairs(x, cos, sin),
        "complex": complex_product,
        "complex, in place": in_place,
        "one pass in C++": rope,
    }
