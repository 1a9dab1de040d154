"""Chapter 1: word segmentation of Chinese, against jieba and against the boundaries of BPE tokens."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
import pandas as pd

from course_lib.tokenizer.segment import (
    bidirectional,
    compare,
    jieba_dictionary,
    jieba_hmm,
    max_match,
    max_match_backward,
    max_probability,
)

SENTENCES: dict[str, str] = {
    "研究生命起源": "研究|生命|起源",
    "南京市长江大桥": "南京市|长江大桥",
    "他说的确实在理": "他|说|的|确实|在理",
    "乒乓球拍卖完了": "乒乓球拍|卖完|了",
    "结婚的和尚未结婚的": "结婚|的|和|尚未|结婚|的",
    "他将来上海工作": "他|将|来|上海|工作",
    "这个门把手坏了": "这个|门|把手|坏|了",
    "请把手拿开": "请|把|手|拿开",
    "白天鹅在湖里游泳": "白天鹅|在|湖里|游泳",
    "这样的人才能做好事": "这样|的|人|才|能|做好|事",
    "北京大学生前来应聘": "北京|大学生|前来|应聘",
    "他从马上摔了下来": "他|从|马|上|摔|了|下来",
}
"""Sentences with more than one way to cut them, and the reading most people choose: the course's own judgement.

Cuts that do not change the meaning (乒乓|球拍, 卖|完) are a matter of taste; scores against these readings count them.
"""

METHODS: dict[str, Callable[[str], list[str]]] = {
    "forward matching": lambda text: max_match(text, jieba_dictionary()),
    "backward matching": lambda text: max_match_backward(text, jieba_dictionary()),
    "bidirectional": lambda text: bidirectional(text, jieba_dictionary()),
    "maximum probability": lambda text: max_probability(text, jieba_dictionary()),
    "the same with HMM": lambda text: max_probability(text, jieba_dictionary(), hmm=jieba_hmm()),
}
"""The methods of :mod:`course_lib.tokenizer.segment` by name, all with jieba's dictionary."""

_HAN = re.compile("[\u4e00-\u9fd5]")


class Encoder(Protocol):
    """What the agreement of boundaries needs of a tokenizer."""

    def encode_ordinary(self, text: str) -> list[int]: ...  # noqa: D102

    def decode_bytes(self, ids: list[int]) -> bytes: ...  # noqa: D102


@cache
def load_jieba() -> Any:
    """A segmenter of the jieba package, the reference: ``load_jieba().lcut(text, HMM=True)`` gives the words.

    jieba's sources draw warnings from newer Pythons, and it keeps its dictionary in a file in the folder for temporary
    files that any program may write to: neither happens here. Raises ImportError where the package is missing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba  # type: ignore[import-untyped]

        segmenter = jieba.Tokenizer()
        segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter


def cuts(sentences: Iterable[str] = SENTENCES) -> pd.DataFrame:
    """How each method cuts each sentence, beside jieba itself and the reading intended.

    Columns ``sentence``, ``method`` (``"jieba"`` and ``"intended"`` among them; the latter for ``SENTENCES`` only) and
    ``words``, the words with bars between them.
    """
    methods = {**METHODS, "jieba": load_jieba().lcut}
    rows = [(text, name, "|".join(cut(text))) for text in sentences for name, cut in methods.items()]
    rows += [(text, "intended", SENTENCES[text]) for text in sentences if text in SENTENCES]
    return pd.DataFrame(rows, columns=["sentence", "method", "words"])


def scores(texts: Mapping[str, str]) -> pd.DataFrame:
    """Precision, recall and F1 of each method against jieba's output, by text.

    ``texts``: name → text. The reference is what the jieba package makes of the text, which is no gold standard: a
    method may differ from it and be right. Columns ``text``, ``method``, ``words``, ``precision``, ``recall``, ``f1``.
    """
    rows = []
    for title, text in texts.items():
        reference = load_jieba().lcut(text)
        for name, cut in METHODS.items():
            result = compare(words := cut(text), reference)
            rows.append((title, name, len(words), result.precision, result.recall, result.f1))
    return pd.DataFrame(rows, columns=["text", "method", "words", "precision", "recall", "f1"])


def unknown_words(text: str) -> pd.DataFrame:
    """The words of two and more characters that the HMM forms in ``text`` and the dictionary does not hold.

    Columns ``word``, ``count``, ``without HMM`` (how the dictionary alone cuts the word at its first place), the most
    frequent first.
    """
    dictionary = jieba_dictionary()
    words = max_probability(text, dictionary, hmm=jieba_hmm())
    counts = Counter(word for word in words if len(word) > 1 and word not in dictionary and _HAN.match(word))
    rows = [
        (word, count, "|".join(max_probability(word, dictionary))) for word, count in counts.most_common()
    ]
    return pd.DataFrame(rows, columns=["word", "count", "without HMM"])


def boundary_agreement(text: str, tokenizers: Mapping[str, Encoder], *, seed: int = 0) -> pd.DataFrame:
    """How far the boundaries of tokens are those of words, within the Chinese of ``text``.

    Only places between two Chinese characters count (every method cuts at punctuation, which would flatter all), and
    words are those of ``max_probability`` with the HMM. Columns:

    - ``cuts``: boundaries per place, for words and tokens alike; tokens that end inside a character are not counted.
    - ``precision``: the share of the token boundaries that are word boundaries.
    - ``recall``: the share of the word boundaries that are token boundaries: 1 means that no token crosses one.
    - ``whole words``: the share of the words, of two and more characters, that are exactly one token.

    Rows ``random``: as many cuts as the first tokenizer makes, at random places: what agreement by chance looks like.
    """
    places = np.array(
        [place for place, pair in enumerate(pairwise(text), 1) if all(map(_HAN.match, pair))], dtype=int
    )
    words = max_probability(text, jieba_dictionary(), hmm=jieba_hmm())
    word_cuts = set(accumulate(map(len, words)))
    long_words = [
        (end - len(word), end)
        for word, end in zip(words, accumulate(map(len, words)), strict=True)
        if len(word) > 1 and all(map(_HAN.match, word))
    ]
    cut_sets = {name: _token_cuts(text, tokenizer) for name, tokenizer in tokenizers.items()}
    first = next(iter(cut_sets.values()), set())
    outside = set(range(len(text) + 1)) - set(places.tolist())
    number = len(first & set(places.tolist()))
    chosen = np.random.default_rng(seed).choice(places, size=number, replace=False)
    cut_sets |= {"random": outside | set(chosen.tolist()), "every character": set(range(len(text) + 1))}
    rows = []
    inside = set(places.tolist())
    expected = word_cuts & inside
    for name, cut_set in cut_sets.items():
        found = cut_set & inside
        common = len(found & expected)
        whole = sum(
            start in cut_set
            and end in cut_set
            and not any(place in cut_set for place in range(start + 1, end))
            for start, end in long_words
        )
        rows.append(
            (
                name,
                len(found) / len(inside),
                common / len(found),
                common / len(expected),
                whole / len(long_words),
            )
        )
    return pd.DataFrame(rows, columns=["cuts made by", "cuts", "precision", "recall", "whole words"])


def _token_cuts(text: str, tokenizer: Encoder) -> set[int]:
    """The places in ``text``, in characters, where a token ends."""
    lengths = (len(tokenizer.decode_bytes([token])) for token in tokenizer.encode_ordinary(text))
    ends = {0, *accumulate(lengths)}
    starts = accumulate((len(character.encode()) for character in text), initial=0)
    return {place for place, byte in enumerate(starts) if byte in ends}
