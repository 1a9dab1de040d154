"""Chapter 1: Chinese word segmentation, compared with jieba and with the boundaries of BPE tokens."""

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from importlib.resources import files
from itertools import accumulate, pairwise
from typing import Any, Protocol

import pandas as pd
from scipy.special import betaincinv

from course_lib.data.story_words import OpenClass, parse_words
from course_lib.tokenizer.segment import (
    bidirectional,
    compare,
    jieba_dictionary,
    jieba_hmm,
    max_match,
    max_match_backward,
    max_probability,
    spans,
    word_graph,
)

SENTENCES: dict[str, str] = {
    "研究生命起源": "研究|生命|起源",
    "南京市长江大桥": "南京市|长江大桥",
    "他说的确实在理": "他|说|的|确实|在理",
    "乒乓球拍卖完了": "乒乓球拍|卖完|了",
    "结婚的和尚未结婚的": "结婚|的|和|尚未|结婚|的",
    "他将来上海工作": "他|将|来|上海|工作",
    "这个门把手坏了": "这个|门把手|坏|了",
    "请把手拿开": "请|把|手|拿开",
    "白天鹅在湖里游泳": "白天鹅|在|湖里|游泳",
    "这样的人才能做好事": "这样|的|人|才|能|做好事",
    "北京大学生前来应聘": "北京|大学生|前来|应聘",
    "他从马上摔了下来": "他|从|马|上|摔|了|下来",
}
"""Ambiguous sentences, and the segmentation that most people choose, in the course's own judgement.

Where a cut does not change the meaning (门|把手, 做好|事), the dictionary's longest word is kept.
"""

METHODS: dict[str, Callable[[str], list[str]]] = {
    "forward matching": lambda text: max_match(text, jieba_dictionary()),
    "backward matching": lambda text: max_match_backward(text, jieba_dictionary()),
    "bidirectional": lambda text: bidirectional(text, jieba_dictionary()),
    "maximum probability": lambda text: max_probability(text, jieba_dictionary()),
    "the same with HMM": lambda text: max_probability(text, jieba_dictionary(), hmm=jieba_hmm()),
}
"""The methods of :mod:`course_lib.tokenizer.segment` by name, all with jieba's dictionary."""

CARRIERS = ("昨天{}来过这里。", "我认识{}很多年了。", "{}说这件事很重要。", "这是{}的书。")
"""Sentences that a name fits into, for :func:`found_names`."""

_HAN = re.compile("[\u4e00-\u9fd5]+")


class Encoder(Protocol):
    """The methods of a tokenizer that are needed to compare boundaries."""

    def encode_ordinary(self, text: str) -> list[int]: ...  # noqa: D102

    def decode_bytes(self, ids: list[int]) -> bytes: ...  # noqa: D102


