"""The Unigram tokenizer: the most probable of all ways to cut a text (Kudo 2018, "Subword Regularization").

Every piece has a probability, and a segmentation that of all its pieces multiplied (section 3.2, equation 6). The ways
to cut a word are the paths of a lattice: its nodes are the places between characters, its edges the pieces of the
vocabulary that fit between two of them. Dynamic programming over the lattice finds the best path (``viterbi``), the n
best ones (``nbest``), or draws one at random (``sample``), in time linear in the length of the text.
"""

import bisect
import heapq
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Self, SupportsIndex

import numpy as np

from course_lib.checks import check_number, check_positive
from course_lib.tokenizer.pieces import PieceTokenizer
from course_lib.tokenizer.reference import count_words
from course_lib.tokenizer.source import Source
from course_lib.tokenizer.unigram_training import train_scores

SPACE = "▁"
"""Stands for a space in pieces, as in SentencePiece, so that spaces are visible in lists of pieces."""

# A "▁" in the text itself must stay one: in between it becomes a code point that occurs in no text and no piece.
_MARK_SPACES = str.maketrans({" ": SPACE, SPACE: "\ud800"})
_UNMARK_SPACES = str.maketrans({SPACE: " ", "\ud800": SPACE})
# As in SentencePiece: a character that is not a piece scores this much less than the worst piece.
_UNKNOWN_PENALTY = 10.0

Lattice = list[list[tuple[int, float]]]
"""``lattice[end]`` holds ``(start, log-probability)`` for each piece that ends there, longest piece first."""


