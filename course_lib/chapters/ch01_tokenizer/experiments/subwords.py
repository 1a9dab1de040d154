"""Chapter 1: BPE, Unigram and WordPiece compared with equally many learned pieces on the same real texts."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
import regex

from course_lib.chapters.ch01_tokenizer.experiments.real_text import disjoint, sample
from course_lib.chapters.ch01_tokenizer.experiments.segmentation import cut_agreement
from course_lib.data.stories import Language
from course_lib.lab.evidence import Difference, paired
from course_lib.lab.reference_runs import Experiment, product
from course_lib.tokenizer import Tokenizer, pretokenize, reference, train_bpe
from course_lib.tokenizer.unigram import SPACE, UnigramTokenizer
from course_lib.tokenizer.wordpiece import CONTINUES, UNKNOWN, Score, WordPieceTokenizer


class TokenizerLike(Protocol):
    """The methods that all tokenizers compared here have."""

    @property
    def vocab(self) -> Mapping[int, Any]: ...  # noqa: D102
    @property
    def vocab_size(self) -> int: ...  # noqa: D102
    def encode(self, text: str) -> list[int]: ...  # noqa: D102
    def decode_bytes(self, ids: list[int]) -> bytes: ...  # noqa: D102


PATTERN: Final = "gpt2"
"""All algorithms get the same words, so that they differ only in how they cut them."""

ALGORITHMS = (
    "BPE",
    "BPE, same entries",
    "BPE over characters",
    "Unigram",
    "WordPiece, ratio",
    "WordPiece, gain",
)
"""BPE is given 256 bytes; Unigram and "BPE over characters" these and the text's characters; WordPiece the characters,
as they begin a word and as they continue one. "BPE, same entries" learns as many pieces more as Unigram is given
characters, so that the two vocabularies are of the same size.
"""

CHARACTERS_GIVEN = ALGORITHMS[2:]
"""The algorithms for which a single character does not count as learned."""

LEARNED = 1_500
"""Pieces that every algorithm learns where nothing else is said."""

RARE = (3, 10, 30)
"""A piece is rare if the tokenized training text contains it less often than this: three choices, since any is one."""

HELD_OUT_BYTES = 40_000

_WORD = regex.compile(r"\p{Ll}{5,}")
_SUFFIXES = frozenset(["s", "es", "ed", "er", "ers", "ing", "ly", "est", "y", "ful", "less", "ness"])
_SHORTEST_STEM = 3


def train(language: Language = "en", *, num_bytes: int = 200_000, seed: int = 0) -> dict[str, TokenizerLike]:
    """Every algorithm's tokenizer with ``LEARNED`` learned pieces, from ``num_bytes`` of real text."""
    texts = sample(language, num_bytes=num_bytes, seed=seed)
    return {name: train_one(name, texts, LEARNED) for name in ALGORITHMS}


def train_one(algorithm: str, texts: Sequence[str], learned: int) -> TokenizerLike:
    """The tokenizer that one of ``ALGORITHMS`` trains: ``learned`` pieces beyond those that it is given."""
    entries = 256 + len(_characters(texts)) + learned
    match algorithm:
        case "BPE":
            return _bpe(texts, 256 + learned)
        case "BPE, same entries":
            return _bpe(texts, entries)
        case "BPE over characters":
            return character_bpe(texts, learned)
        case "Unigram":
            return UnigramTokenizer.train(texts, entries, pattern=PATTERN)
        case "WordPiece, ratio":
            return _wordpiece(texts, learned, "ratio")
        case "WordPiece, gain":
            return _wordpiece(texts, learned, "gain")
    raise ValueError(f"algorithm={algorithm!r} is not one of {', '.join(ALGORITHMS)}")


def character_bpe(texts: Sequence[str], learned: int) -> Tokenizer:
    """BPE that merges characters instead of bytes: a byte-level BPE whose first merges make every character.

    Then it learns ``learned`` merges. The entries are the bytes, the characters, the first bytes of characters, which
    no text needs, and the learned pieces.
    """
    index = reference.WordIndex(reference.count_words(texts, pattern=PATTERN))
    merges: dict[reference.Pair, None] = {}
    for character in sorted(_characters(texts)):
        data = character.encode()
        for end in range(2, len(data) + 1):
            pair = (data[: end - 1], data[end - 1 : end])
            if pair not in merges:
                merges[pair] = None
                index.merge(pair)
    every = [*merges, *reference.merge_best(index, learned)]
    tokens = [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in every)]
    return Tokenizer(dict(enumerate(tokens)), every, pattern=PATTERN)


# --- the comparison ---------------------------------------------------------------------------------------------------


