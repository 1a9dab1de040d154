"""The exercises of chapter 5, Attention. Results: NumPy in float64, head by head; hand calculation."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from course_lib.answers.checking import Case, Exercise, Mistake

Array = NDArray[Any]

# --- what fits --------------------------------------------------------------------------------------------------------


def _context_cases() -> Iterator[Case]:
    yield Case(
        (16 * 2**30, 32, 8, 128, 2),
        131_072,
        "Llama 3 8B keeps 2 * 32 * 8 * 128 numbers, 131,072 bytes per token.",
    )
    yield Case(
        (1_000, 1, 1, 5, 2), 50, "A token has one key and one value of 5 numbers of 2 bytes: 20 bytes."
    )
    yield Case((1_019, 1, 1, 5, 2), 50, "The 51st token would need all of its 20 bytes.")
    yield Case((19, 1, 1, 5, 2), 0, "Not even one token's 20 bytes fit.")
    yield Case((5_368_709_120, 80, 64, 128, 2), 2_048, "LLaMA 65B keeps 2,621,440 bytes per token.")
    yield Case((1_000, 2, 3, 5, 4), 4, "2 * 2 * 3 * 5 numbers of four bytes are 240 bytes per token.")
    yield Case((1_000, 2, 3, 5, 1), 16, "2 * 2 * 3 * 5 numbers of one byte are 60 bytes per token.")


def _keys_only(memory: int, layers: int, kv_heads: int, head_dim: int, bytes_per_number: int) -> int:
    return memory // (layers * kv_heads * head_dim * bytes_per_number)


def _two_byte_numbers(memory: int, layers: int, kv_heads: int, head_dim: int, bytes_per_number: int) -> int:  # noqa: ARG001
    return memory // (4 * layers * kv_heads * head_dim)


def _numbers_for_bytes(memory: int, layers: int, kv_heads: int, head_dim: int, bytes_per_number: int) -> int:  # noqa: ARG001
    return memory // (2 * layers * kv_heads * head_dim)


def _one_layer(memory: int, layers: int, kv_heads: int, head_dim: int, bytes_per_number: int) -> int:  # noqa: ARG001
    return memory // (2 * kv_heads * head_dim * bytes_per_number)


def _rounded_up(memory: int, layers: int, kv_heads: int, head_dim: int, bytes_per_number: int) -> int:
    return -(-memory // (2 * layers * kv_heads * head_dim * bytes_per_number))


# --- multi-head attention ---------------------------------------------------------------------------------------------


def _heads(
    x: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    w_o: Tensor,
    num_heads: int,
    num_kv_heads: int,
    *,
    scale: str = "head",
    mask: str = "before",
    split: str = "features",
    groups: str = "neighbours",
    merge: str = "heads",
    project: bool = True,
) -> Array:
    """The expected result in NumPy, (B, T, D), and with options the results of typical mistakes."""
    rows, *weights, out = (np.asarray(tensor, dtype=np.float64) for tensor in (x, w_q, w_k, w_v, w_o))
    batch, length, width = rows.shape
    d = weights[0].shape[0] // num_heads
    queries, keys, values = (
        _split(rows @ weight.T, heads, d, split)
        for weight, heads in zip(weights, (num_heads, num_kv_heads, num_kv_heads), strict=True)
    )
    divisor = {"head": math.sqrt(d), "none": 1.0, "width": math.sqrt(width), "square": d}[scale]
    mixed = np.empty((batch, num_heads, length, d))
    for head in range(num_heads):
        one = head % num_kv_heads if groups == "in turn" else head // (num_heads // num_kv_heads)
        scores = queries[:, head] @ keys[:, one].swapaxes(-1, -2) / divisor
        mixed[:, head] = _masked_softmax(scores, mask) @ values[:, one]
    joined = mixed if merge == "as they lie" else mixed.swapaxes(1, 2)
    joined = joined.reshape(batch, length, num_heads * d)
    return joined @ out.T if project else joined


def _split(rows: Array, heads: int, d: int, how: str) -> Array:
    """(B, T, heads · d) → (B, heads, T, d)."""
    batch, length, _ = rows.shape
    if how == "as they lie":
        return rows.reshape(batch, heads, length, d)
    if how == "interleaved":
        return rows.reshape(batch, length, d, heads).transpose(0, 3, 1, 2)
    return rows.reshape(batch, length, heads, d).swapaxes(1, 2)


def _masked_softmax(scores: Array, mask: str) -> Array:
    length = scores.shape[-1]
    allowed = np.tri(length, k=-1 if mask == "not itself" else 0, dtype=bool)
    if mask in ("before", "not itself"):
        scores = np.where(allowed, scores, -np.inf)
    with np.errstate(invalid="ignore"):  # a query that sees nothing: NaN, as in torch
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
    return np.where(allowed, weights, 0.0) if mask == "after" else weights


def _tensors(seed: int, *shapes: tuple[int, ...], size: float = 1.0) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy((size * rng.standard_normal(shape)).astype(np.float32)) for shape in shapes]


def _heads_cases() -> Iterator[Case]:
    for seed, batch, length, width, d, num_heads, num_kv_heads, why in (
        (
            0,
            1,
            3,
            4,
            4,
            1,
            1,
            "One head: softmax(Q K^T / sqrt(4)) V with the future at minus infinity, then W_o.",
        ),
        (
            1,
            1,
            5,
            6,
            2,
            3,
            3,
            "Three heads of 2: head h has the features 2 h and 2 h + 1 of queries, keys and values.",
        ),
        (2, 2, 4, 12, 3, 4, 2, "Query heads 0 and 1 read key head 0, heads 2 and 3 read key head 1."),
        (3, 2, 7, 8, 4, 2, 1, "Both query heads read the one key head; sqrt(d) is that of a head, 2."),
        (4, 3, 1, 6, 3, 2, 2, "A single token sees itself only: its weight is 1."),
    ):
        q, kv = num_heads * d, num_kv_heads * d
        shapes = ((batch, length, width), (q, width), (kv, width), (kv, width), (width, q))
        x, w_q, w_k, w_v, w_o = _tensors(seed, *shapes)
        expected = _heads(x, w_q, w_k, w_v, w_o, num_heads, num_kv_heads)
        yield Case((x, w_q, w_k, w_v, w_o, num_heads, num_kv_heads), expected, why)


# --- one step with a cache --------------------------------------------------------------------------------------------


def _step(
    q: Tensor,
    key: Tensor,
    value: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    groups: str = "neighbours",
    sees_itself: bool = True,
    at_front: bool = False,
    scaled: bool = True,
    kept: bool = True,
) -> tuple[Array, Array, Array]:
    """The result of one more token in NumPy, and the longer keys and values; with options, typical mistakes."""
    query, new_k, new_v, old_k, old_v = (
        np.asarray(tensor, dtype=np.float64) for tensor in (q, key, value, keys, values)
    )
    longer = []
    for old, new in ((old_k, new_k), (old_v, new_v)):
        parts = (new[:, None], old) if at_front else (old, new[:, None])
        longer.append(np.concatenate(parts, 1))
    seen_k, seen_v = longer if sees_itself else (old_k, old_v)
    mixed = []
    for head, row in enumerate(query):
        one = head % len(new_k) if groups == "in turn" else head // (len(query) // len(new_k))
        scores = seen_k[one] @ row / (math.sqrt(len(row)) if scaled else 1.0)
        weights = np.exp(scores - scores.max(initial=-np.inf))
        with np.errstate(invalid="ignore"):
            mixed.append(weights / weights.sum() @ seen_v[one])
    return np.stack(mixed), *(longer if kept else (old_k, old_v))


def _step_cases() -> Iterator[Case]:
    for seed, num_heads, num_kv_heads, d, length, why in (
        (0, 1, 1, 4, 3, "The query meets the three old keys and its own: four scores, divided by sqrt(4)."),
        (1, 4, 2, 2, 5, "Query heads 0 and 1 read key head 0, heads 2 and 3 read key head 1."),
        (2, 3, 3, 4, 0, "With an empty cache the token sees itself only; the cache then holds one position."),
        (3, 6, 2, 3, 7, "Query heads 0, 1 and 2 read key head 0, heads 3, 4 and 5 read key head 1."),
        (4, 4, 1, 8, 6, "All four query heads read the one key head."),
    ):
        new, old = (num_kv_heads, d), (num_kv_heads, length, d)
        arguments = tuple(_tensors(seed, (num_heads, d), new, new, old, old))
        yield Case(arguments, _step(*arguments), why)


# --- attention by blocks ----------------------------------------------------------------------------------------------

Blocks = Sequence[tuple[Tensor, Tensor]]


def _blocks(q: Tensor, blocks: Blocks) -> Array:
    """The expected result in NumPy, (T, d_v), with all keys at once."""
    keys, values = (np.concatenate([np.asarray(b[i], dtype=np.float64) for b in blocks]) for i in (0, 1))
    scores = np.asarray(q, dtype=np.float64) @ keys.T / math.sqrt(q.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    result: Array = weights / weights.sum(-1, keepdims=True) @ values
    return result


def _by_blocks(
    q: Tensor,
    blocks: Blocks,
    *,
    scaled: bool = True,
    shrink_total: bool = True,
    shrink_mixed: bool = True,
    subtract: bool = True,
    divide: bool = True,
) -> Array:
    """Block by block in NumPy; with options, typical mistakes."""
    queries = np.asarray(q, dtype=np.float64) / (math.sqrt(q.shape[-1]) if scaled else 1.0)
    largest = np.full((len(queries), 1), -np.inf)
    total, mixed = np.zeros((len(queries), 1)), np.zeros((len(queries), blocks[0][1].shape[1]))
    for keys, values in blocks:
        scores = queries @ np.asarray(keys, dtype=np.float64).T
        new = np.maximum(largest, scores.max(-1, keepdims=True))
        with np.errstate(over="ignore", invalid="ignore"):
            weights = np.exp(scores - new) if subtract else np.exp(scores).astype(np.float32)
            shrink = np.exp(largest - new) if subtract else np.ones_like(new)
            total = total * (shrink if shrink_total else 1.0) + weights.sum(-1, keepdims=True)
            mixed = mixed * (shrink if shrink_mixed else 1.0) + weights @ np.asarray(values, dtype=np.float64)
        largest = new
    with np.errstate(invalid="ignore"):
        return mixed / total if divide else mixed


def _mean_of_blocks(q: Tensor, blocks: Blocks) -> Array:
    result: Array = np.mean([_blocks(q, [block]) for block in blocks], 0)
    return result


def _last_block(q: Tensor, blocks: Blocks) -> Array:
    return _blocks(q, blocks[-1:])


def _blocks_cases() -> Iterator[Case]:
    for seed, queries, d, d_v, sizes, size, why in (
        (0, 1, 4, 2, (3,), 1.0, "A single block: ordinary attention."),
        (
            1,
            2,
            4,
            3,
            (2, 2, 2),
            1.0,
            "A block's sums are relative to the largest score so far: shrink the old ones.",
        ),
        (
            2,
            3,
            2,
            1,
            (4, 4, 1),
            2.0,
            "The last block is shorter. Each of the three queries has its own largest score.",
        ),
        (3, 4, 8, 5, (1, 7, 3), 1.0, "Blocks of any size give the result of all keys at once."),
        (
            4,
            2,
            4,
            2,
            (3, 3),
            25.0,
            "exp of a score of several hundred is infinite: subtract the largest score first.",
        ),
    ):
        q = _tensors(seed, (queries, d), size=size)[0]
        blocks = [tuple(_tensors(10 * seed + i + 5, (n, d), (n, d_v))) for i, n in enumerate(sizes)]
        if size > 10:
            blocks = [(size * keys, values) for keys, values in blocks]
        yield Case((q, blocks), _blocks(q, blocks), why)  # type: ignore[arg-type]


EXERCISES = (
    Exercise(
        id="att-context",
        chapter=5,
        cases=_context_cases,
        hint="How many numbers does one token leave in one layer? Keys and values; all layers; then bytes. Divide, and "
        "round down.",
        mistakes=(
            Mistake(_keys_only, "There are keys and values: twice as many numbers."),
            Mistake(_two_byte_numbers, "This takes every number for two bytes: use bytes_per_number."),
            Mistake(_numbers_for_bytes, "This counts numbers. The memory is in bytes: use bytes_per_number."),
            Mistake(_one_layer, "Every layer has its own keys and values."),
            Mistake(_rounded_up, "A token needs all of its bytes: round down."),
        ),
    ),
    Exercise(
        id="att-heads",
        chapter=5,
        cases=_heads_cases,
        hint="Project, then make heads: (B, T, H d) → (B, T, H, d) → (B, H, T, d), and the same with H_kv for keys and "
        "values. repeat_interleave the key and value heads to H. Scores / sqrt(d), minus infinity above the diagonal, "
        "softmax, times values; then back to (B, T, H d), and the output projection.",
        mistakes=(
            Mistake(partial(_heads, scale="none"), "The scores are not divided by sqrt(d)."),
            Mistake(
                partial(_heads, scale="width"),
                "sqrt(d) is that of one head: d = H d / H, not the model's width.",
            ),
            Mistake(partial(_heads, scale="square"), "The scores are divided by d instead of sqrt(d)."),
            Mistake(partial(_heads, mask="none"), "Tokens see the future: the causal mask is missing."),
            Mistake(
                partial(_heads, mask="after"),
                "The mask comes too late: after the softmax the sum over all keys has already been divided by.",
            ),
            Mistake(partial(_heads, mask="not itself"), "A token sees itself too: the diagonal stays."),
            Mistake(
                partial(_heads, split="as they lie"),
                "(B, T, H d) was reshaped to (B, H, T, d) at once, which mixes tokens and heads: make (B, T, H, d), "
                "then exchange the two dimensions in the middle.",
            ),
            Mistake(
                partial(_heads, split="interleaved"),
                "A head has d neighbouring features: the shape is (B, T, H, d), not (B, T, d, H).",
            ),
            Mistake(
                partial(_heads, groups="in turn"),
                "The key heads are dealt out in turn. Neighbours share one: repeat_interleave, not repeat.",
            ),
            Mistake(
                partial(_heads, merge="as they lie"),
                "(B, H, T, d) was reshaped to (B, T, H d) at once: exchange heads and tokens first.",
            ),
            Mistake(partial(_heads, project=False), "The output projection W_o is missing."),
        ),
    ),
    Exercise(
        id="att-step",
        chapter=5,
        cases=_step_cases,
        hint="torch.cat((keys, key.unsqueeze(1)), 1) makes the longer keys without changing the old ones. Then it is "
        "ordinary attention with one query per head, and no mask: everything in the cache is in the past.",
        mistakes=(
            Mistake(
                partial(_step, sees_itself=False), "The token does not see itself: append first, then attend."
            ),
            Mistake(partial(_step, at_front=True), "The new position belongs at the end of the cache."),
            Mistake(
                partial(_step, groups="in turn"),
                "The key heads are dealt out in turn. Neighbouring query heads share one.",
            ),
            Mistake(partial(_step, scaled=False), "The scores are not divided by sqrt(d)."),
            Mistake(partial(_step, kept=False), "The result is right, but the cache did not grow."),
        ),
    ),
    Exercise(
        id="att-blocks",
        chapter=5,
        cases=_blocks_cases,
        hint="Carry three things along for each query: the largest score m, the sum of exp(score - m), and the same "
        "sum weighted by values. When a block brings a larger m', multiply both sums by exp(m - m'); divide last.",
        mistakes=(
            Mistake(partial(_by_blocks, scaled=False), "The scores are not divided by sqrt(d)."),
            Mistake(
                partial(_by_blocks, shrink_total=False, shrink_mixed=False),
                "The sums of different blocks are relative to different largest scores: shrink the old ones first.",
            ),
            Mistake(
                partial(_by_blocks, shrink_mixed=False),
                "The weighted sum of values is relative to the largest score as well: shrink it too.",
            ),
            Mistake(
                partial(_by_blocks, shrink_total=False),
                "The sum of exponentials is relative to the largest score as well: shrink it too.",
            ),
            Mistake(
                partial(_by_blocks, subtract=False),
                "exp of a large score is infinite: subtract the largest score so far from all before exp.",
            ),
            Mistake(
                partial(_by_blocks, divide=False), "Divide by the sum of the exponentials, once, at the end."
            ),
            Mistake(
                _mean_of_blocks,
                "This is the mean of the blocks' results. A block counts as much as the sum of its exponentials.",
            ),
            Mistake(_last_block, "Only the last block counts here: the earlier ones are forgotten."),
        ),
    ),
)
