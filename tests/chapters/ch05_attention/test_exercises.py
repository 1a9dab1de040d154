"""Right and wrong answers to the exercises of chapter 5."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from tests.exercises.answers import Answers, run_tables

Vector = Sequence[float]
Rows = Sequence[Sequence[float]]
Report = tuple[float, float, float]

# --- what fits --------------------------------------------------------------------------------------------------------


def context_by_division(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return int(memory / (2 * layers * kv_heads * head_dim * size))


def context_with_numpy(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> np.floating[Any]:
    return np.floor(np.float64(memory) / np.prod([2, layers, kv_heads, head_dim, size]))


def context_by_doubling(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    token = sum(kv_heads * head_dim * size for _ in ("keys", "values")) * layers
    tokens = 0
    for bit in reversed(range(40)):
        if (tokens + 2**bit) * token <= memory:
            tokens += 2**bit
    return tokens


def context_keys(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (layers * kv_heads * head_dim * size)


def context_one_layer(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (2 * kv_heads * head_dim * size)


def context_up(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return math.ceil(memory / (2 * layers * kv_heads * head_dim * size))


def context_two_bytes(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (2 * 2 * layers * kv_heads * head_dim)


def context_of_numbers(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (2 * layers * kv_heads * head_dim)


def context_squared_bytes(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (layers * kv_heads * head_dim * size**2)


def context_fraction(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> float:
    return memory / (2 * layers * kv_heads * head_dim * size)


def context_nearest(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return round(memory / (2 * layers * kv_heads * head_dim * size))


def context_in_bits(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return 8 * memory // (2 * layers * kv_heads * head_dim * size)


def context_one_head(memory: int, layers: int, kv_heads: int, head_dim: int, size: int) -> int:
    return memory // (2 * layers * head_dim * size)


# --- attention of one query -------------------------------------------------------------------------------------------


def attend_by_torch(query: Vector, keys: Rows, values: Rows) -> torch.Tensor:
    q, k, v = (torch.tensor(x, requires_grad=True) for x in ([query], keys, values))
    return F.scaled_dot_product_attention(q[None], k[None], v[None])[0, 0]


def attend_with_numpy(query: Vector, keys: Rows, values: Rows) -> np.ndarray:
    scores = np.array(keys, dtype=np.float32) @ np.array(query, dtype=np.float32) / np.sqrt(len(query))
    weights = np.exp(scores - scores.max())
    return weights @ np.array(values, dtype=np.float32) / weights.sum()


def attend_online(query: Vector, keys: Rows, values: Rows) -> list[float]:
    largest, total, mixed = -math.inf, 0.0, [0.0] * len(values[0])
    for key, value in zip(keys, values, strict=True):
        score = math.sumprod(query, key) if hasattr(math, "sumprod") else float(np.dot(query, key))
        score /= math.sqrt(len(query))
        new = max(largest, score)
        shrink, weight = math.exp(largest - new), math.exp(score - new)
        total = total * shrink + weight
        mixed = [m * shrink + weight * x for m, x in zip(mixed, value, strict=True)]
        largest = new
    return [m / total for m in mixed]


def _attend(query: Vector, keys: Rows, values: Rows, scale: float | None = None) -> torch.Tensor:
    q, k, v = (torch.tensor(x, dtype=torch.float64) for x in (query, keys, values))
    return (k @ q / (scale or math.sqrt(len(query)))).softmax(0) @ v


def attend_in_bfloat16(query: Vector, keys: Rows, values: Rows) -> torch.Tensor:
    return _attend(query, keys, values).bfloat16()


def attend_unscaled(query: Vector, keys: Rows, values: Rows) -> torch.Tensor:
    return _attend(query, keys, values, 1.0)


def attend_over_d(query: Vector, keys: Rows, values: Rows) -> torch.Tensor:
    return _attend(query, keys, values, len(query))


def attend_over_keys(query: Vector, keys: Rows, values: Rows) -> torch.Tensor:
    return _attend(query, keys, values, math.sqrt(len(keys)))


def attend_best(query: Vector, keys: Rows, values: Rows) -> Vector:
    scores = [float(np.dot(query, key)) for key in keys]
    return values[scores.index(max(scores))]


def attend_not_normalized(query: Vector, keys: Rows, values: Rows) -> np.ndarray:
    scores = np.array(keys) @ np.array(query) / np.sqrt(len(query))
    return np.exp(scores - scores.max()) @ np.array(values)


def attend_raw_scores(query: Vector, keys: Rows, values: Rows) -> np.ndarray:
    return np.array(keys) @ np.array(query) / np.sqrt(len(query)) @ np.array(values)


def _exponentials(query: Vector, keys: Rows) -> list[float]:
    return [math.exp(sum(a * b for a, b in zip(query, key, strict=True)) / len(query) ** 0.5) for key in keys]


def attend_overflowing(query: Vector, keys: Rows, values: Rows) -> list[float]:
    weights = _exponentials(query, keys)
    columns = zip(*values, strict=True)
    return [sum(w * x for w, x in zip(weights, c, strict=True)) / sum(weights) for c in columns]


def attend_overflowing_in_torch(query: Vector, keys: Rows, values: Rows) -> torch.Tensor:
    weights = (torch.tensor(keys) @ torch.tensor(query) / math.sqrt(len(query))).exp()
    return weights @ torch.tensor(values) / weights.sum()


def attend_weights(query: Vector, keys: Rows, values: Rows) -> torch.Tensor:
    return _attend(query, keys, np.eye(len(keys)).tolist())


def attend_plain_mean(query: Vector, keys: Rows, values: Rows) -> np.ndarray:
    return np.mean(values, axis=0)


def attend_along_values(query: Vector, keys: Rows, values: Rows) -> list[float]:
    weights = _exponentials(query, keys)
    return [sum(w * x for w, x in zip(weights, row, strict=False)) / sum(weights) for row in values]


def attend_two_dimensional(query: Vector, keys: Rows, values: Rows) -> torch.Tensor:
    return _attend(query, keys, values)[None]


# --- whose key --------------------------------------------------------------------------------------------------------


def kv_by_proportion(head: int, num_heads: int, num_kv_heads: int) -> int:
    return head * num_kv_heads // num_heads


def kv_by_repeating(head: int, num_heads: int, num_kv_heads: int) -> torch.Tensor:
    return torch.arange(num_kv_heads).repeat_interleave(num_heads // num_kv_heads)[head]


def kv_with_numpy(head: int, num_heads: int, num_kv_heads: int) -> np.integer[Any]:
    groups = np.arange(num_heads).reshape(num_kv_heads, -1)
    return np.argwhere(groups == head)[0, 0]


def kv_in_turn(head: int, num_heads: int, num_kv_heads: int) -> int:
    return head % num_kv_heads


def kv_place(head: int, num_heads: int, num_kv_heads: int) -> int:
    return head % (num_heads // num_kv_heads)


def kv_group_as_size(head: int, num_heads: int, num_kv_heads: int) -> int:
    return head // num_kv_heads


def kv_nearest(head: int, num_heads: int, num_kv_heads: int) -> int:
    return round(head * num_kv_heads / num_heads)


def kv_not_whole(head: int, num_heads: int, num_kv_heads: int) -> float:
    return head / (num_heads / num_kv_heads)


def kv_of_its_own(head: int, num_heads: int, num_kv_heads: int) -> int:
    return min(head, num_kv_heads - 1)


def kv_from_one(head: int, num_heads: int, num_kv_heads: int) -> int:
    return (head - 1) // (num_heads // num_kv_heads)


# --- two halves -------------------------------------------------------------------------------------------------------


def merge_by_torch(first: Report, second: Report) -> torch.Tensor:
    reports = torch.tensor([first, second], dtype=torch.float64)
    largest = reports[:, 0].max()
    weights = (reports[:, 0] - largest).exp()
    return torch.cat([largest[None], weights @ reports[:, 1:]])


def merge_with_numpy(first: Report, second: Report) -> np.ndarray:
    reports = np.array([first, second], dtype=np.float32)
    m = reports[:, 0].max()
    return np.array([m, *np.exp(reports[:, 0] - m) @ reports[:, 1:]])


def merge_by_logarithms(first: Report, second: Report) -> list[float]:
    if second[0] > first[0]:
        return merge_by_logarithms(second, first)
    shrink = math.exp(second[0] - first[0])
    return [first[0]] + [a + shrink * b for a, b in zip(first[1:], second[1:], strict=True)]


def _merge(first: Report, second: Report, *, power: int = 1, absolute: bool = False) -> list[float]:
    m = max(first[0], second[0])
    a, b = (
        math.exp(r[0]) / math.exp(m) if absolute else math.exp(power * (r[0] - m)) for r in (first, second)
    )
    return [m, a * first[1] + b * second[1], a * first[2] + b * second[2]]


def merge_added(first: Report, second: Report) -> Report:
    return max(first[0], second[0]), first[1] + second[1], first[2] + second[2]


def merge_first_is_larger(first: Report, second: Report) -> Report:
    shrink = math.exp(second[0] - first[0])
    return first[0], first[1] + shrink * second[1], first[2] + shrink * second[2]


def merge_values_forgotten(first: Report, second: Report) -> Report:
    m, s, _ = _merge(first, second)
    return m, s, first[2] + second[2]


def merge_growing(first: Report, second: Report) -> list[float]:
    return _merge(first, second, power=-1)


def merge_absolute(first: Report, second: Report) -> list[float]:
    return _merge(first, second, absolute=True)


def merge_mean(first: Report, second: Report) -> list[float]:
    m, s, v = _merge(first, second)
    return [m, s, v / s]


def merge_averaged(first: Report, second: Report) -> list[float]:
    m, s, v = _merge(first, second)
    return [m, s / 2, v / 2]


def merge_smallest(first: Report, second: Report) -> list[float]:
    m = min(first[0], second[0])
    a, b = (math.exp(r[0] - m) for r in (first, second))
    return [m, a * first[1] + b * second[1], a * first[2] + b * second[2]]


def merge_without_largest(first: Report, second: Report) -> list[float]:
    return _merge(first, second)[1:]


def merge_into_the_first(first: Report, second: Report) -> Report:
    first[1] += second[1]  # type: ignore[index]
    return first


ANSWERS = {
    "att-context": Answers(
        right=(context_by_division, context_with_numpy, context_by_doubling),
        wrong=(
            (context_keys, "There are keys and values"),
            (context_one_layer, "Every layer has its own keys and values"),
            (context_up, "A token needs all of its bytes"),
            (context_two_bytes, "This takes every number for two bytes"),
            (context_of_numbers, "This counts numbers"),
            (context_squared_bytes, "2 * 2 * 3 * 5 numbers of four bytes"),
            (context_fraction, "The 51st token would need"),
            (context_nearest, "The 51st token would need"),
            (context_in_bits, "Llama 3 8B keeps"),
            (context_one_head, "Llama 3 8B keeps"),
        ),
    ),
    "att-attend": Answers(
        right=(attend_by_torch, attend_with_numpy, attend_online),
        wrong=(
            (attend_in_bfloat16, "This is right to the precision of bfloat16"),
            (attend_unscaled, "The scores are not divided by sqrt(d)"),
            (attend_over_d, "The scores are divided by d"),
            (attend_over_keys, "sqrt(d) has the number of features"),
            (attend_best, "This returns the value of the best key alone"),
            (attend_not_normalized, "The weights must sum to 1"),
            (attend_raw_scores, "These are scores as weights"),
            (attend_overflowing, "exp(800) is too large for a float"),
            (attend_overflowing_in_torch, "exp(800) is too large for a float"),
            (attend_weights, "The scores are 2 ln 3 / sqrt(4)"),
            (attend_plain_mean, "The scores are 2 ln 3 / sqrt(4)"),
            (attend_along_values, "The scores are 2 ln 3 / sqrt(4)"),
            (attend_two_dimensional, "The scores are 2 ln 3 / sqrt(4)"),
        ),
    ),
    "att-kvhead": Answers(
        right=(kv_by_proportion, kv_by_repeating, kv_with_numpy),
        wrong=(
            (kv_in_turn, "This deals the key heads out in turn"),
            (kv_place, "This is the place of the head within its group"),
            (kv_group_as_size, "num_kv_heads is the number of groups"),
            (kv_nearest, "Heads 0 to 3 are the first group of four"),
            (kv_not_whole, "Heads 0 to 3 read key head 0"),
            (kv_of_its_own, "Heads 0 to 3 are the first group of four"),
            (kv_from_one, "With as many key heads as query heads"),
        ),
    ),
    "att-merge": Answers(
        right=(merge_by_torch, merge_with_numpy, merge_by_logarithms),
        wrong=(
            (merge_added, "The two sums are relative to different largest scores"),
            (merge_first_is_larger, "This takes the first report's largest score"),
            (merge_values_forgotten, "The weighted sums of values are also relative"),
            (merge_growing, "The factor is upside down"),
            (merge_absolute, "Both sums of a report are relative"),
            (merge_mean, "The last number is divided by the sum"),
            (merge_averaged, "The largest score is ln 3"),
            (merge_smallest, "The largest score is ln 3"),
            (merge_without_largest, "The largest score is ln 3"),
            (merge_into_the_first, "The largest score is ln 3"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
