"""N-gram language models with modified Kneser-Ney smoothing: a baseline for networks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Order:
    """All n-grams of one order, numbered in the order of their keys.

    The key of an n-gram is (number of its first n - 1 tokens) * V + last token. ``keys`` (ascending) and
    ``discounted``, the part of the probability from an n-gram's own count, have one entry per n-gram. ``backoff``, the
    share of probability left to the next lower order, has one per context: the (n - 1)-grams.
    """

    keys: Ids
    discounted: Floats
    backoff: Floats


class NGramModel:
    """P(token | the n - 1 tokens before it) by modified Kneser-Ney, interpolated (Chen & Goodman 1998, section 3).

    With c the count of the n-gram h w, and h' the context h without its first token::

        P(w | h) = (c(h w) - D(c(h w))) / c(h ·)  +  backoff(h) P(w | h')

    D is D1, D2 or D3 for counts of 1, 2 and more, and ``backoff`` passes on exactly what D took away. Below the highest
    order, c counts not the occurrences of h w but the different tokens before it: "Francisco" is frequent, and yet a
    poor guess after anything but "San". Below the single tokens is 1 / V, so that no probability is zero.

    Args:
        tokens: The training text, ids (N,) in 0 … vocab_size - 1.
        n: The order, at least 1.
        vocab_size: V.

    Raises:
        ValueError: n < 1, fewer than n tokens, or an id out of range.
    """

    def __init__(self, tokens: ArrayLike, n: int, vocab_size: int) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}")
        ids = _checked(tokens, vocab_size)
        if len(ids) < n:
            raise ValueError(f"tokens must hold at least n = {n} ids, not {len(ids)}")
        self.n, self.vocab_size = n, vocab_size
        self._orders = _count(ids, n, vocab_size)

    @property
    def num_entries(self) -> int:
        """The number of different n-grams of all orders."""
        return sum(len(order.keys) for order in self._orders)

    def probabilities(self, tokens: ArrayLike) -> Floats:
        """P of each token given those before it, (N,); the first n - 1 tokens have a shorter context.

        Raises ValueError for an id out of range.
        """
        ids = _checked(tokens, self.vocab_size)
        result = np.full(len(ids), 1 / self.vocab_size)
        for length, order in enumerate(self._orders):
            context = self._contexts(ids, length)
            gram = self._extend(order, context, ids)
            seen = context >= 0
            result[seen] *= order.backoff[context[seen]]
            result[gram >= 0] += order.discounted[gram[gram >= 0]]
        return result

    def _contexts(self, ids: Ids, length: int) -> Ids:
        """The number of the ``length``-gram before each place, or -1 if it is not in the training text."""
        numbers = np.zeros(len(ids), np.int64)
        for back, order in zip(range(length, 0, -1), self._orders, strict=False):
            before = np.concatenate([np.full(min(back, len(ids)), -1), ids[:-back]])
            numbers = self._extend(order, np.where(before < 0, -1, numbers), before)
        return numbers

    def _extend(self, order: _Order, context: Ids, ids: Ids) -> Ids:
        """The numbers of context + token, or -1 if there is no such n-gram."""
        keys = context * self.vocab_size + ids
        places = np.searchsorted(order.keys, keys).clip(max=len(order.keys) - 1)
        return np.where((context >= 0) & (order.keys[places] == keys), places, -1)


def _checked(tokens: ArrayLike, vocab_size: int) -> Ids:
    ids = np.asarray(tokens).astype(np.int64)
    if ids.ndim != 1:
        raise ValueError(f"tokens must have one dimension, not {ids.ndim}")
    if len(ids) and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise ValueError(f"tokens must be in 0 … {vocab_size - 1}, not {ids.min()} … {ids.max()}")
    return ids


def _count(ids: Ids, n: int, vocab_size: int) -> list[_Order]:
    """The orders 1 … n, counted by sorting keys."""
    distinct: list[tuple[Ids, Ids]] = []  # of each order: keys, counts
    numbers = np.zeros(len(ids) + 1, np.int64)  # of the n-gram that starts at each place; so far n = 0
    for length in range(1, n + 1):
        all_keys = numbers[: len(ids) - length + 1] * vocab_size + ids[length - 1 :]
        shorter = numbers
        keys, first, numbers, counts = np.unique(
            all_keys, return_index=True, return_inverse=True, return_counts=True
        )
        if distinct:
            # Each distinct n-gram counts as one token that occurs before its last n - 1 tokens.
            keys_below = distinct[-1][0]
            distinct[-1] = keys_below, np.bincount(shorter[first + 1], minlength=len(keys_below))
        distinct.append((keys, counts))
    num_contexts = [1, *(len(keys) for keys, _ in distinct)]
    return [
        _smooth(keys, keys // vocab_size, counts, contexts)
        for (keys, counts), contexts in zip(distinct, num_contexts, strict=False)
    ]


def _smooth(keys: Ids, context: Ids, counts: Ids, num_contexts: int) -> _Order:
    discount = _discounts(counts)[np.minimum(counts, 3)]
    total = np.bincount(context, counts, num_contexts)
    taken = np.bincount(context, discount, num_contexts)
    # A context that occurs only at the end of the text has no successor, and leaves all to the lower order.
    known = total > 0
    backoff = np.divide(taken, total, out=np.ones(num_contexts), where=known)
    discounted = np.divide(counts - discount, total[context], out=np.zeros(len(keys)), where=known[context])
    return _Order(keys, discounted, backoff)


def _discounts(counts: Ids) -> Floats:
    """D for counts of 0, 1, 2 and more (Chen & Goodman 1998, section 3)."""
    n1, n2, n3, n4 = np.bincount(counts, minlength=5)[1:5].tolist()
    if 0 in (n1, n2, n3, n4):  # too little text, or too few kinds of tokens, to estimate them
        return np.array([0, 0.5, 1, 1.5])
    y = n1 / (n1 + 2 * n2)
    estimates = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    return estimates.clip(0, [0, 1, 2, 3])