def comparison_run(
    *, seed: int, language: Language, algorithm: str, num_bytes: int, learned: int
) -> dict[str, float]:
    """Train an algorithm on the ``seed``-th of the disjoint parts of a text and measure it on a held-out part.

    Returns:
        - ``entries``: of the vocabulary; ``pieces``: those that were learned.
        - ``bytes/token``: UTF-8 bytes over tokens of the held-out text. Tokens that are white space alone are not
          counted, since WordPiece has none; the bytes are counted for all.
        - ``unused``: of the learned pieces (longer than a byte or, where characters are given, than a character), the
          share that never occurs in the tokenized training text; ``below N`` for N in ``RARE``: the share that occurs
          there less than N times.
        - ``efficiency``: the entropy of the held-out tokens' distribution over log V (Zouhar et al. 2023, with
          Shannon's entropy): 1 if all tokens were equally frequent.
        - ``unknown``: the share of tokens that are ``[UNK]``.
        - ``precision``, ``recall``: of token boundaries against word boundaries in Chinese
          (:func:`segmentation.cut_agreement`), against joints within words in English (:func:`joint_agreement`);
          ``chance``: the precision of cuts at random places.
    """
    texts = disjoint(language, number=seed, num_bytes=num_bytes)
    held_out = disjoint(language, "held_out", number=seed, num_bytes=HELD_OUT_BYTES)
    tokenizer = train_one(algorithm, texts, learned)
    if language == "en":
        boundaries = joint_agreement(texts, held_out, {algorithm: tokenizer})
    else:
        cuts = {algorithm: partial(pieces, tokenizer)}
        boundaries = cut_agreement("\n".join(held_out), cuts).set_index("cuts made by")
    return {
        **_measure(tokenizer, texts, held_out, characters_given=algorithm in CHARACTERS_GIVEN),
        "precision": float(boundaries["precision"][algorithm]),
        "recall": float(boundaries["recall"][algorithm]),
        "chance": float(boundaries["precision"]["every character"]),
    }


