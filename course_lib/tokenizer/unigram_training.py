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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import check_integer, check_number, check_positive

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MStep: TypeAlias = Callable[[Floats, NDArray[np.bool_]], Floats]
"""Expected counts, and which pieces are kept, to log-probabilities."""

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

    model = PieceModel.of(words, seeds)
    while True:
        for _ in range(em_steps):
            model.em_step()
        if model.num_pieces == num_pieces:
            break
        model.prune(max(num_pieces, int(shrinking_factor * model.num_pieces)))
    scores = model.scores()
    return {piece: scores[piece] for piece in sorted(scores, key=lambda piece: (-scores[piece], piece))}


@dataclass
class PieceModel:
    """Pieces and their log-probabilities while they are learned from words; see :meth:`of`.

    ``log_p``: of each of ``pieces``, −∞ for those that are not ``kept``. ``counts``: expected uses in the last E-step.
    ``lattices`` holds the ways to cut the words, which occur ``frequencies`` times; ``other_ways`` those to cut each
    piece into other pieces.
    """

    pieces: list[str]
    kept: NDArray[np.bool_]
    log_p: Floats
    counts: Floats
    frequencies: Floats
    lattices: "Lattices"
    other_ways: "Lattices"

    @classmethod
    def of(cls, words: Mapping[str, int], seeds: Mapping[str, int]) -> Self:
        """``words`` with their counts, and the pieces to begin with; a piece's probability follows its count in
        ``seeds``. Every character of the words must be a piece.
        """
        pieces = list(seeds)
        counts = np.array(list(seeds.values()), np.float64)
        return cls(
            pieces,
            np.full(len(pieces), True),
            np.log(counts / counts.sum()),
            counts,
            np.array(list(words.values()), np.float64),
            Lattices.of(list(words), pieces),
            Lattices.of(pieces, pieces).without_whole_words(),
        )

    @property
    def num_pieces(self) -> int:
        """The number of pieces that are kept."""
        return int(self.kept.sum())

    def em_step(self, maximize: MStep | None = None) -> None:
        """One step of EM: count every piece over all ways to cut the words, then fit the probabilities to the counts.

        ``maximize``: the M-step, by default :func:`m_step`.
        """
        self.counts = self.lattices.expected_counts(self.log_p, self.frequencies)
        self.log_p = (maximize or m_step)(self.counts, self.kept)

    def prune(self, num_pieces: int) -> None:
        """Keep ``num_pieces``: all characters, and the longer pieces that the words would miss most.

        A piece's loss is that of log-likelihood if all its expected uses are cut in its other ways instead.
        """
        candidates = np.array([n for n in np.flatnonzero(self.kept) if len(self.pieces[n]) > 1], np.int64)
        otherwise = self.other_ways.log_probabilities(self.log_p)
        gain = np.subtract(self.log_p, otherwise, out=np.zeros_like(self.log_p), where=self.counts > 0)
        loss = self.counts[candidates] * gain[candidates]
        self.kept[candidates[np.argsort(loss, kind="stable")[: self.num_pieces - num_pieces]]] = False
        self.log_p = np.where(self.kept, self.log_p, -math.inf)
        self.lattices = self.lattices.restricted(self.kept)
        self.other_ways = self.other_ways.restricted(self.kept)

    def log_likelihood(self) -> float:
        """Σ count · log P(word) over the words, in nats; P(word) sums over all ways to cut it."""
        return float(self.frequencies @ self.lattices.log_probabilities(self.log_p))

    def scores(self) -> dict[str, float]:
        """The pieces that are kept, with their log-probabilities."""
        return {self.pieces[n]: float(self.log_p[n]) for n in np.flatnonzero(self.kept)}


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


def maximum_likelihood(counts: Floats, kept: NDArray[np.bool_]) -> Floats:
    """The M-step of plain EM: the log of the relative count, −∞ for a count of 0 and where ``kept`` is false."""
    with np.errstate(divide="ignore"):
        return np.where(kept, np.log(counts / counts[kept].sum()), -math.inf)


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
