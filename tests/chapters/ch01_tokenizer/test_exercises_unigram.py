"""Right and wrong answers to chapter 1's exercises on Unigram."""

import itertools
import math
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from course_lib.exercises import EXERCISES
from tests.exercises.answers import Answers, run_tables

Word = tuple[bytes, ...]

# --- Unigram ----------------------------------------------------------------------------------------------------------


def viterbi_with_ways(word: str, scores: Mapping[str, float]) -> list[str]:
    best: list[tuple[float, list[str]]] = [(0.0, [])]
    for end in range(1, len(word) + 1):
        ways = [
            (best[start][0] + scores[word[start:end]], [*best[start][1], word[start:end]])
            for start in range(end)
            if word[start:end] in scores and best[start]
        ]
        best.append(max(ways, default=()))  # type: ignore[arg-type]
    return best[-1][1]


def viterbi_remembering(word: str, scores: Mapping[str, float]) -> Word:
    @cache
    def rest(start: int) -> tuple[float, tuple[str, ...]]:
        if start == len(word):
            return 0.0, ()
        ways = [(-math.inf, ())]
        for end in range(start + 1, len(word) + 1):
            if word[start:end] in scores:
                total, pieces = rest(end)
                ways.append((scores[word[start:end]] + total, (word[start:end], *pieces)))
        return max(ways)

    return rest(0)[1]  # type: ignore[return-value]


def viterbi_with_numpy(word: str, scores: Mapping[str, float]) -> np.ndarray:
    best = np.full(len(word) + 1, -np.inf, dtype=np.float32)
    best[0], back = 0, np.zeros(len(word) + 1, dtype=int)
    for start, (piece, score) in itertools.product(range(len(word)), scores.items()):
        end = start + len(piece)
        if word.startswith(piece, start) and best[start] + score > best[end]:
            best[end], back[end] = best[start] + score, start
    cuts = [len(word)]
    while cuts[-1]:
        cuts.append(int(back[cuts[-1]]))
    return np.array([word[a:b] for a, b in pairwise(cuts[::-1])])


def _all_ways(word: str, scores: Mapping[str, float]) -> Any:
    if not word:
        yield []
    for size in range(1, len(word) + 1):
        if word[:size] in scores:
            for way in _all_ways(word[size:], scores):
                yield [word[:size], *way]


def viterbi_every_way(word: str, scores: Mapping[str, float]) -> list[str]:
    return max(_all_ways(word, scores), key=lambda way: sum(scores[piece] for piece in way))


def viterbi_every_cut(word: str, scores: Mapping[str, float]) -> list[str]:
    best, best_score = [], -math.inf
    for cuts in itertools.product((0, 1), repeat=len(word) - 1):
        places = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(word)]
        way = [word[a:b] for a, b in pairwise(places)]
        score = sum(scores.get(piece, -math.inf) for piece in way)
        if score > best_score:
            best, best_score = way, score
    return best


def viterbi_recursive(word: str, scores: Mapping[str, float]) -> list[str]:
    def rest(start: int) -> tuple[float, list[str]]:
        ways = [
            (scores[word[start:end]] + rest(end)[0], [word[start:end], *rest(end)[1]])
            for end in range(start + 1, len(word) + 1)
            if word[start:end] in scores
        ]
        return max(ways) if ways else ((0.0, []) if start == len(word) else (-math.inf, []))

    return rest(0)[1]


def viterbi_greedy(word: str, scores: Mapping[str, float]) -> list[str] | None:
    pieces = []
    while word:
        for size in range(len(word), 0, -1):
            if word[:size] in scores:
                pieces.append(word[:size])
                word = word[size:]
                break
        else:
            return None
    return pieces


def viterbi_greedy_that_raises(word: str, scores: Mapping[str, float]) -> list[str]:
    pieces = []
    while word:
        pieces.append(max((word[:n] for n in range(1, len(word) + 1) if word[:n] in scores), key=len))
        word = word[len(pieces[-1]) :]
    return pieces


def viterbi_sum_of_probabilities(word: str, scores: Mapping[str, float]) -> list[str]:
    return viterbi_remembering(word, {piece: math.exp(score) for piece, score in scores.items()})  # type: ignore[return-value]


def viterbi_sum_of_few(word: str, scores: Mapping[str, float]) -> list[str]:
    return list(viterbi_remembering(word, dict.fromkeys(scores, -1.0)))  # type: ignore[arg-type]


def viterbi_least(word: str, scores: Mapping[str, float]) -> list[str]:
    return viterbi_with_ways(word, {piece: -score for piece, score in scores.items()})


def viterbi_two(word: str, scores: Mapping[str, float]) -> list[str]:
    short = {piece: score for piece, score in scores.items() if len(piece) < 3}
    return viterbi_remembering(word, short)  # type: ignore[return-value]


def viterbi_backwards(word: str, scores: Mapping[str, float]) -> list[str]:
    return viterbi_with_ways(word, scores)[::-1]


def viterbi_mean(word: str, scores: Mapping[str, float]) -> list[str]:
    best: list[tuple[float, list[str]]] = [(0.0, [])]
    for end in range(1, len(word) + 1):
        ways = []
        for start in range(end):
            if word[start:end] in scores and best[start][0] > -math.inf:
                way = [*best[start][1], word[start:end]]
                ways.append((sum(map(scores.__getitem__, way)) / len(way), way))
        best.append(max(ways, default=(-math.inf, [])))
    return best[-1][1]


def viterbi_text(word: str, scores: Mapping[str, float]) -> str:
    return " ".join(viterbi_with_ways(word, scores))


