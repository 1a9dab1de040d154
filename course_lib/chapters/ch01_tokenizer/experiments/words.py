"""Chapter 1: why a vocabulary of whole words does not work: word counts, vocabulary growth, unknown words."""

import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from course_lib.chapters.ch01_tokenizer.experiments.real_text import sample
from course_lib.chapters.ch01_tokenizer.experiments.segmentation import Encoder, token_text
from course_lib.files import package_folders
from course_lib.tokenizer.segment import jieba_dictionary, jieba_hmm, max_probability

DOCUMENTED = ("numpy", "pandas", "matplotlib")
"""Packages whose documentation is part of the English text, besides the standard library's."""

_DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)
_EXAMPLE = re.compile(r"^\s*(>>>|\.\.\. ).*$", re.MULTILINE)
# Letters only: names of functions, attributes, options and files are not English words.
_ENGLISH = re.compile(r"(?<![\w.@/\\<=-])[a-z]+(?:'[a-z]+)?(?![\w(=/\\>-]|\.\w)")
_CHINESE = re.compile("[\u4e00-\u9fd5]+")


@cache
def english_documents(*, split_at_spaces: bool = False) -> tuple[tuple[str, ...], ...]:
    """Real English without a download: docstrings of the standard library and of ``DOCUMENTED``, as lower-case words.

    Technical prose by hundreds of authors, about a million words, depending on the installed versions. Examples, tests,
    repeated docstrings and single names are left out. Names of functions, attributes, options and files do not count,
    unless the text is ``split_at_spaces``: then everything between two spaces is one.
    """
    standard = Path(sysconfig.get_paths()["stdlib"])
    texts: dict[str, None] = {}
    for folder in (standard, *(path for package in DOCUMENTED for path in package_folders(package))):
        for source in sorted(folder.rglob("*.py")):
            if not {"site-packages", "dist-packages", "test", "tests", "idle_test"} & {
                *source.relative_to(folder).parts
            }:
                texts |= dict.fromkeys(
                    _DOCSTRING.findall(source.read_text(encoding="utf-8", errors="replace"))
                )
    find = str.split if split_at_spaces else _ENGLISH.findall
    documents = (tuple(find(_EXAMPLE.sub("", text).lower())) for text in texts)
    return tuple(words for words in documents if len(words) > 1)


