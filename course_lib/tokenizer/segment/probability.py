"""The most probable segmentation: a graph of dictionary words, and dynamic programming on it (jieba's method)."""

import math
import re
from collections.abc import Mapping

from course_lib.tokenizer.segment.dictionary import Dictionary
from course_lib.tokenizer.segment.hmm import HMM
from course_lib.tokenizer.segment.latin import join_latin

# jieba's own cuts, so that results can be compared: words are looked for within blocks of these characters only.
_BLOCK = re.compile(r"([\u4E00-\u9FD5a-zA-Z0-9+#&._%-]+)")
_OUTSIDE = re.compile(r"\r\n|.", re.DOTALL)
_HAN = re.compile(r"([\u4E00-\u9FD5]+)")
_NUMBER_OR_LATIN = re.compile(r"([a-zA-Z0-9]+(?:\.[0-9]+)?%?)")


def max_probability(text: str, frequencies: Mapping[str, int], *, hmm: HMM | None = None) -> list[str]:
    """The segmentation whose words, drawn independently from ``frequencies``, are the most probable.

    ``frequencies``: word → count; a :class:`Dictionary` is faster for many calls. ``hmm``: decides about runs of two
    or more characters that the best path leaves single; without it they stay single, and Latin letters and digits
    are joined. Punctuation and whitespace stand alone. Joined together, the result is ``text``.

    With ``jieba_dictionary()`` this is ``jieba.lcut(text, HMM=False)``; with ``hmm=jieba_hmm()`` also, it is
    ``jieba.lcut(text)``.

    Raises ValueError if ``frequencies`` holds no word.
    """
    dictionary = Dictionary.of(frequencies)
    if not dictionary:
        raise ValueError("frequencies holds no word with a positive count; at least one is needed")
    result: list[str] = []
    for index, block in enumerate(_BLOCK.split(text)):
        if index % 2 == 0:  # re.split puts what it splits at in the odd places
            result += _OUTSIDE.findall(block)
        elif hmm is None:
            result += join_latin(best_path(block, dictionary))
        else:
            result += _find_unknown(best_path(block, dictionary), dictionary, hmm)
    return result


def word_graph(text: str, dictionary: Mapping[str, int]) -> list[list[int]]:
    """For every position of ``text``, the ends of the dictionary words that begin there, shortest first.

    A directed acyclic graph (有向无环图, DAG): its nodes are the positions, an edge from start to end is a word. Where
    no word begins, the single character is the only edge.
    """
    dictionary = Dictionary.of(dictionary)
    last = len(text)
    return [
        [
            end
            for end in range(start + 1, min(start + dictionary.max_length, last) + 1)
            if text[start:end] in dictionary
        ]
        or [start + 1]
        for start in range(last)
    ]


def best_path(text: str, dictionary: Mapping[str, int]) -> list[str]:
    """The path through the word graph of ``text`` with the greatest product of word probabilities count / total.

    A character that is not a word counts as seen once. It works backwards from the end: the best way on from a
    position does not depend on the way to it, so the work grows with the number of edges, not of paths. Of equally good
    ways the one with the longer word wins.
    """
    dictionary = Dictionary.of(dictionary)
    graph = word_graph(text, dictionary)
    log_total = math.log(dictionary.total)
    # best[start]: log-probability of text[start:], and where its first word ends
    best = [(0.0, 0)] * (len(text) + 1)
    for start in reversed(range(len(text))):
        best[start] = max(
            (math.log(dictionary.get(text[start:end], 1)) - log_total + best[end][0], end)
            for end in graph[start]
        )
    words = []
    start = 0
    while start < len(text):
        end = best[start][1]
        words.append(text[start:end])
        start = end
    return words


def _find_unknown(words: list[str], dictionary: Dictionary, hmm: HMM) -> list[str]:
    """Let ``hmm`` look for words in every run of single characters.

    A run that is a dictionary word was cut on purpose: its characters are more probable than the word. It stays cut.
    """
    result: list[str] = []
    run: list[str] = []
    for word in [*words, ""]:  # the empty word ends the last run
        if len(word) == 1:
            run.append(word)
            continue
        unknown = "".join(run)
        result += run if len(run) < 2 or unknown in dictionary else _segment_unknown(unknown, hmm)
        run.clear()
        if word:
            result.append(word)
    return result


def _segment_unknown(text: str, hmm: HMM) -> list[str]:
    """Chinese characters go to ``hmm``; Latin words and numbers, with their decimals and percent sign, stay whole."""
    result: list[str] = []
    for index, part in enumerate(_HAN.split(text)):
        result += hmm.segment(part) if index % 2 else filter(None, _NUMBER_OR_LATIN.split(part))
    return result