class UnigramTokenizer(PieceTokenizer):
    """A vocabulary of pieces with log-probabilities, and the segmentations it allows.

    ``scores``: piece → log-probability (natural logarithm), in the order of the ids; ``▁`` in a piece stands for a
    space. ``pattern`` cuts a text into words first, as in :class:`~course_lib.tokenizer.Tokenizer`; no piece crosses
    their boundaries. Ids 0 to 255 are the single bytes, written ``<0x00>`` to ``<0xFF>``: a character that is not a
    piece is spelled in UTF-8 (SentencePiece's byte fallback), so that ``decode(encode(text)) == text`` for every text.
    No space is put before the text.

    Raises ValueError for an empty vocabulary, an empty piece, a piece with a space in it or a score that is not a
    finite number.
    """

    def __init__(self, scores: Mapping[str, float], *, pattern: str = "gpt2") -> None:
        self.scores = {_checked_piece(piece): _checked_score(piece, score) for piece, score in scores.items()}
        if not self.scores:
            raise ValueError("scores is empty; a vocabulary of at least one piece is needed")
        super().__init__([f"<0x{byte:02X}>" for byte in range(256)] + list(self.scores), pattern)
        self._longest = max(map(len, self.scores))
        self._unknown = min(self.scores.values()) - _UNKNOWN_PENALTY

    @classmethod
    def train(
        cls,
        source: Source,
        vocab_size: int,
        *,
        pattern: str = "gpt2",
        max_piece_length: int = 16,
        seed_size: int = 50_000,
        shrinking_factor: float = 0.75,
        em_steps: int = 2,
    ) -> Self:
        """Learn a vocabulary of ``vocab_size`` entries (256 bytes and the pieces) from texts; Kudo 2018, section 3.2.

        ``source`` as for :func:`~course_lib.tokenizer.train_bpe`: a path, several, or an iterable of str documents.
        The seed vocabulary holds every character and the ``seed_size`` substrings of words, up to
        ``max_piece_length`` characters long, that cover most of the text. Then, in turn, ``em_steps`` of EM estimate
        the probabilities, and the pieces whose loss costs the least likelihood are dropped so that a fraction
        ``shrinking_factor`` remains, until ``vocab_size`` is reached. Characters are never dropped.
        See :mod:`course_lib.tokenizer.unigram_training` for how this differs from SentencePiece.

        Raises ValueError for a source without text, a ``vocab_size`` too small for its characters, and the other
        arguments out of range; TypeError for a source of another kind.
        """
        scores = train_scores(
            training_words(source, pattern),
            vocab_size,
            reserved=256,
            max_piece_length=max_piece_length,
            seed_size=seed_size,
            shrinking_factor=shrinking_factor,
            em_steps=em_steps,
        )
        return cls(scores, pattern=pattern)

    # --- encoding ------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """The ids of the most probable segmentation; of equally probable ones, that with the longest last piece.

        Raises ValueError for a lone surrogate in ``text``, TypeError for anything but a str.
        """
        return super().encode(text)

    def nbest(self, text: str, n: int) -> list[tuple[list[int], float]]:
        """The ``n`` most probable segmentations, or all if there are fewer: ids and log-probability, best first.

        Raises ValueError for ``n`` below 1; otherwise as :meth:`encode`.
        """
        check_positive("n", n)
        paths: list[tuple[list[int], float]] = [([], 0.0)]
        for word in self._words(text):
            found = [(self._to_ids(word, ends), score) for ends, score in nbest(self.lattice(word), n)]
            together = [(ids + more, score + extra) for ids, score in paths for more, extra in found]
            paths = heapq.nlargest(n, together, key=lambda path: path[1])
        return paths

    def sample(self, text: str, alpha: float = 0.1, seed: int | np.random.Generator = 0) -> list[int]:
        """A segmentation drawn at random (subword regularization): with probability in proportion to P(ids) ** alpha.

        ``alpha=1`` draws from the model, larger values ever closer to the best segmentation, ``alpha=0`` uniformly. The
        draw is exact, over all segmentations (Kudo 2018, section 3.3, with l = ∞). ``seed``: a number, or a generator
        for repeated draws. Raises ValueError for an ``alpha`` below 0; otherwise as :meth:`encode`.
        """
        alpha = check_number("alpha", alpha, least=0)
        random = np.random.default_rng(seed)
        ids: list[int] = []
        for word in self._words(text):
            ids += self._to_ids(word, sample(self.lattice(word), alpha, random))
        return ids

    def lattice(self, word: str) -> Lattice:
        """The pieces that fit into ``word`` (spaces written ``▁``), by where they end.

        A character that is not a piece gets an edge of its own, 10 below the lowest score.
        """
        return [
            [
                (start, self.scores.get(word[start:end], self._unknown))
                for start in range(max(0, end - self._longest), end)
                if start == end - 1 or word[start:end] in self.scores
            ]
            for end in range(len(word) + 1)
        ]

    # --- decoding ------------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[SupportsIndex], errors: str = "replace") -> str:
        """The text of ``ids``. ``errors`` as in ``bytes.decode``: ids may end within a character spelled in bytes."""
        return self.decode_bytes(ids).decode("utf-8", errors)

    def decode_bytes(self, ids: Iterable[SupportsIndex]) -> bytes:
        """The bytes of ``ids``, exactly those that were encoded. Raises ValueError for an unknown id."""
        return b"".join(map(self._bytes_of, ids))

    # --- how it is done ------------------------------------------------------------------------------------------

    def _words(self, text: str) -> list[str]:
        return [word.translate(_MARK_SPACES) for word in super()._words(text)]

    def _encode_word(self, word: str) -> list[int]:
        return self._to_ids(word, viterbi(self.lattice(word)))

    def _to_ids(self, word: str, ends: Sequence[int]) -> list[int]:
        ids: list[int] = []
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            piece = word[start:end]
            if piece in self.scores:
                ids.append(self._ids[piece])
            else:
                ids += piece.translate(_UNMARK_SPACES).encode()  # the id of a byte is the byte
        return ids

    def _bytes_of(self, token_id: SupportsIndex) -> bytes:
        piece = self._piece(token_id)
        number = token_id.__index__()
        return bytes([number]) if number < 256 else piece.translate(_UNMARK_SPACES).encode()


def viterbi(lattice: Lattice) -> list[int]:
    """The ends of the pieces on the most probable path (Viterbi 1967): one look at every edge."""
    best = [0.0]  # of each place: the score of the best way there,
    previous = [0]  # and where the last piece of that way starts
    for edges in lattice[1:]:
        score, start = max((best[start] + score, -start) for start, score in edges)
        best.append(score)
        previous.append(-start)
    ends, end = [], len(lattice) - 1
    while end > 0:
        ends.append(end)
        end = previous[end]
    return ends[::-1]


def nbest(lattice: Lattice, n: int) -> list[tuple[list[int], float]]:
    """The ``n`` most probable paths, best first: ends of the pieces, and log-probability.

    As ``viterbi``, but every place keeps its n best ways: score, start of the last piece, and rank of the way to it.
    """
    best: list[list[tuple[float, int, int]]] = [[(0.0, 0, 0)]]
    for edges in lattice[1:]:
        ways = [
            (before + score, start, rank)
            for start, score in edges
            for rank, (before, _, _) in enumerate(best[start])
        ]
        best.append(heapq.nlargest(n, ways, key=lambda way: way[0]))
    paths = []
    for last, (score, _, _) in enumerate(best[-1]):
        ends, end, rank = [], len(lattice) - 1, last
        while end > 0:
            ends.append(end)
            _, end, rank = best[end][rank]
        paths.append((ends[::-1], score))
    return paths


def sample(lattice: Lattice, alpha: float, random: np.random.Generator) -> list[int]:
    """The ends of the pieces on a path drawn with probability in proportion to P(path) ** ``alpha``.

    Forward filtering, backward sampling (Scott 2002): sum up the ways to every place, then walk back from the end,
    choosing each piece by its share of the sum.
    """
    total = [0.0]  # of each place: log Σ P(way) ** alpha over all ways there
    for edges in lattice[1:]:
        total.append(float(np.logaddexp.reduce([total[start] + alpha * score for start, score in edges])))
    ends, end = [], len(lattice) - 1
    while end > 0:
        ends.append(end)
        shares = [math.exp(total[start] + alpha * score - total[end]) for start, score in lattice[end]]
        place = random.random() * sum(shares)
        chosen = bisect.bisect_right(list(itertools.accumulate(shares[:-1])), place)
        end = lattice[end][chosen][0]
    return ends[::-1]


def training_words(source: Source, pattern: str) -> Counter[str]:
    """The words of ``source`` with spaces marked, cut at characters that belong to no piece."""
    words: Counter[str] = Counter()
    for word, count in count_words(source, pattern=pattern).items():
        # Bytes that are not UTF-8 become surrogates here, as a literal "▁" does.
        marked = word.decode("utf-8", "surrogateescape").translate(_MARK_SPACES)
        for part in filter(None, re.split("[\ud800-\udfff]+", marked)):
            words[part] += count
    return words


def _checked_piece(piece: str) -> str:
    if (
        not isinstance(piece, str)
        or not piece
        or " " in piece
        or any("\ud800" <= c <= "\udfff" for c in piece)
    ):
        raise ValueError(
            f"scores has the piece {piece!r}; a non-empty str with spaces written {SPACE!r} is needed"
        )
    return piece


def _checked_score(piece: str, score: float) -> float:
    if isinstance(score, bool) or not isinstance(score, Real) or not math.isfinite(score):
        raise ValueError(f"scores[{piece!r}] is {score!r}; a finite log-probability is needed")
    return float(score)