# --- the E-step -------------------------------------------------------------------------------------------------------


def counts_forward_backward(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    n = len(word)
    forward, backward = [1.0] + n * [0.0], n * [0.0] + [1.0]
    for end in range(1, n + 1):
        forward[end] = sum(forward[start] * probabilities.get(word[start:end], 0) for start in range(end))
    for start in reversed(range(n)):
        backward[start] = sum(
            backward[end] * probabilities.get(word[start:end], 0) for end in range(start + 1, n + 1)
        )
    counts: dict[str, float] = defaultdict(float)
    for start, end in itertools.combinations(range(n + 1), 2):
        probability = probabilities.get(word[start:end], 0)
        counts[word[start:end]] += forward[start] * probability * backward[end] / forward[n]
    return {piece: count for piece, count in counts.items() if count > 0}


def counts_from_an_inverse(word: str, probabilities: Mapping[str, float]) -> dict[str, np.float64]:
    """The weights of all paths between two places are the entries of (1 - W)^-1."""
    n = len(word) + 1
    weights = np.zeros((n, n))
    for start, end in itertools.combinations(range(n), 2):
        weights[start, end] = probabilities.get(word[start:end], 0)
    paths = np.linalg.inv(np.eye(n) - weights)
    used = paths[0, :, None] * weights * paths[None, :, -1] / paths[0, -1]
    counts: dict[str, np.float64] = {}
    for start, end in zip(*np.nonzero(used), strict=True):
        piece = word[start:end]
        counts[piece] = counts.get(piece, np.float64(0)) + used[start, end]
    return counts


def counts_from_the_derivative(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    """The expected count of a piece is d log P(word) / d log p(piece)."""

    @cache
    def rest(start: int) -> tuple[float, tuple[tuple[str, float], ...]]:
        if start == len(word):
            return 1.0, ()
        total, slopes = 0.0, Counter[str]()
        for piece, probability in probabilities.items():
            if word.startswith(piece, start):
                value, inner = rest(start + len(piece))
                total += probability * value
                slopes[piece] += probability * value  # type: ignore[assignment]
                for name, slope in inner:
                    slopes[name] += probability * slope  # type: ignore[assignment]
        return total, tuple(slopes.items())

    total, slopes = rest(0)
    return {piece: slope / total for piece, slope in slopes if slope}


def counts_of_every_way(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    ways = [(way, math.prod(map(probabilities.__getitem__, way))) for way in _all_ways(word, probabilities)]
    counts: dict[str, float] = defaultdict(float)
    for way, weight in ways:
        for piece in way:
            counts[piece] += weight / sum(weight for _, weight in ways)
    return counts


def counts_of_viterbi(word: str, probabilities: Mapping[str, float]) -> Counter[str]:
    logs = {piece: math.log(probability) for piece, probability in probabilities.items()}
    return Counter(viterbi_with_ways(word, logs))


def counts_of_equal_ways(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    return counts_forward_backward(word, dict.fromkeys(probabilities, 1.0))


def counts_undivided(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    counts = counts_from_the_derivative(word, probabilities)
    paths = [1.0]
    for end in range(1, len(word) + 1):
        paths.append(sum(paths[start] * probabilities.get(word[start:end], 0) for start in range(end)))
    return {piece: count * paths[-1] for piece, count in counts.items()}


def counts_that_sum_to_one(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    counts = counts_from_the_derivative(word, probabilities)
    return {piece: count / sum(counts.values()) for piece, count in counts.items()}


def counts_with_zeros(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    return dict.fromkeys(probabilities, 0.0) | counts_forward_backward(word, probabilities)


ANSWERS = {
    "tok-expected-counts": Answers(
        right=(counts_forward_backward, counts_from_an_inverse, counts_from_the_derivative),
        wrong=(
            (counts_of_every_way, "There are too many ways to list them"),
            (counts_of_viterbi, "This counts the pieces of the best way alone"),
            (counts_of_equal_ways, "This takes every way to be equally probable"),
            (counts_undivided, "These are sums of products of probabilities"),
            (counts_that_sum_to_one, "These add up to 1: that is already the M-step"),
            (counts_with_zeros, "aa leaves b, which is not a piece"),
        ),
    ),
    "tok-viterbi": Answers(
        right=(viterbi_with_ways, viterbi_remembering, viterbi_with_numpy),
        wrong=(
            (viterbi_every_way, "In about n² steps"),
            (viterbi_every_cut, "There are 2^20 ways to cut"),
            (viterbi_recursive, "There are 2^20 ways to cut"),
            (viterbi_greedy, "This takes the longest piece from the left each time"),
            (viterbi_greedy_that_raises, "h + ugs has"),
            (viterbi_sum_of_probabilities, "This adds probabilities"),
            (viterbi_sum_of_few, "h + ugs has"),
            (viterbi_least, "This is the least probable way"),
            (viterbi_two, "This tries pieces of one and two characters only"),
            (viterbi_backwards, "These are the right pieces from the end"),
            (viterbi_mean, "ab + c has -2.5"),
            (viterbi_text, "h + ugs has"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)


def test_the_longest_word_asks_for_a_dynamic_program_and_leaves_it_time() -> None:
    *_, longest = EXERCISES["tok-viterbi"].cases()
    assert len(longest.arguments[0]) > 200 and longest.at_most_seconds is not None
    started = time.process_time()
    assert viterbi_with_ways(*longest.arguments) == longest.expected
    assert time.process_time() - started < longest.at_most_seconds / 5
