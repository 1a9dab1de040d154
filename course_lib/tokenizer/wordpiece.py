"""The WordPiece tokenizer (Schuster and Nakajima 2012, section 3; as in BERT: Devlin et al. 2019).

Training merges pairs as BPE does, but chooses them by score(a, b) = freq(ab) / (freq(a) · freq(b)): how much more often
the two stand together than by chance. For a unigram model of the pieces, its logarithm is the gain in log-likelihood
for each place where the pair is merged. Encoding uses no merges: a word is cut from the left, each time with the
longest piece that fits. A piece within a word is written with ``##`` in front, so that "it" and "##it" are two pieces.

Other trainers: Google never published theirs, which made BERT's vocabulary. The one in Hugging Face's ``tokenizers`` is
BPE with ``##``: it takes the most frequent pair, not the one with the best score.
"""

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from itertools import pairwise
from typing import Final, Literal, Self, SupportsIndex, get_args

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import check_choice, check_integer, check_positive
from course_lib.tokenizer.pieces import PieceTokenizer
from course_lib.tokenizer.reference import count_words
from course_lib.tokenizer.source import Source

UNKNOWN: Final = "[UNK]"
CONTINUES: Final = "##"

# Unicode's White_Space; by default, str.strip() also removes the control characters U+001C to U+001F.
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)

Pair = tuple[int, int]
Score = Literal["ratio", "gain"]

WORDS: Final = r"[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]"
"""The default pattern: words and single marks, as in BERT, but without a cut around every ideograph."""


