"""Laws for the number and the frequencies of distinct pre-tokens, and a generated text that follows them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_lib.tokenizer.cluster import FAN_IN


@dataclass
class Heaps:
    """V = scale * N^beta distinct pre-tokens among N (Heaps 1978; Herdan 1960); call it with N."""

    scale: float
    beta: float

    def __call__(self, pretokens: float) -> float:  # noqa: D102
        return self.scale * pretokens**self.beta


def fit(points: Sequence[tuple[float, float]]) -> Heaps:
    """Least squares in logarithms."""
    logs = np.log(np.array(points, float))
    beta, intercept = np.polyfit(logs[:, 0], logs[:, 1], 1)
    return Heaps(float(np.exp(intercept)), float(beta))


def share_at_least(count: int, beta: float) -> float:
    """The share of distinct words that occur ``count`` times or more under Heaps' law (Karlin 1967)."""
    return math.exp(math.lgamma(count - beta) - math.lgamma(1 - beta) - math.lgamma(count))


def threshold(distinct: float, max_words: float, beta: float) -> int:
    """The largest count that pruning to ``max_words`` drops; 0 if all fit."""
    low, high = 0, 1
    while distinct * share_at_least(high, beta) > max_words:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if distinct * share_at_least(middle, beta) > max_words else (low, middle)
    return low


def tree_levels(text_bytes: float, block: float) -> list[tuple[float, float]]:
    """For each level of the reduction, from the counted parts up: number of results, and bytes of text behind each."""
    levels = [(math.ceil(text_bytes / block), min(block, text_bytes))]
    while levels[-1][0] > 1:
        count = math.ceil(levels[-1][0] / FAN_IN)
        levels.append((count, text_bytes / count))
    return levels


def predicted_missed(size: float, block: float, density: float, law: Heaps, max_words: int) -> int:
    """The sum of the counts that the steps of the tree drop; ``density``: pre-tokens per byte."""
    return sum(
        math.ceil(number) * threshold(law(text * density), max_words, law.beta)
        for number, text in tree_levels(size, block)
    )


def write_open_vocabulary(path: Path, size: int, beta: float, words: int, distinct: int) -> None:
    """Text of ``size`` bytes whose number of distinct words grows as (number of words)^beta.

    Word number r has a probability proportional to 1/r up to a rank R and to r^(-1/beta) beyond (two regimes: Ferrer i
    Cancho and Solé 2001); R is such that ``words`` words hold about ``distinct`` different ones (Karlin 1967).
    """
    a = 1 / beta

    def expected(log_rank: float) -> float:
        density = (a - 1) / (1 + (a - 1) * log_rank)  # of the tail, times R^(a - 1)
        return (words * density * math.exp((a - 1) * log_rank)) ** beta * math.gamma(1 - beta)

    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expected(middle) < distinct else (low, middle)
    tail_share = 1 / (1 + (a - 1) * low)
    table = [spelled(rank) for rank in range(1 << 20)]
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        while file.tell() < size:
            u = 1 - rng.random(1 << 20)
            in_tail = rng.random(1 << 20) < tail_share
            ranks = np.exp(np.where(in_tail, low - np.log(u) / (a - 1), low * u))
            ranks = np.minimum(ranks, 2.0**62).astype(np.int64)
            text = list(map(table.__getitem__, np.minimum(ranks, len(table) - 1).tolist()))
            for place in np.flatnonzero(ranks >= len(table)):
                text[place] = spelled(int(ranks[place]))
            file.write(b"".join(text))
        file.truncate(size)


def spelled(rank: int) -> bytes:
    """A space and the number, written in base 26 with letters."""
    letters = bytearray()
    while True:
        rank, letter = divmod(rank, 26)
        letters.append(97 + letter)
        if rank == 0:
            return b" " + bytes(reversed(letters))