@cache
def load_jieba() -> Any:
    """The jieba package's segmenter, as a reference: ``load_jieba().lcut(text, HMM=True)`` gives the words.

    Avoids two habits of jieba: warnings about its sources in newer Pythons, and a cached dictionary in the folder for
    temporary files, where any program may write. Raises ImportError where the package is missing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba  # type: ignore[import-untyped]

        segmenter = jieba.Tokenizer()
        segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter


def cuts(sentences: Iterable[str] = SENTENCES) -> pd.DataFrame:
    """Each sentence as cut by each method, by jieba itself, and as intended.

    Columns ``sentence``, ``method`` (``"jieba"`` and ``"intended"`` among them; the latter for ``SENTENCES`` only) and
    ``words``, the words with bars between them.
    """
    methods = {**METHODS, "jieba": load_jieba().lcut}
    rows = [(text, name, "|".join(cut(text))) for text in sentences for name, cut in methods.items()]
    rows += [(text, "intended", SENTENCES[text]) for text in sentences if text in SENTENCES]
    return pd.DataFrame(rows, columns=["sentence", "method", "words"])


def as_intended() -> pd.DataFrame:
    """How many of ``SENTENCES`` each method cuts as intended, and what so few sentences can show.

    Columns ``method``; ``right``; ``low`` and ``high``, the 95 % interval of Clopper and Pearson for the share of such
    sentences; ``behind``, how many it cuts wrongly that the best method cuts as intended, and ``ahead``, the other way
    round; ``chance``, the probability of a difference at least as large if each of these had come out either way with
    equal chance (the exact sign test, two-sided).
    """
    found = cuts().pivot(index="sentence", columns="method", values="words")
    right = found[list(METHODS)].eq(found["intended"], axis=0)
    best = right[right.sum().idxmax()]
    rows = []
    for name in METHODS:
        number, total = int(right[name].sum()), len(right)
        behind, ahead = int((best & ~right[name]).sum()), int((right[name] & ~best).sum())
        tail = sum(math.comb(behind + ahead, k) for k in range(min(behind, ahead) + 1)) / 2 ** (
            behind + ahead
        )
        low = float(betaincinv(number, total - number + 1, 0.025)) if number else 0.0
        high = float(betaincinv(number + 1, total - number, 0.975)) if number < total else 1.0
        rows.append((name, number, low, high, behind, ahead, min(1.0, 2 * tail)))
    return pd.DataFrame(rows, columns=["method", "right", "low", "high", "behind", "ahead", "chance"])


def scores(texts: Mapping[str, str]) -> pd.DataFrame:
    """Precision, recall and F1 of each method against jieba's output, by text.

    ``texts``: name → text. The reference is the output of the jieba package, which is not a gold standard: a
    method may differ from it and be right. Columns ``text``, ``method``, ``words``, ``precision``, ``recall``, ``f1``.
    """
    rows = []
    for title, text in texts.items():
        reference = load_jieba().lcut(text)
        for name, cut in METHODS.items():
            result = compare(words := cut(text), reference)
            rows.append((title, name, len(words), result.precision, result.recall, result.f1))
    return pd.DataFrame(rows, columns=["text", "method", "words", "precision", "recall", "f1"])


def path_table(text: str) -> pd.DataFrame:
    """The steps of ``max_probability``'s dynamic programme on ``text`` with jieba's dictionary, in order.

    One row per position, from the last to the first. Columns ``position``; ``words``, which begin there, with their
    counts; ``best word``, the one on the best path; ``log-probability``, of that path from there to the end.
    """
    dictionary = jieba_dictionary()
    best = [0.0] * (len(text) + 1)
    rows = []
    for start, ends in reversed([*enumerate(word_graph(text, dictionary))]):
        words = [text[start:end] for end in ends]
        logs = [math.log(dictionary.get(word, 1) / dictionary.total) for word in words]
        best[start], chosen = max(
            (log + best[start + len(word)], word) for log, word in zip(logs, words, strict=True)
        )
        listed = "  ".join(f"{word} {dictionary.get(word, 0):,}" for word in words)
        rows.append((start, listed, chosen, best[start]))
    return pd.DataFrame(rows, columns=["position", "words", "best word", "log-probability"])


def unknown_words(text: str) -> pd.DataFrame:
    """Words of two or more characters that the HMM forms in ``text`` and that are not in the dictionary.

    Columns ``word``, ``count`` and ``dictionary alone``, how the word is cut without the HMM; the most frequent first.
    """
    dictionary = jieba_dictionary()
    words = max_probability(text, dictionary, hmm=jieba_hmm())
    counts = Counter(
        word for word in words if len(word) > 1 and word not in dictionary and _HAN.fullmatch(word)
    )
    rows = [
        (word, count, "|".join(max_probability(word, dictionary))) for word, count in counts.most_common()
    ]
    return pd.DataFrame(rows, columns=["word", "count", "dictionary alone"])


def found_names(ranks: Iterable[int] = range(0, 12_000, 60)) -> pd.DataFrame:
    """Whether names that are not in the dictionary are found as one word in each of ``CARRIERS``.

    The names come from the story generator's lexicon, which builds them like Chinese names: the given ranks of the
    classes boy and girl. Columns ``name``, ``characters``, ``sentence``, ``dictionary alone`` and
    ``with HMM`` (True where the name is a word of the result), ``false words``: how many other words the HMM made that
    the dictionary does not hold.
    """
    dictionary, hmm = jieba_dictionary(), jieba_hmm()
    lexicon = parse_words(
        files("course_lib.data").joinpath("story_text/zh_words.txt").read_text(encoding="utf-8")
    )
    classes = [lexicon[title] for title in ("boy", "girl")]
    names = dict.fromkeys(
        kind.word(rank) for kind in classes if isinstance(kind, OpenClass) for rank in ranks
    )
    rows = []
    for name in names:
        if name in dictionary:
            continue
        for carrier in CARRIERS:
            text = carrier.format(name)
            alone, together = max_probability(text, dictionary), max_probability(text, dictionary, hmm=hmm)
            false = [word for word in together if len(word) > 1 and word not in dictionary and word != name]
            rows.append((name, len(name), carrier, name in alone, name in together, len(false)))
    return pd.DataFrame(
        rows, columns=["name", "characters", "sentence", "dictionary alone", "with HMM", "false words"]
    )


def boundary_agreement(text: str, tokenizers: Mapping[str, Encoder]) -> pd.DataFrame:
    """:func:`cut_agreement` of tokenizers, by name."""
    return cut_agreement(text, {name: partial(pieces, tokenizer=made) for name, made in tokenizers.items()})


def cut_agreement(text: str, cuts: Mapping[str, Callable[[str], Iterable[bytes]]]) -> pd.DataFrame:
    """Agreement between token boundaries and word boundaries within the Chinese of ``text``.

    Only places between two Chinese characters count, since every method cuts at punctuation. The words are those of
    ``max_probability`` with the HMM. Columns:

    - ``cuts``: the share of the places where a token ends; a token that ends inside a character does not count.
    - ``precision``: the share of the token boundaries that are word boundaries.
    - ``recall``: the share of the word boundaries that are token boundaries; 1 means that no token crosses one.
    - ``whole words``: the share of the words of two or more characters that are exactly one token.

    The same number of random cuts would have, on average, the precision of the row ``every character`` and a recall
    equal to its ``cuts``.

    Args:
        text: Chinese text.
        cuts: By name, a function that cuts a text into pieces: bytes that together are the text.

    Raises:
        ValueError: The text holds too little Chinese.
    """
    words = spans(max_probability(text, jieba_dictionary(), hmm=jieba_hmm()))
    places = {place for place, pair in enumerate(pairwise(text), 1) if _HAN.fullmatch("".join(pair))}
    expected = {start for start, _ in words} & places
    long_words = {(start, end) for start, end in words if end - start > 1 and _HAN.fullmatch(text[start:end])}
    if not expected or not long_words:
        raise ValueError(f"text={text[:20]!r} holds too little Chinese to compare boundaries in")
    made = {name: _piece_spans(text, cut(text)) for name, cut in cuts.items()}
    rows = []
    for name, tokens in {**made, "every character": spans(text)}.items():
        found = {end for _, end in tokens} & places
        common = len(found & expected)
        rows.append(
            (
                name,
                len(found) / len(places),
                common / len(found),
                common / len(expected),
                len(tokens & long_words) / len(long_words),
            )
        )
    return pd.DataFrame(rows, columns=["cuts made by", "cuts", "precision", "recall", "whole words"])


def pieces(text: str, tokenizer: Encoder) -> list[bytes]:
    """The bytes of each token of ``text``."""
    return [tokenizer.decode_bytes([token]) for token in tokenizer.encode_ordinary(text)]


def token_text(text: str, tokenizer: Encoder) -> str:
    r"""The tokens of ``text`` separated by bars; incomplete characters are written as ``\xe8``."""
    return "|".join(piece.decode(errors="backslashreplace") for piece in pieces(text, tokenizer))


def _piece_spans(text: str, parts: Iterable[bytes]) -> set[tuple[int, int]]:
    """The places (start, end) of the pieces of ``text``, in characters; -1 for an end inside a character."""
    starts = accumulate((len(character.encode()) for character in text), initial=0)
    place = {byte: character for character, byte in enumerate(starts)}
    ends = [place.get(byte, -1) for byte in accumulate(map(len, parts), initial=0)]
    return set(pairwise(ends))
