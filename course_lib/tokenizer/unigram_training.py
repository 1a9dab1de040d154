"""Learning a Unigram vocabulary: expectation-maximization over all segmentations, and pruning (Kudo 2018, section 3.2).

The probability of a word is the sum over all its segmentations, so the pieces it is made of are hidden variables. EM
alternates between the expected count of every piece under the current probabilities (E-step: forward-backward on the
lattices of the words) and the probabilities that fit these counts (M-step). Between rounds, the pieces whose loss costs
the least likelihood are dropped. All this works on the counts of distinct words, and on all their lattices at once.

Differences from SentencePiece 0.2:

- its seed pieces are the maximal repeated substrings, from a suffix array; here all substrings are counted;
- its loss of a piece assumes that the best other segmentation takes over the piece's count in the Viterbi
  segmentation; here the sum over all others takes over the expected count;
- it drops every piece that is expected less than half a time, down to 1.1 times the vocabulary size, and then the
  improbable ones; here the rounds end at the requested size, and a last EM fits the scores to the final vocabulary.

Like SentencePiece, the M-step is not the maximum-likelihood one (log of the relative count) but the variational one for
a sparse prior (Liang and Klein 2007): digamma(count) − digamma(total), which takes about half a count from each piece.
"""

import heapq
import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import check_integer, check_number, check_positive

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Keeps the digamma of hardly used pieces, such as rare characters, away from −∞.
_SMALLEST_COUNT = 0.5


def train_scores(
    words: Mapping[str, int],
    vocab_size: int,
    *,
    reserved: int,
    max_piece_length: int,
    seed_size: int,
    shrinking_factor: float,
    em_steps: int,
) -> dict[str, float]:
    """The ``vocab_size - reserved`` pieces for ``words`` (word → count) and their log-probabilities, best first.

    The arguments are those of :meth:`course_lib.tokenizer.unigram.UnigramTokenizer.train`, and so are the errors.
    """
    check_positive("max_piece_length", max_piece_length)
    check_integer("seed_size", seed_size, least=0)
    check_positive("em_steps", em_steps)
    check_number("shrinking_factor", shrinking_factor, above=0, below=1)
    characters = set().union(*words)
    check_integer("vocab_size", vocab_size, least=reserved + max(1, len(characters)))
    num_pieces = vocab_size - reserved
    seeds = seed_pieces(words, max_piece_length, max(seed_size, num_pieces - len(characters)))
    if len(seeds) < num_pieces:
        raise ValueError(
            f"vocab_size is {vocab_size}, but the texts have only {len(seeds)} characters and repeated substrings: "
            f"at most {reserved + len(seeds)} is possible"
        )

    pieces = list(seeds)
    required = np.array([len(piece) == 1 for piece in pieces])
    frequencies = np.array(list(words.values()), np.float64)
    lattices = Lattices.of(list(words), pieces)
    other_ways = Lattices.of(pieces, pieces).without_whole_words()
    kept = np.full(len(pieces), True)
    log_p = np.log(np.array(list(seeds.values())) / sum(seeds.values()))
    while True:
        for _ in range(em_steps):
            counts = lattices.expected_counts(log_p, frequencies)
            log_p = m_step(counts, kept)
        if kept.sum() == num_pieces:
            break
        # The loss of log-likelihood if all expected uses of a piece are cut in its other ways instead.
        candidates = np.flatnonzero(kept & ~required)
        loss = counts[candidates] * (log_p - other_ways.log_probabilities(log_p))[candidates]
        excess = int(kept.sum()) - max(num_pieces, int(shrinking_factor * kept.sum()))
        kept[candidates[np.argsort(loss, kind="stable")[:excess]]] = False
        lattices, other_ways = lattices.restricted(kept), other_ways.restricted(kept)
    best_first = sorted(np.flatnonzero(kept), key=lambda number: (-log_p[number], pieces[number]))
    return {pieces[number]: float(log_p[number]) for number in best_first}


