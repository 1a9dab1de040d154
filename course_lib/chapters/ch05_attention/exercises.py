"""The exercises of chapter 5, Attention. Results: NumPy in float64, complete lists of scores, hand calculation."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from course_lib.answers.checking import Case, Exercise, Mistake

Report = tuple[float, float, float]


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


def _weighted(scores: np.ndarray, values: Sequence[Sequence[float]]) -> list[float]:
    weights = np.exp(scores - scores.max())
    return [float(x) for x in weights @ np.array(values) / weights.sum()]


def _scores(query: Sequence[float], keys: Sequence[Sequence[float]]) -> np.ndarray:
    return np.asarray(np.array(keys) @ np.array(query))


def _attend(query: list[float], keys: list[list[float]], values: list[list[float]]) -> list[float]:
    return _weighted(_scores(query, keys) / math.sqrt(len(query)), values)


def _attend_cases() -> Iterator[Case]:
    yield Case(
        ([2.0, 0.0, 0.0, 0.0], [[math.log(3), 0.0, 0.0, 0.0], [0.0, 5.0, 5.0, 5.0]], [[4.0], [8.0]]),
        [5.0],
        "The scores are 2 ln 3 / sqrt(4) = ln 3 and 0, so the weights are 3/4 and 1/4.",
    )
    yield Case(([1.0, 2.0], [[0.3, 0.4]], [[7.0, -1.0, 2.0]]), [7.0, -1.0, 2.0], "A single key has weight 1.")
    yield Case(
        ([1.0, -1.0], [[2.0, 2.0], [-3.0, -3.0]], [[1.0, 5.0], [3.0, 9.0]]),
        [2.0, 7.0],
        "Both scores are 0: the plain mean.",
    )
    for query, keys, values in (
        (
            [0.5, -1.0, 2.0],
            [[1.0, 0.0, 0.5], [0.0, 1.0, -1.0], [0.3, 0.3, 0.3]],
            [[1.0, 0.0], [0.0, 1.0], [5.0, -5.0]],
        ),
        (
            [1.0, 0.5],
            [[0.3, -0.4], [1.0, 2.0], [0.0, 1.0], [-1.0, 0.5], [2.0, 0.1]],
            [[1.0], [2.0], [4.0], [8.0], [16.0]],
        ),
    ):
        yield Case(
            (query, keys, values),
            _attend(query, keys, values),
            "Scores are query·key / sqrt(d), weights exp(score) / sum of all exp(score); the result is the mean of the "
            "values with these weights.",
        )
    large = ([40.0, 40.0, 40.0, 40.0], [[10.0, 10.0, 10.0, 10.0], [9.9375, 10.0, 10.0, 10.0]], [[1.0], [0.0]])
    yield Case(
        large,
        _attend(*large),
        "exp(800) is too large for a float. Subtract the largest score from all before exp: the weights stay the same.",
    )


def _unscaled(query: list[float], keys: list[list[float]], values: list[list[float]]) -> list[float]:
    return _weighted(_scores(query, keys), values)


def _over_d(query: list[float], keys: list[list[float]], values: list[list[float]]) -> list[float]:
    return _weighted(_scores(query, keys) / len(query), values)


def _over_keys(query: list[float], keys: list[list[float]], values: list[list[float]]) -> list[float]:
    return _weighted(_scores(query, keys) / math.sqrt(len(keys)), values)


def _without_softmax(query: list[float], keys: list[list[float]], values: list[list[float]]) -> list[float]:
    scores = _scores(query, keys) / math.sqrt(len(query))
    return [float(x) for x in scores @ np.array(values)]


def _hardest(query: list[float], keys: list[list[float]], values: list[list[float]]) -> list[float]:
    return list(values[int(_scores(query, keys).argmax())])


def _not_normalized(query: list[float], keys: list[list[float]], values: list[list[float]]) -> list[float]:
    scores = _scores(query, keys) / math.sqrt(len(query))
    return [float(x) for x in np.exp(scores - scores.max()) @ np.array(values)]


def _kv_head_cases() -> Iterator[Case]:
    yield Case((5, 8, 2), 1, "Heads 0 to 3 read key head 0, heads 4 to 7 read key head 1.")
    yield Case((3, 8, 2), 0, "Heads 0 to 3 are the first group of four.")
    yield Case((31, 32, 8), 7, "The last query head reads the last key head.")
    yield Case((6, 8, 8), 6, "With as many key heads as query heads, each has its own.")
    yield Case((6, 8, 1), 0, "With one key head all read that one.")
    yield Case((5, 6, 3), 2, "Groups of two: 0 and 1, 2 and 3, 4 and 5.")
    yield Case((10, 12, 4), 3, "Groups of three: 0 to 2, 3 to 5, 6 to 8, 9 to 11.")


def _in_turn(head: int, num_heads: int, num_kv_heads: int) -> int:  # noqa: ARG001
    return head % num_kv_heads


def _place_in_group(head: int, num_heads: int, num_kv_heads: int) -> int:
    return head % (num_heads // num_kv_heads)


def _groups_as_size(head: int, num_heads: int, num_kv_heads: int) -> int:  # noqa: ARG001
    return head // num_kv_heads


def _report(scores: Sequence[float], values: Sequence[float]) -> Report:
    largest = max(scores)
    weights = [math.exp(score - largest) for score in scores]
    return largest, math.fsum(weights), math.fsum(w * v for w, v in zip(weights, values, strict=True))


def _merge_cases() -> Iterator[Case]:
    yield Case(
        ((0.0, 1.0, 4.0), (math.log(3), 1.0, 8.0)),
        (math.log(3), 4 / 3, 28 / 3),
        "The largest score is ln 3: the first report shrinks by exp(0 - ln 3) = 1/3, its 1 and 4 to 1/3 and 4/3.",
    )
    for scores, values, cut in (
        ([2.0, -1.0, 0.5, 3.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0], 2),
        ([5.0, 1.0, 0.0], [1.0, -1.0, 2.0], 1),
        ([900.0, 899.0, 898.0, 901.5], [0.5, 1.5, -2.5, 3.5], 3),
        ([1.0, 1.0], [3.0, 7.0], 1),
    ):
        yield Case(
            (_report(scores[:cut], values[:cut]), _report(scores[cut:], values[cut:])),
            _report(scores, values),
            "Both sums of a report are relative to its own largest score: bring them to the common one by exp(m - m').",
        )


def _just_added(first: Report, second: Report) -> Report:
    return max(first[0], second[0]), first[1] + second[1], first[2] + second[2]


def _second_shrinks(first: Report, second: Report) -> Report:
    """As when the first half always has the larger score."""
    shrink = math.exp(second[0] - first[0])
    return first[0], first[1] + shrink * second[1], first[2] + shrink * second[2]


def _grows(first: Report, second: Report) -> Report:
    largest = max(first[0], second[0])
    grow = [math.exp(largest - report[0]) for report in (first, second)]
    return largest, grow[0] * first[1] + grow[1] * second[1], grow[0] * first[2] + grow[1] * second[2]


def _mean_of_values(first: Report, second: Report) -> Report:
    largest, total, weighted = _just_added(
        *(_shrunk(report, max(first[0], second[0])) for report in (first, second))
    )
    return largest, total, weighted / total


def _shrunk(report: Report, largest: float) -> Report:
    shrink = math.exp(report[0] - largest)
    return largest, shrink * report[1], shrink * report[2]


def _values_forgotten(first: Report, second: Report) -> Report:
    largest = max(first[0], second[0])
    total = sum(math.exp(report[0] - largest) * report[1] for report in (first, second))
    return largest, total, first[2] + second[2]


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
        id="att-attend",
        chapter=5,
        cases=_attend_cases,
        hint="Scores first: inner products divided by sqrt(len(query)). Subtract the largest from all, take exp, and "
        "divide the weighted sum of each column of values by the sum of the weights.",
        mistakes=(
            Mistake(_unscaled, "The scores are not divided by sqrt(d)."),
            Mistake(
                _over_d, "The scores are divided by d; the standard deviation of a score grows with sqrt(d)."
            ),
            Mistake(_over_keys, "sqrt(d) has the number of features of the query, not the number of keys."),
            Mistake(
                _without_softmax, "These are scores as weights: take exp of them, and divide by their sum."
            ),
            Mistake(_hardest, "This returns the value of the best key alone. The softmax mixes all of them."),
            Mistake(_not_normalized, "The weights must sum to 1: divide by the sum of the exponentials."),
        ),
    ),
    Exercise(
        id="att-kvhead",
        chapter=5,
        cases=_kv_head_cases,
        hint="How many query heads share a key head? Neighbours are together: 0, 1, 2, … belong to the first group.",
        mistakes=(
            Mistake(_in_turn, "This deals the key heads out in turn. In enable_gqa neighbours share one."),
            Mistake(_place_in_group, "This is the place of the head within its group."),
            Mistake(
                _groups_as_size,
                "num_kv_heads is the number of groups; their size is num_heads // num_kv_heads.",
            ),
        ),
    ),
    Exercise(
        id="att-merge",
        chapter=5,
        cases=_merge_cases,
        hint="The new largest score is the larger of both. A sum that is relative to m becomes one relative to m' "
        "when it is multiplied by exp(m - m'); one of the two factors is 1.",
        mistakes=(
            Mistake(
                _just_added,
                "The two sums are relative to different largest scores: shrink one before adding.",
            ),
            Mistake(
                _second_shrinks,
                "This takes the first report's largest score, which need not be the larger one.",
            ),
            Mistake(
                _grows,
                "The factor is upside down: exp(m - m') of the old m and the new, larger m' is at most 1.",
            ),
            Mistake(
                _mean_of_values,
                "The last number is divided by the sum. A report holds the sum itself, so that it can be merged again.",
            ),
            Mistake(
                _values_forgotten, "The weighted sums of values are also relative to the largest scores."
            ),
        ),
    ),
)
