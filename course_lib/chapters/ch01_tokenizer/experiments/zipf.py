"""Zipf's law (齐普夫定律) for word counts, fitted by maximum likelihood instead of by eye."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from course_lib.files import progress

_ALPHAS = (1.05, 6.0)
_MIN_TAIL = 100


@dataclass(frozen=True)
class ZipfFit:
    """A discrete power law P(count = x) ∝ x^-alpha for counts x >= xmin, fitted to the ``tail`` most frequent
    of ``words`` words.

    ``alpha_error``: one standard error at this xmin, from the Fisher information. ``distance``: the largest difference
    between the two distribution functions (Kolmogorov-Smirnov). ``interval``: the middle 95 % of the Zipf
    exponents of bootstrap samples, each with its own xmin; empty without bootstrap.
    """

    alpha: float
    alpha_error: float
    xmin: int
    tail: int
    words: int
    distance: float
    interval: tuple[float, ...] = ()

    @property
    def exponent(self) -> float:
        """Zipf's s in frequency ∝ rank^-s: a word of count x has the rank that x^-(alpha - 1) is the share of."""
        return 1 / (self.alpha - 1)

    @property
    def exponent_error(self) -> float:
        """One standard error of the exponent at this xmin."""
        return self.alpha_error / (self.alpha - 1) ** 2

    def rank(self, counts: ArrayLike, *, shift: float = 0) -> NDArray[np.float64]:
        """The number of words that the law expects with at least these counts (all >= xmin).

        ``shift`` moves alpha by that many standard errors.
        """
        alpha = self.alpha + shift * self.alpha_error
        share = _zeta(alpha, np.asarray(counts, dtype=float)) / _zeta(alpha, np.array(float(self.xmin)))
        return np.asarray(self.tail * share)

    def count(self, rank: ArrayLike) -> NDArray[np.float64]:
        """The count of a word of a rank beyond the fit, if the law went on: a straight line in a log-log plot."""
        start = float(self.rank(self.xmin))
        return np.asarray(self.xmin * (np.asarray(rank, dtype=float) / start) ** -self.exponent)


def fit_zipf(counts: Iterable[int], *, xmin: int | None = None, bootstrap: int = 0, seed: int = 0) -> ZipfFit:
    """Fit the counts of words by maximum likelihood (Clauset, Shalizi and Newman 2009, sections 3.1, 3.3 and B.4).

    ``counts``: one positive number per word, in any order. ``xmin``: where the law begins; by default the best fit
    (smallest distance) of 30 counts between the smallest and the one that leaves 100 words. ``bootstrap``: number of
    samples, drawn with replacement, for ``ZipfFit.interval``.

    Raises ValueError for counts that are not positive or for fewer than 100 words with counts of ``xmin`` and more.
    """
    numbers = np.fromiter(counts, dtype=np.int64)
    if len(numbers) and numbers.min() < 1:
        raise ValueError(f"counts hold {numbers.min()}; every word must have been seen at least once")
    values, how_often = np.unique(numbers, return_counts=True)
    best = _fit(values, how_often, xmin)
    if not bootstrap:
        return best
    rng = np.random.default_rng(seed)
    exponents = []
    for _ in progress(range(bootstrap), description="bootstrap"):
        sample = rng.multinomial(len(numbers), how_often / len(numbers))
        seen = sample > 0
        exponents.append(_fit(values[seen], sample[seen], xmin).exponent)
    low, high = np.quantile(exponents, [0.025, 0.975])
    return ZipfFit(**{**vars(best), "interval": (float(low), float(high))})


def _fit(values: NDArray[np.int64], how_often: NDArray[np.int64], xmin: int | None) -> ZipfFit:
    """The best fit over xmin, or at ``xmin``; ``values`` are distinct and ascending, each seen ``how_often``."""
    tails = how_often[::-1].cumsum()[::-1]
    allowed = np.flatnonzero(tails >= _MIN_TAIL)
    if xmin is not None:
        allowed = allowed[values[allowed] >= xmin][:1]
    if not len(allowed):
        raise ValueError(
            f"counts hold {how_often.sum()} words, too few with counts of {xmin or 1} and more; {_MIN_TAIL} are needed"
        )
    low, high = np.log(values[allowed[0]]), np.log(values[allowed[-1]])
    starts = np.unique(np.searchsorted(values, np.exp(np.linspace(low, high, 30)) - 0.5))
    fits = [_fit_tail(values[start:], how_often[start:], int(how_often.sum()), xmin) for start in starts]
    return min(fits, key=lambda fit: fit.distance)


def _fit_tail(
    values: NDArray[np.int64], how_often: NDArray[np.int64], words: int, xmin: int | None
) -> ZipfFit:
    start = np.array(float(xmin if xmin is not None else values[0]))
    tail = int(how_often.sum())
    mean_log = float(how_often @ np.log(values)) / tail
    low, high = _ALPHAS
    for _ in range(6):  # the likelihood has one peak: look closer around the best of 50, six times
        alphas = np.linspace(low, high, 50)
        likelihood = -np.log(_zeta(alphas, start)) - alphas * mean_log
        peak = int(likelihood.argmax())
        low, high = alphas[max(peak - 1, 0)], alphas[min(peak + 1, 49)]
    alpha = float(alphas[peak])
    before, here, after = np.log(_zeta(alpha + np.array([-1e-3, 0, 1e-3]), start))
    information = tail * float(before - 2 * here + after) / 1e-6
    model = 1 - _zeta(alpha, values + 1.0) / _zeta(alpha, start)
    distance = float(np.abs(how_often.cumsum() / tail - model).max())
    return ZipfFit(alpha, information**-0.5, int(start), tail, words, distance)


def _zeta(alpha: ArrayLike, start: ArrayLike) -> NDArray[np.float64]:
    """Hurwitz' zeta function: the sum of x^-alpha over x = start, start + 1 and so on."""
    alphas, starts = (torch.from_numpy(np.asarray(values, dtype=float)) for values in (alpha, start))
    return np.asarray(torch.special.zeta(alphas, starts), dtype=np.float64)