@cache
def chinese_documents(num_bytes: int = 600_000, seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """Real Chinese: poems and plays of the classics, cut into words by ``max_probability`` with the HMM.

    The dictionary is one of modern Chinese, so many of these words are found by the HMM or are single characters. Only
    words of Chinese characters are kept.
    """
    dictionary, hmm = jieba_dictionary(), jieba_hmm()
    return tuple(
        tuple(word for word in max_probability(poem, dictionary, hmm=hmm) if _CHINESE.fullmatch(word))
        for poem in sample("zh", num_bytes=num_bytes, seed=seed)
    )


def count_words(documents: Iterable[Iterable[str]]) -> Counter[str]:
    """The number of occurrences of each word in the documents."""
    return Counter(word for document in documents for word in document)


def rank_frequency(counts: Mapping[str, int], *, points: int = 300) -> pd.DataFrame:
    """The counts by rank, thinned to about ``points`` ranks in equal ratios.

    Columns ``rank`` (from 1), ``word``, ``count``, ``per million`` (occurrences in a million running words).
    """
    words = sorted(counts, key=lambda word: (-counts[word], word))
    ranks = np.unique(np.geomspace(1, len(words), points).astype(int))
    chosen = [words[rank - 1] for rank in ranks]
    numbers = np.array([counts[word] for word in chosen])
    per_million = 1e6 * numbers / sum(counts.values())
    return pd.DataFrame({"rank": ranks, "word": chosen, "count": numbers, "per million": per_million})


def vocabulary_growth(
    documents: Sequence[Sequence[str]], *, seeds: int = 3, points: int = 30
) -> pd.DataFrame:
    """Heaps' law: the number of different words among the first N words of a text.

    The documents are shuffled once for each seed. Columns ``seed``, ``words`` (N), ``different`` and ``once``, the
    number of these that have been seen only once.
    """
    rows = []
    for seed in range(seeds):
        counts: Counter[str] = Counter()
        stream = _shuffled(documents, seed)
        total = sum(map(len, documents))
        goals = set(np.geomspace(min(100, total), total, points).astype(int).tolist())
        once = 0
        for number, word in enumerate(stream, 1):
            counts[word] += 1
            once += {1: 1, 2: -1}.get(counts[word], 0)
            if number in goals:
                rows.append((seed, number, len(counts), once))
    return pd.DataFrame(rows, columns=["seed", "words", "different", "once"])


def heaps_exponent(growth: pd.DataFrame) -> pd.Series:
    """The slope of log(different words) against log(words) over the last factor of ten, by seed."""

    def slope(run: pd.DataFrame) -> float:
        late = run[run["words"] >= run["words"].max() / 10]
        return float(np.polyfit(np.log(late["words"]), np.log(late["different"]), 1)[0])

    return pd.Series({seed: slope(run) for seed, run in growth.groupby("seed")}, name="exponent")


def unknown_rate(
    documents: Sequence[Sequence[str]], *, held_out: float = 0.2, seeds: int = 3, points: int = 14
) -> pd.DataFrame:
    """The out-of-vocabulary rate (未登录词率): the share of a new text's words that are not in the word list.

    A share ``held_out`` of the documents is set aside, a different one for each seed; the list holds the most frequent
    words of the others. Columns ``seed``, ``list size``, ``unknown`` (share of the held-out words) and ``whole``, True
    for the list of all words seen in training.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out={held_out} must be between 0 and 1")
    rows = []
    for seed in range(seeds):
        is_new = np.random.default_rng(seed).random(len(documents)) < held_out
        train = count_words(document for document, new in zip(documents, is_new, strict=True) if not new)
        test = count_words(document for document, new in zip(documents, is_new, strict=True) if new)
        ranks = {word: rank for rank, (word, _) in enumerate(train.most_common(), 1)}
        test_ranks = np.array([ranks.get(word, len(ranks) + 1) for word in test])
        test_counts = np.array(list(test.values()))
        for size in np.unique(np.geomspace(100, len(ranks), points).astype(int)):
            unknown = test_counts[test_ranks > size].sum() / test_counts.sum()
            rows.append((seed, int(size), float(unknown), bool(size == len(ranks))))
    return pd.DataFrame(rows, columns=["seed", "list size", "unknown", "whole"])


def tail_share(counts: Mapping[str, int], *, points: int = 14) -> pd.DataFrame:
    """The share of all occurrences that a list of the most frequent words leaves out, on the counted text itself.

    A lower bound of the unknown-word rate: a new text also contains words that were never counted.
    Columns ``list size`` and ``unknown``.
    """
    numbers = np.sort(np.fromiter(counts.values(), dtype=np.int64))[::-1]
    sizes = np.unique(np.geomspace(100, len(numbers), points).astype(int))
    return pd.DataFrame({"list size": sizes, "unknown": 1 - numbers.cumsum()[sizes - 1] / numbers.sum()})


def words_and_strings(strings: Sequence[str], text: str, tokenizers: Mapping[str, Encoder]) -> pd.DataFrame:
    """Strings as words of a dictionary, as mere occurrences, and as tokens of published vocabularies.

    Columns ``string``; ``dictionary count``, from jieba's dictionary (0: not a word there); ``if independent``, the
    expected occurrences in a text of the dictionary's size if the string's characters followed each other by chance;
    ``in text``, the occurrences in ``text``; and for each tokenizer its tokens, separated by bars.
    """
    dictionary = jieba_dictionary()
    rows = []
    for string in strings:
        shares = [dictionary.get(character, 0) / dictionary.total for character in string]
        rows.append(
            {
                "string": string,
                "dictionary count": dictionary.get(string, 0),
                "if independent": dictionary.total * float(np.prod(shares)),
                "in text": text.count(string),
                **{name: token_text(string, tokenizer) for name, tokenizer in tokenizers.items()},
            }
        )
    return pd.DataFrame(rows)


def _shuffled(documents: Sequence[Sequence[str]], seed: int) -> Iterator[str]:
    for index in np.random.default_rng(seed).permutation(len(documents)):
        yield from documents[index]
