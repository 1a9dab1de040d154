"""Right and wrong answers to the exercises of chapter 11."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.exercises.answers import Answers, run_tables

# --- a budget ---------------------------------------------------------------------------------------------------------


def size_by_numpy(flops: float, ratio: float) -> np.ndarray:
    return np.roots([6 * ratio, 0, -flops]).max()


def size_in_integers(flops: float, ratio: float) -> int:
    return math.isqrt(int(Fraction(flops) / (6 * Fraction(ratio))))


def size_in_float32(flops: float, ratio: float) -> torch.Tensor:
    return (torch.tensor(flops) / 6 / ratio).sqrt()


def size_by_bisection(flops: float, ratio: float) -> float:
    low, high = 1.0, 1e15
    while high / low > 1 + 1e-9:
        n = math.sqrt(low * high)
        low, high = (n, high) if 6 * n * ratio * n < flops else (low, n)
    return low


def size_squared(flops: float, ratio: float) -> float:
    return flops / 6 / ratio


def size_without_ratio(flops: float, ratio: float) -> float:
    return (flops / 6) ** 0.5


def size_of_the_forward_pass(flops: float, ratio: float) -> float:
    return np.sqrt(flops / 2 / ratio)


def size_of_the_text(flops: float, ratio: float) -> float:
    return ratio * math.sqrt(flops / (6 * ratio))


def size_without_6(flops: float, ratio: float) -> float:
    return math.sqrt(flops / ratio)


def size_root_too_early(flops: float, ratio: float) -> float:
    return flops**0.5 / (6 * ratio)


def size_ratio_outside(flops: float, ratio: float) -> float:
    return math.sqrt(flops / 6) / ratio


def size_cubed(flops: float, ratio: float) -> float:
    return (flops / (6 * ratio)) ** (1 / 3)


# --- parameters -------------------------------------------------------------------------------------------------------


def count_modules(v: int, d: int, layers: int, d_ff: int, heads: int, kv_heads: int) -> int:
    with torch.device("meta"):
        kv = kv_heads * (d // heads)
        widths = [(d, d), (d, kv), (d, kv), (d, d), (d, d_ff), (d, d_ff), (d_ff, d)]
        layer = nn.ModuleList([nn.Linear(a, b, bias=False) for a, b in widths])
        layer.extend([nn.RMSNorm(d), nn.RMSNorm(d)])
        rest = nn.ModuleList([nn.Embedding(v, d), nn.RMSNorm(d), nn.Linear(d, v, bias=False)])
    numel = [sum(p.numel() for p in module.parameters()) for module in (layer, rest)]
    return layers * numel[0] + numel[1]


def count_by_numpy(v: int, d: int, layers: int, d_ff: int, heads: int, kv_heads: int) -> np.int64:
    inside = np.array([2 * d, 2 * d / heads * kv_heads, 3 * d_ff, 2])
    return np.int64(d * (layers * inside.sum() + 2 * v + 1))


def count_in_a_loop(v: int, d: int, layers: int, d_ff: int, heads: int, kv_heads: int) -> int:
    total = v * d
    for _ in range(layers):
        total += d + d * d + d * (d // heads) * kv_heads * 2 + d * d
        total += d + d * d_ff + d * d_ff + d_ff * d
    return total + d + d * v


def count_recursive(v: int, d: int, layers: int, d_ff: int, heads: int, kv_heads: int) -> Fraction:
    if layers == 0:
        return Fraction((2 * v + 1) * d)
    layer = 2 * d * d * (1 + Fraction(kv_heads, heads)) + 3 * d * d_ff + 2 * d
    return count_recursive(v, d, layers - 1, d_ff, heads, kv_heads) + layer


def _count(v: int, d: int, n: int, f: int, h: int, kv: int, **changed: Any) -> Any:
    number = {"tables": 2, "wide": 2, "narrow": 2, "gates": 3, "norms": 2, "last": 1, **changed}
    layer = number["wide"] * d**2 + number["narrow"] * d * kv * d // h + number["gates"] * d * f
    return number["tables"] * v * d + n * (layer + number["norms"] * d) + number["last"] * d


def count_tied(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, h, kv, tables=1)


def count_without_gate(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, h, kv, gates=2)


def count_without_groups(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return 2 * v * d + n * (4 * d * d + 3 * d * f + 2 * d) + d


def count_keys_only(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, h, kv, narrow=1)


def count_without_output(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, h, kv, wide=1)


def count_wide_heads(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, 1, kv)


def count_matrices(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, h, kv, norms=0, last=0)


def count_without_last_norm(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, h, kv, last=0)


def count_one_norm_a_layer(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, h, kv, norms=1)


def count_layer_norms(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, h, kv, norms=4, last=2)


def count_one_layer(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, 1, f, h, kv)


def count_last_norm_inside(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return 2 * v * d + n * (2 * d * d + 2 * d * (d * kv // h) + 3 * d * f + 3 * d)


def count_positions(v: int, d: int, n: int, f: int, h: int, kv: int) -> int:
    return _count(v, d, n, f, h, kv) + 1024 * d


# --- the cache --------------------------------------------------------------------------------------------------------


def fit_in_a_loop(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    weights = torch.finfo(torch.bfloat16).bits // 8 * parameters
    token = sum(2 * kv_heads * head_dim for _ in range(layers) for _ in ("key", "value"))
    return max((memory - weights) // token, 0)


def fit_by_numpy(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> np.int64:
    left = np.clip(np.int64(memory) - 2 * parameters, 0, None)
    return np.floor_divide(left, np.prod([2, layers, kv_heads, head_dim, 2]))


def fit_with_floor(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> float:
    if memory < 2 * parameters:
        return 0.0
    return float(math.floor((memory / 2 - parameters) / (2 * layers * kv_heads * head_dim)))


def fit_in_torch(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> torch.Tensor:
    cache = torch.empty(2, layers, kv_heads, head_dim, dtype=torch.bfloat16, device="meta")
    return torch.tensor(memory - 2 * parameters).relu() // cache.nbytes


def fit_keys_only(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return max(0, (memory - 2 * parameters) // (layers * kv_heads * head_dim * 2))


def fit_float32(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return max(0, (memory - 2 * parameters) // (2 * layers * kv_heads * head_dim * 4))


def fit_without_weights(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return memory // (2 * layers * kv_heads * head_dim * 2)


def fit_negative(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return (memory - 2 * parameters) // (2 * layers * kv_heads * head_dim * 2)


def fit_float32_weights(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return max(0, (memory - 4 * parameters) // (2 * layers * kv_heads * head_dim * 2))


def fit_one_byte_weights(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return max(0, (memory - parameters) // (2 * layers * kv_heads * head_dim * 2))


def fit_one_layer(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return max(0, (memory - 2 * parameters) // (2 * kv_heads * head_dim * 2))


def fit_one_head(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return max(0, (memory - 2 * parameters) // (2 * layers * head_dim * 2))


def fit_parts(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> float:
    return max(0, (memory - 2 * parameters) / (2 * layers * kv_heads * head_dim * 2))


def fit_rounded(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return max(0, round((memory - 2 * parameters) / (2 * layers * kv_heads * head_dim * 2)))


def fit_bits(memory: int, parameters: int, layers: int, kv_heads: int, head_dim: int) -> int:
    return max(0, (memory - 16 * parameters) // (2 * layers * kv_heads * head_dim * 16))


# --- days -------------------------------------------------------------------------------------------------------------


def days_step_by_step(parameters: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    speed = sum(peak * mfu for _ in range(devices))
    forward, backward = 2 * parameters * tokens, 4 * parameters * tokens
    return (forward + backward) / speed / 60 / 60 / 24


def days_by_numpy(parameters: float, tokens: float, devices: int, peak: float, mfu: float) -> np.float32:
    seconds = np.float32(6) * np.float32(parameters) * np.float32(tokens)
    return seconds / np.prod(np.array([devices, peak, mfu, 86_400], dtype=np.float32))


def days_as_fraction(parameters: float, tokens: float, devices: int, peak: float, mfu: float) -> Fraction:
    above, below = [6, parameters, tokens], [devices, peak, mfu, 24 * 3600]
    return Fraction(math.prod(map(Fraction, above))) / math.prod(map(Fraction, below))


def days_in_torch(parameters: float, tokens: float, devices: int, peak: float, mfu: float) -> torch.Tensor:
    logs = torch.tensor([6, parameters, tokens, devices, peak, mfu, 86_400], dtype=torch.float64).log()
    return (logs @ torch.tensor([1, 1, 1, -1, -1, -1, -1], dtype=torch.float64)).exp()


def _days(n: float, tokens: float, devices: float, peak: float, mfu: float) -> float:
    return 6 * n * tokens / devices / peak / mfu / 86_400


def days_forward(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return _days(n, tokens, devices, peak, mfu) / 3


def days_without_6(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return n * tokens / (devices * peak * mfu) / 86_400


def days_on_one_device(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return _days(n, tokens, 1, peak, mfu)


def days_of_all_devices(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return 6 * n * tokens / (peak * mfu) * devices / 86_400


def days_in_hours(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return 6 * n * tokens / (devices * peak * mfu) / 3600


def days_in_minutes(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return 6 * n * tokens / (devices * peak * mfu) / 60


def days_in_seconds(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return 6 * n * tokens / (devices * peak * mfu)


def days_times_mfu(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return 6 * n * tokens / (devices * peak) * mfu / 86_400


def days_at_the_peak(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return _days(n, tokens, devices, peak, 1)


def days_of_chinchilla(n: float, tokens: float, devices: int, peak: float, mfu: float) -> float:
    return _days(n, 20 * n, devices, peak, mfu)


ANSWERS = {
    "res-budget": Answers(
        right=(size_by_numpy, size_in_integers, size_in_float32, size_by_bisection),
        wrong=(
            (size_squared, "This is N squared"),
            (size_without_ratio, "This forgets the ratio"),
            (size_of_the_forward_pass, "2 N a token is the forward pass."),
            (size_of_the_text, "These are the tokens."),
            (size_without_6, "The 6 is missing"),
            (size_root_too_early, "The root is taken of the operations alone."),
            (size_ratio_outside, "The ratio belongs under the root"),
            (size_cubed, "6 · 10⁶ · 20 · 10⁶ = 1.2 · 10¹⁴"),
        ),
    ),
    "res-parameters": Answers(
        right=(count_modules, count_by_numpy, count_in_a_loop, count_recursive),
        wrong=(
            (count_tied, "Embedding and output head are two tables here"),
            (count_without_gate, "A gated feed-forward layer has three matrices"),
            (count_without_groups, "This gives every query head its own keys and values."),
            (count_keys_only, "Keys and values have a projection each"),
            (count_without_output, "One projection of D · D is missing"),
            (count_wide_heads, "Keys and values are kv_heads heads wide"),
            (count_matrices, "All matrices are there."),
            (count_without_last_norm, "One norm is missing"),
            (count_one_norm_a_layer, "Each layer has two norms"),
            (count_layer_norms, "A norm has one gain per feature and no bias"),
            (count_one_layer, "This is a model of one layer"),
            (count_last_norm_inside, "The last norm stands once"),
            (count_positions, "Two tables of 40, four projections of 16"),
        ),
    ),
    "res-cached-tokens": Answers(
        right=(fit_in_a_loop, fit_by_numpy, fit_with_floor, fit_in_torch),
        wrong=(
            (fit_keys_only, "A factor of two is missing"),
            (fit_float32, "Four bytes are float32"),
            (fit_without_weights, "The weights are in the same memory"),
            (fit_negative, "Right where the weights fit."),
            (fit_float32_weights, "This takes four bytes per parameter off."),
            (fit_one_byte_weights, "This takes one byte per parameter off."),
            (fit_one_layer, "These are the keys and values of one layer."),
            (fit_one_head, "These are the keys and values of one KV head."),
            (fit_parts, "A part of a token does not count"),
            (fit_rounded, "This rounds to the nearest token"),
            (fit_bits, "80 bytes beside 20 of weights"),
        ),
    ),
    "res-days": Answers(
        right=(days_step_by_step, days_by_numpy, days_as_fraction, days_in_torch),
        wrong=(
            (days_forward, "2 N a token is the forward pass"),
            (days_without_6, "The 6 is missing"),
            (days_on_one_device, "This is the time on one device"),
            (days_of_all_devices, "More devices take longer here"),
            (days_in_hours, "These are hours"),
            (days_in_minutes, "These are minutes"),
            (days_in_seconds, "These are seconds"),
            (days_times_mfu, "A lower utilization takes longer"),
            (days_at_the_peak, "This is the time at the full peak"),
            (days_of_chinchilla, "6 · 10⁹ · 8.64 · 10⁷ operations"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