COMPARISON = Experiment(
    chapter=1,
    name="subwords",
    question="Which subword algorithm compresses best, wastes least and respects words, with equally many pieces?",
    run=comparison_run,
    grid=[
        *product(language=["en", "zh"], algorithm=[*ALGORITHMS], num_bytes=[200_000], learned=[LEARNED]),
        *product(language=["en", "zh"], algorithm=[*ALGORITHMS], num_bytes=[100_000], learned=[LEARNED // 2]),
    ],
    seeds=(0, 1, 2, 3),
    scientific=["language", "algorithm", "num_bytes", "learned"],
    folder=Path(__file__).parents[1] / "reference",
    seconds=2,
)
"""The algorithms are deterministic: what the seeds choose is the part of the text."""


def leads(
    points: pd.DataFrame, first: str, second: str, measure: str = "bytes/token"
) -> dict[tuple[str, int], Difference]:
    """By what share an algorithm is ahead of another on the same parts of a text, by language and size of the parts.

    ``points``: of ``COMPARISON``. Differences are relative for ``bytes/token`` and of shares for other measures.
    """
    found = {}
    for _, rows in points.groupby(["language", "num_bytes"], sort=False):
        one, other = (rows[rows["algorithm"] == name].set_index("seed")[measure] for name in (first, second))
        scale = other if measure == "bytes/token" else 1.0
        place = str(rows["language"].iloc[0]), int(rows["num_bytes"].iloc[0])
        found[place] = paired(one / scale, other / scale)
    return found


def first_merges(
    language: Language = "en", *, num: int = 8, num_bytes: int = 200_000, seed: int = 0
) -> pd.DataFrame:
    """The first ``num`` pieces that each merging algorithm makes, with their counts in the text before any other merge.

    Columns ``algorithm``, ``merge`` (1 is the first), ``piece``, a space written ``▁``, and ``occurrences``.
    """
    texts = sample(language, num_bytes=num_bytes, seed=seed)
    words = Counter(word for text in texts for word in pretokenize(text, PATTERN))
    rows = []
    for name in ("BPE", "WordPiece, ratio", "WordPiece, gain"):
        entries = train_one(name, texts, num).vocab.values()
        given = name in CHARACTERS_GIVEN
        learned = [piece for piece in entries if _is_learned(piece, characters_given=given)][:num]
        for merge, piece in enumerate(learned, 1):
            shown = piece.decode(errors="replace").replace(" ", SPACE) if isinstance(piece, bytes) else piece
            rows.append((name, merge, shown, _occurrences(piece, words)))
    return pd.DataFrame(rows, columns=["algorithm", "merge", "piece", "occurrences"])


def gain_and_likelihood(
    language: Language = "en", *, num_bytes: int = 200_000, seed: int = 0
) -> pd.DataFrame:
    """WordPiece's gain of each pair of characters, and what its merge really adds to the log-likelihood.

    The model draws pieces independently, with their relative frequencies before and after the merge. Only pairs with a
    positive gain that occur twice. Columns ``left``, ``right``, ``occurrences``, ``gain`` (by the formula) and
    ``exact``, both in nats; the largest gain first.
    """
    words = Counter(
        stripped
        for text in sample(language, num_bytes=num_bytes, seed=seed)
        for word in pretokenize(text, PATTERN)
        if (stripped := word.strip())
    )
    cuts = {word: (word[0], *(CONTINUES + letter for letter in word[1:])) for word in words}
    counts, pairs = Counter[str](), Counter[tuple[str, str]]()
    words_with: dict[tuple[str, str], set[str]] = {}
    for word, cut in cuts.items():
        for piece in cut:
            counts[piece] += words[word]
        for pair in pairwise(cut):
            pairs[pair] += words[word]
            words_with.setdefault(pair, set()).add(word)
    total = counts.total()
    rows = []
    for (left, right), together in pairs.items():
        gain = together * math.log(total * together / (counts[left] * counts[right]))
        if together > 1 and gain > 0:
            merges = sum(words[word] * _merges(cuts[word], (left, right)) for word in words_with[left, right])
            changed = Counter({left: merges}) + Counter({right: merges})
            exact = _n_log_n(merges) - _n_log_n(total - merges) + _n_log_n(total)
            exact += sum(
                _n_log_n(counts[one] - lost) - _n_log_n(counts[one]) for one, lost in changed.items()
            )
            rows.append((left, right, together, gain, exact))
    frame = pd.DataFrame(rows, columns=["left", "right", "occurrences", "gain", "exact"])
    return frame.sort_values("gain", ascending=False, ignore_index=True)


def _merges(cut: Sequence[str], pair: tuple[str, str]) -> int:
    """How often a pair can be merged in a word, from left to right."""
    found, place = 0, 0
    while place < len(cut) - 1:
        fits = (cut[place], cut[place + 1]) == pair
        found, place = found + fits, place + 1 + fits
    return found


def _n_log_n(count: int) -> float:
    return count * math.log(count) if count else 0.0


def sampled(
    tokenizer: UnigramTokenizer,
    text: str,
    alphas: Iterable[float] = (1.0, 0.2),
    *,
    draws: int = 4000,
    seed: int = 0,
) -> pd.DataFrame:
    """Segmentations of ``text`` with their exact probability under P ** alpha, and their share of ``draws`` samples.

    Columns ``alpha``, ``segmentation``, ``probability``, ``share``; the most probable first. The probabilities come
    from listing every segmentation: ValueError for a text that has more than 100,000.
    """
    limit = 100_000
    paths = tokenizer.nbest(text, limit)
    if len(paths) == limit:
        raise ValueError(f"text={text!r} has {limit:,} segmentations or more; take a shorter one")
    scores = np.array([score for _, score in paths])
    rows = []
    for alpha in alphas:
        random = np.random.default_rng(seed)
        drawn = Counter(tuple(tokenizer.sample(text, alpha, random)) for _ in range(draws))
        weights = np.exp(alpha * (scores - scores[0]))
        for (ids, _), probability in zip(paths, weights / weights.sum(), strict=True):
            cut = "|".join(tokenizer.vocab[token_id] for token_id in ids)
            rows.append((alpha, cut, float(probability), drawn[tuple(ids)] / draws))
    return pd.DataFrame(rows, columns=["alpha", "segmentation", "probability", "share"])


def joint_agreement(
    texts: Sequence[str], held_out: Sequence[str], tokenizers: Mapping[str, TokenizerLike]
) -> pd.DataFrame:
    """Agreement between the cuts within English words and the joints of their parts: moon|gather|er, fox|es.

    A joint is a place in a word of ``held_out`` with a word of ``texts`` (at least three letters) before it and
    another, or a suffix such as -s, -ed, -er, -ing, after it. Each distinct word with a joint counts once. This is a
    rule of thumb, not a dictionary of morphemes, but the same for all tokenizers. The row ``every character`` has the
    precision of cuts at random places. Index: name; columns ``precision`` and ``recall``.
    """
    lexicon = {word for text in texts for word in regex.findall(r"\p{Ll}{3,}", text)}
    words = sorted({word for text in held_out for word in _WORD.findall(text)})
    joints = {word: places for word in words if (places := _joints(word, lexicon))}
    expected = {(word, place) for word, places in joints.items() for place in places}
    found = {"every character": {(word, place) for word in joints for place in range(1, len(word))}}
    for name, tokenizer in tokenizers.items():
        # With a space before the word, as in most texts; the space is the first character that is cut.
        found[name] = {
            (word, end - 1)
            for word in joints
            for end in accumulate(map(len, pieces(tokenizer, f" {word}")))
            if 1 < end <= len(word)
        }
    rows = {
        name: (len(cuts & expected) / max(len(cuts), 1), len(cuts & expected) / len(expected))
        for name, cuts in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["precision", "recall"])


def pieces(tokenizer: TokenizerLike, text: str) -> list[bytes]:
    """The bytes of ``text`` that each token stands for, white space and unknown words included."""
    if not isinstance(tokenizer, WordPieceTokenizer):
        return [tokenizer.decode_bytes([token_id]) for token_id in tokenizer.encode(text)]
    words = pretokenize(text, PATTERN)
    return [piece.encode() for word in words for piece in _wordpieces(tokenizer, word)]


def _wordpieces(tokenizer: WordPieceTokenizer, pretoken: str) -> list[str]:
    """The parts of a pre-token, where WordPiece itself drops white space and gives ``[UNK]`` for an unknown word."""
    parts = [tokenizer.vocab[token_id] for token_id in tokenizer.encode(pretoken)]
    if not parts or parts == [UNKNOWN]:
        return [pretoken]
    spaces = pretoken[: len(pretoken) - len(pretoken.lstrip())]
    return [spaces + parts[0], *(part.removeprefix(CONTINUES) for part in parts[1:])]


def _bpe(texts: Sequence[str], vocab_size: int) -> TokenizerLike:
    return train_bpe(texts, vocab_size, pattern=PATTERN, num_threads=1)


def _wordpiece(texts: Sequence[str], learned: int, score: Score) -> TokenizerLike:
    words = {word.strip() for text in texts for word in pretokenize(text, PATTERN)} - {""}
    given = 1 + len({word[0] for word in words}) + len({letter for word in words for letter in word[1:]})
    return WordPieceTokenizer.train(texts, given + learned, pattern=PATTERN, score=score)


def _characters(texts: Sequence[str]) -> set[str]:
    return set().union(*texts)


def _measure(
    tokenizer: TokenizerLike, texts: Sequence[str], held_out: Sequence[str], *, characters_given: bool
) -> dict[str, float]:
    training, counts = _count(tokenizer, texts), _count(tokenizer, held_out)
    tokens = counts.total()
    shares = np.array(list(counts.values())) / tokens
    blank = sum(count for token_id, count in counts.items() if not tokenizer.decode_bytes([token_id]).strip())
    uses = np.array(
        [
            training[token_id]
            for token_id, piece in tokenizer.vocab.items()
            if _is_learned(piece, characters_given=characters_given)
        ]
    )
    return {
        "entries": tokenizer.vocab_size,
        "pieces": len(uses),
        "bytes/token": sum(len(text.encode()) for text in held_out) / (tokens - blank),
        "unused": float((uses == 0).mean()),
        **{f"below {limit}": float((uses < limit).mean()) for limit in RARE},
        "efficiency": float(-(shares * np.log(shares)).sum()) / math.log(tokenizer.vocab_size),
        "unknown": counts[0] / tokens if isinstance(tokenizer, WordPieceTokenizer) else 0.0,
    }


def _count(tokenizer: TokenizerLike, texts: Sequence[str]) -> Counter[int]:
    return Counter(token_id for text in texts for token_id in tokenizer.encode(text))


def _is_learned(piece: str | bytes, *, characters_given: bool) -> bool:
    """Whether a vocabulary entry is more than a byte or ``[UNK]`` and, where these are given, than a character."""
    if isinstance(piece, bytes):
        return len(piece.decode(errors="ignore") if characters_given else piece) > 1
    return len(piece.removeprefix(CONTINUES)) > 1 and piece != UNKNOWN and not re.fullmatch("<0x..>", piece)


def _joints(word: str, lexicon: set[str]) -> list[int]:
    return [
        place
        for place in range(_SHORTEST_STEM, len(word))
        if word[:place] in lexicon and (word[place:] in lexicon or word[place:] in _SUFFIXES)
    ]


def _occurrences(piece: str | bytes, words: Mapping[str, int]) -> int:
    """Occurrences of a piece in the words: anywhere for BPE, at the beginning or after it for WordPiece."""
    if isinstance(piece, bytes):
        return sum(count * word.encode().count(piece) for word, count in words.items())
    inner = piece.removeprefix(CONTINUES)
    if inner == piece:
        return sum(count for word, count in words.items() if word.strip().startswith(piece))
    return sum(count * word.strip()[1:].count(inner) for word, count in words.items())