def seed_pieces(words: Mapping[str, int], max_piece_length: int, size: int) -> dict[str, int]:
    """The characters of ``words`` and the ``size`` repeated substrings with the largest count · length, with counts.

    Of equal substrings, the lexicographically smaller one comes first.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(start + max_piece_length, len(word)) + 1):
                counts[word[start:end]] += count
    characters = {piece: count for piece, count in sorted(counts.items()) if len(piece) == 1}
    repeated = [
        (-count * len(piece), piece) for piece, count in counts.items() if count > 1 and len(piece) > 1
    ]
    return characters | {piece: counts[piece] for _, piece in heapq.nsmallest(size, repeated)}


def m_step(counts: Floats, kept: NDArray[np.bool_]) -> Floats:
    """Log-probabilities for expected counts: digamma(count) − digamma(total), −∞ where ``kept`` is false."""
    counts = np.maximum(counts, _SMALLEST_COUNT)
    return np.where(kept, digamma(counts) - digamma(counts[kept].sum()), -math.inf)


def digamma(x: Any) -> Floats:
    """The derivative of log Γ at ``x`` > 0: recurrence up to 6, then the asymptotic series (error below 1e-10)."""
    x = np.array(x, np.float64)
    result: Floats = np.zeros_like(x)
    while (small := x < 6).any():
        result -= np.where(small, 1 / x, 0)
        x += small
    square = 1 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return np.asarray(result + np.log(x) - 0.5 / x - series)


@dataclass(frozen=True)
class Lattices:
    """The ways to cut many words at once: edges between nodes, which are the places between characters.

    ``source``, ``target``, ``piece``, ``word``: for each edge, the node before and after the piece, and the numbers of
    the piece and the word. The nodes of word w are ``first[w]`` to ``last[w]``. Edges are ordered by how many
    characters of their word lie before ``target``; ``backward`` is their order by how many lie behind ``source``.
    """

    source: Ints
    target: Ints
    piece: Ints
    word: Ints
    first: Ints
    last: Ints
    backward: Ints

    @classmethod
    def of(cls, words: Sequence[str], pieces: Sequence[str]) -> Self:
        """Find the ``pieces`` in the ``words``."""
        numbers = {piece: number for number, piece in enumerate(pieces)}
        longest = max(map(len, pieces))
        last = np.cumsum([len(word) + 1 for word in words]) - 1
        first = last - [len(word) for word in words]
        edges = array("q")  # as many integers in a list would take five times the memory
        for index, (word, node) in enumerate(zip(words, first.tolist(), strict=True)):
            for start in range(len(word)):
                for end in range(start + 1, min(start + longest, len(word)) + 1):
                    number = numbers.get(word[start:end])
                    if number is not None:
                        edges.extend((node + start, node + end, number, index))
        source, target, piece, of_word = np.array(edges).reshape(-1, 4).T
        order = np.lexsort((source, target, target - first[of_word]))
        source, target, piece, of_word = source[order], target[order], piece[order], of_word[order]
        backward = np.lexsort((source, last[of_word] - source))
        return cls(source, target, piece, of_word, first, last, backward)

    def restricted(self, kept: NDArray[np.bool_]) -> Self:
        """Without the edges of pieces for which ``kept[number]`` is false."""
        return self._choose(kept[self.piece])

    def without_whole_words(self) -> Self:
        """Without the edges that lead from a word's beginning to its end."""
        return self._choose((self.source > self.first[self.word]) | (self.target < self.last[self.word]))

    def _choose(self, edges: NDArray[np.bool_]) -> Self:
        renumbered = np.cumsum(edges) - 1
        return type(self)(
            self.source[edges],
            self.target[edges],
            self.piece[edges],
            self.word[edges],
            self.first,
            self.last,
            renumbered[self.backward[edges[self.backward]]],
        )

    def log_probabilities(self, log_p: Floats) -> Floats:
        """For each word, the log of the sum over its segmentations; −∞ for a word that has none."""
        return self._ways_to(log_p)[self.last]

    def expected_counts(self, log_p: Floats, frequencies: Floats) -> Floats:
        """Expected count of each piece in words that occur ``frequencies`` times, by the forward-backward algorithm.

        A piece between two nodes is used with probability (ways up to it · its own · ways from it on) / (all ways).
        """
        ways_to, ways_from = self._ways_to(log_p), self._ways_from(log_p)
        log_share = (
            ways_to[self.source] + log_p[self.piece] + ways_from[self.target] - ways_to[self.last][self.word]
        )
        uses: Floats = np.exp(log_share) * frequencies[self.word]
        return np.bincount(self.piece, uses, len(log_p)).astype(np.float64)

    def _ways_to(self, log_p: Floats) -> Floats:
        """For each node, the log of the sum over the ways from its word's beginning."""
        level = self.target - self.first[self.word]
        return _sweep(self.first, self.source, self.target, level, log_p[self.piece], self.last[-1] + 1)

    def _ways_from(self, log_p: Floats) -> Floats:
        """For each node, the log of the sum over the ways to its word's end."""
        source, target = self.source[self.backward], self.target[self.backward]
        level = self.last[self.word[self.backward]] - source
        return _sweep(self.last, target, source, level, log_p[self.piece[self.backward]], self.last[-1] + 1)


def _sweep(roots: Ints, source: Ints, target: Ints, level: Ints, weight: Floats, num_nodes: int) -> Floats:
    """For each node, log Σ exp(weights along the way) over all ways from its root, level by level.

    Edges come in the order of their ``level``, the distance of their target from the root, and then of the target.
    """
    total = np.full(num_nodes, -math.inf)
    total[roots] = 0
    group = np.flatnonzero(np.diff(target, prepend=-1))  # where the edges to the next node begin
    bounds = np.append(group, len(target))
    steps = np.searchsorted(level[group], np.arange(1, level.max(initial=0) + 2))
    for begin, end in pairwise(steps.tolist()):
        edges = slice(bounds[begin], bounds[end])
        ways = total[source[edges]] + weight[edges]
        total[target[group[begin:end]]] = np.logaddexp.reduceat(ways, group[begin:end] - bounds[begin])
    return total