class WordPieceTokenizer(PieceTokenizer):
    """A vocabulary of pieces and greedy longest-match-first encoding.

    ``pieces`` in the order of their ids; ``[UNK]`` must be one of them. A word that cannot be cut into pieces, or has
    more than ``max_word_length`` characters, becomes ``[UNK]``. ``pattern`` cuts a text into words, as in
    :class:`~course_lib.tokenizer.Tokenizer`; white space around words is dropped, so ``decode`` restores a text except
    for its white space, and only if nothing was unknown.

    Raises ValueError for pieces that are empty, repeated or not a str, for a vocabulary without ``[UNK]``, and for a
    ``max_word_length`` below 1.
    """

    def __init__(self, pieces: Iterable[str], *, pattern: str = WORDS, max_word_length: int = 100) -> None:
        check_positive("max_word_length", max_word_length)
        super().__init__(pieces, pattern)
        if UNKNOWN not in self._ids:
            raise ValueError(
                f"pieces lacks {UNKNOWN!r}, which stands for words that cannot be cut into pieces"
            )
        self.max_word_length = max_word_length

    @classmethod
    def train(
        cls,
        source: Source,
        vocab_size: int,
        *,
        pattern: str = WORDS,
        score: Score = "ratio",
        min_frequency: int = 2,
        max_word_length: int = 100,
    ) -> Self:
        """Learn a vocabulary of ``vocab_size`` entries: ``[UNK]``, every character (as word start, as ``##``), merges.

        ``source`` as for :func:`~course_lib.tokenizer.train_bpe`: a path, several, or an iterable of str documents.
        ``score``: "ratio", merge the pair with the largest freq(ab) / (freq(a) · freq(b)), or "gain", the one with the
        largest freq(ab) · log(N · freq(ab) / (freq(a) · freq(b))), N being the number of pieces in the texts: the total
        gain in log-likelihood. Only pairs that occur at least ``min_frequency`` times are candidates; of equal
        scores the more frequent one is taken, then the lexicographically greater. Stops early, with a warning, when no
        candidate with a positive score is left.

        Raises ValueError for a source without words, a ``vocab_size`` too small for its characters, another ``score``,
        and ``min_frequency`` or ``max_word_length`` below 1; TypeError for a source of another kind.
        """
        check_positive("min_frequency", min_frequency)
        check_positive("max_word_length", max_word_length)
        check_choice("score", score, get_args(Score))
        words: Counter[str] = Counter()
        for word, count in count_words(source, pattern=pattern).items():
            text = word.decode("utf-8", "surrogateescape").strip(_WHITE_SPACE)
            # A word with bytes that are not UTF-8, which are surrogates here, can only be unknown.
            if 0 < len(text) <= max_word_length and not re.search("[\ud800-\udfff]", text):
                words[text] += count
        if not words:
            raise ValueError(f"source holds no word of at most {max_word_length} characters to train on")
        check_integer("vocab_size", vocab_size, least=2)
        training = _Training(words, vocab_size - 1)
        while 1 + len(training.pieces) < vocab_size and training.merge_best(score, min_frequency):
            pass
        tokenizer = cls([UNKNOWN, *training.pieces], pattern=pattern, max_word_length=max_word_length)
        if tokenizer.vocab_size < vocab_size:
            warnings.warn(
                f"no pair that occurs {min_frequency} times is left to merge: the vocabulary has "
                f"{tokenizer.vocab_size} entries instead of {vocab_size}",
                stacklevel=2,
            )
        return tokenizer

    def _words(self, text: str) -> list[str]:
        words = (word.strip(_WHITE_SPACE) for word in super()._words(text))
        return [word for word in words if word]

    def _encode_word(self, word: str) -> list[int]:
        pieces = [UNKNOWN] if len(word) > self.max_word_length else longest_match(word, self._ids)
        return [self._ids[piece] for piece in pieces]

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of ``ids``: words with single spaces between them. A ``##`` at the very beginning is kept.

        Raises ValueError for an unknown id.
        """
        pieces = [self._piece(token_id) for token_id in ids]
        rest = (piece[2:] if piece.startswith(CONTINUES) else f" {piece}" for piece in pieces[1:])
        return "".join([*pieces[:1], *rest])

    def decode_bytes(self, ids: Iterable[SupportsIndex]) -> bytes:
        """``decode`` in UTF-8."""
        return self.decode(ids).encode()


def longest_match(word: str, pieces: Container[str]) -> list[str]:
    """Cut ``word`` from the left, each time with the longest of ``pieces`` that fits; ``[UNK]`` if none does.

    >>> longest_match("singing", {"sing", "##ing", "##i"})
    ['sing', '##ing']
    """
    found: list[str] = []
    start = 0
    while start < len(word):
        prefix = CONTINUES if start else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in pieces:
                break
        else:
            return [UNKNOWN]
        found.append(prefix + word[start:end])
        start = end
    return found


class _Training:
    """The words as they are cut so far, and the counts of pieces and pairs, updated with each merge.

    The counts of pairs are in arrays, in the order in which the pairs first came up, so that one line of NumPy scores
    all of them: a merge changes freq(a) and freq(b), and with them the score of every pair that holds a or b.
    """

    def __init__(self, word_counts: Mapping[str, int], max_pieces: int) -> None:
        cuts = [[word[0], *(CONTINUES + letter for letter in word[1:])] for word in word_counts]
        self.pieces = sorted({piece for cut in cuts for piece in cut})
        check_integer("vocab_size", max_pieces + 1, least=len(self.pieces) + 1)
        self.numbers = {piece: number for number, piece in enumerate(self.pieces)}
        self.words = [[self.numbers[piece] for piece in cut] for cut in cuts]
        self.word_counts = list(word_counts.values())
        self.words_with: defaultdict[Pair, set[int]] = defaultdict(set)
        self.slots: dict[Pair, int] = {}
        self.pairs = np.zeros((1024, 2), np.int64)
        self.pair_counts = np.zeros(1024)
        self.piece_counts = np.zeros(max_pieces)
        for index in range(len(self.words)):
            self._count(index, self.word_counts[index])

    def scores(self, score: Score, min_frequency: int) -> NDArray[np.float64]:
        """The score of every pair; −∞ for those that occur fewer than ``min_frequency`` times."""
        counts = self.pair_counts[: len(self.slots)]
        left, right = self.pairs[: len(self.slots)].T
        candidates = counts >= min_frequency
        together = np.where(candidates, counts, 1)
        apart = np.where(candidates, self.piece_counts[left] * self.piece_counts[right], 1)
        scores = together / apart
        if score == "gain":
            scores = together * np.log(scores * self.piece_counts.sum())
        return np.where(candidates, scores, -np.inf)

    def merge_best(self, score: Score, min_frequency: int) -> bool:
        """Merge the pair with the best score wherever it stands; False if no score is positive."""
        scores = self.scores(score, min_frequency)
        if not (scores > 0).any():
            return False
        equals = np.flatnonzero(scores == scores.max()).tolist()
        best = max(equals, key=lambda slot: (self.pair_counts[slot], self._text(slot)))
        left, right = self.pairs[best].tolist()
        merged = self._number(self.pieces[left] + self.pieces[right].removeprefix(CONTINUES))
        for index in self.words_with.pop((left, right)):
            self._count(index, -self.word_counts[index])
            self.words[index] = _merge(self.words[index], (left, right), merged)
            self._count(index, self.word_counts[index])
        return True

    def _count(self, index: int, amount: int) -> None:
        """Add ``amount`` to the counts of the pieces and pairs of a word as it is cut now."""
        word = self.words[index]
        for number in word:
            self.piece_counts[number] += amount
        for pair in pairwise(word):
            slot = self.slots.setdefault(pair, len(self.slots))
            if slot == len(self.pairs):  # the arrays are full: double them
                self.pairs = np.concatenate([self.pairs, np.zeros_like(self.pairs)])
                self.pair_counts = np.concatenate([self.pair_counts, np.zeros_like(self.pair_counts)])
            self.pairs[slot] = pair
            self.pair_counts[slot] += amount
            self.words_with[pair].add(index)

    def _number(self, piece: str) -> int:
        """The number of ``piece``, which two different pairs may produce."""
        if piece not in self.numbers:
            self.numbers[piece] = len(self.pieces)
            self.pieces.append(piece)
        return self.numbers[piece]

    def _text(self, slot: int) -> tuple[str, str]:
        left, right = self.pairs[slot]
        return self.pieces[left], self.pieces[right]


def _merge(word: list[int], pair: Pair, merged: int) -> list[int]:
    """Replace each occurrence of ``pair`` in ``word`` by ``merged``, from left to right."""
    result: list[int] = []
    for number in word:
        if result and (result[-1], number) == pair:
            result[-1] = merged
        else:
            result.append(number)
    return result
