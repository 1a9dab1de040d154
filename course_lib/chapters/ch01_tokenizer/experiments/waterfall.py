"""Chapter 1: what each idea of the engine contributes to the speed of encoding, one step after the other."""

import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_lib import _bpe
from course_lib.chapters.ch01_tokenizer.experiments import real_text
from course_lib.chapters.ch01_tokenizer.experiments.bpe import corpora
from course_lib.files import progress
from course_lib.lab.measure import cpu_seconds
from course_lib.tokenizer import PATTERNS, Tokenizer, pretokenize, reference
from course_lib.tokenizer.patterns import split_by_regex
from course_lib.tokenizer.pretrained import load_pretrained

STEPS = {
    "regex": "Python: cut by a regular expression, merge every piece",
    "scanner": "cut by the engine's scanner",
    "cache": "merge each distinct piece once",
    "merges": "merge in the engine",
    "one call": "leave Python once for the whole text",
}
"""The steps in the order in which they are taken; each keeps all earlier ones."""

_ALPHABETIC = re.compile(" [A-Za-z]+")


class Pipeline:
    """Encoding by a published vocabulary, with parts that can be switched.

    Each call begins with caches that have seen no text. The engine's knows the words that are single tokens.
    """

    def __init__(self, name: str) -> None:
        self._data = load_pretrained(name)
        self.tokenizer = self.fresh()
        self._ranks = reference.merge_ranks(self._data.merges)
        self._ids = {token: token_id for token_id, token in self._data.vocab.items()}

    def fresh(self) -> Tokenizer:
        """A tokenizer whose caches have seen no text."""
        return Tokenizer._from_data(self._data)

    def in_python(self, text: str, *, scanner: bool, cached: bool, in_engine: bool = False) -> list[int]:
        """The ids of ``text``, one pre-token after the other.

        ``scanner``: cut by the engine's scanner, not by the regular expression. ``cached``: merge each distinct
        pre-token once. ``in_engine``: merge in the engine, not in Python.
        """
        merge: Callable[[str], Sequence[int]] = self.fresh().encode_ordinary if in_engine else self._merge
        if cached:
            merge = cache(merge)
        name = self.tokenizer.pattern
        pieces = pretokenize(text, name) if scanner else split_by_regex(text, PATTERNS[name])
        return [token_id for piece in pieces for token_id in merge(piece)]

    def _merge(self, piece: str) -> list[int]:
        return [self._ids[symbol] for symbol in reference.encode_word(piece.encode(), self._ranks)]

    def uncached(self, text: str) -> NDArray[Any]:
        """The ids of ``text`` from the engine in one call, without its caches."""
        return _bpe.encode_uncached(self.tokenizer._engine, text, self.tokenizer.pattern)


def steps(name: str, text: str, *, turns: int = 5) -> pd.DataFrame:
    """Encode ``text`` by the published vocabulary ``name`` with one step of ``STEPS`` more each time.

    All steps give the same ids (AssertionError otherwise), on the same text, with caches that have seen none before.
    Columns: step, meaning, ns_per_byte: CPU time per byte, of "one call" the median of ``turns``.
    """
    pipeline = Pipeline(name)
    work: dict[str, Callable[[], object]] = {
        "regex": lambda: pipeline.in_python(text, scanner=False, cached=False),
        "scanner": lambda: pipeline.in_python(text, scanner=True, cached=False),
        "cache": lambda: pipeline.in_python(text, scanner=True, cached=True),
        "merges": lambda: pipeline.in_python(text, scanner=True, cached=True, in_engine=True),
    }
    expected = pipeline.fresh().encode(text)
    seconds: dict[str, float] = {}
    for step, function in progress(work.items(), description="encoding step by step"):
        spent, ids = cpu_seconds(function)
        assert ids == expected, step
        seconds[step] = spent
    seconds["one call"], found = _in_one_call(pipeline, text, turns)
    assert found.tolist() == expected, "one call"
    rows = [(step, meaning, 1e9 * seconds[step] / len(text.encode())) for step, meaning in STEPS.items()]
    return pd.DataFrame(rows, columns=["step", "meaning", "ns_per_byte"])


def thread_turns(name: str, *, threads: int = 2, turns: int = 9) -> pd.DataFrame:
    """Encode all of the novels with one thread and with ``threads``, in turns, so that other programs disturb both.

    Columns: turn, one and several (wall seconds), share (what several threads need of the time of one). Each thread
    fills a cache of its own.
    """
    pipeline = Pipeline(name)
    novels = "".join(real_text.parts("novels_en").training)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        path.write_text(novels, encoding="utf-8", newline="")
        for turn in range(turns):
            one, several = (_wall(pipeline, path, number) for number in (1, threads))
            rows.append((turn, one, several, several / one))
    return pd.DataFrame(rows, columns=["turn", "one", "several", "share"])


def scanner_taken_last(name: str, text: str, *, turns: int = 5) -> float:
    """How many times faster the scanner makes an engine that has everything else: the same step, taken last."""
    pipeline = Pipeline(name)
    measured = []
    for _ in range(turns):
        engine = pipeline.fresh()._engine
        expression = PATTERNS[pipeline.tokenizer.pattern]
        measured.append(cpu_seconds(lambda: engine.encode_pretokens(split_by_regex(text, expression)))[0])  # noqa: B023
    return median(measured) / _in_one_call(pipeline, text, turns)[0]


def word_by_word(name: str, text: str, *, most: int = 20_000, turns: int = 5) -> pd.DataFrame:
    """Encode the distinct pre-tokens of several tokens one at a time, in Python and by one call of the engine for each.

    No cache helps: each occurs once, and the engine knows only single tokens beforehand. Columns: how, ns_per_byte (of
    CPU time; the engine's is the median of ``turns``).
    """
    pipeline = Pipeline(name)
    found_once = dict.fromkeys(pretokenize(text, pipeline.tokenizer.pattern))
    words = [word for word in found_once if len(pipeline.tokenizer.encode_ordinary(word)) > 1][:most]
    size = sum(len(word.encode()) for word in words)
    slow, expected = cpu_seconds(lambda: [pipeline._merge(word) for word in words])
    measured = []
    for _ in range(turns):
        engine = pipeline.fresh()
        fast, found = cpu_seconds(lambda: [engine.encode_ordinary(word) for word in words])  # noqa: B023
        assert found == expected
        measured.append(fast)
    rows = [("Python", 1e9 * slow / size), ("engine", 1e9 * median(measured) / size)]
    return pd.DataFrame(rows, columns=["how", "ns_per_byte"])


def cache_gain(
    name: str, times: Sequence[int] = (1, 2, 5, 10, 20), *, turns: int = 5, seed: int = 0
) -> pd.DataFrame:
    """The gain from a cache on texts of the same length in which each word occurs once, twice, …, in random order.

    The words are those of the novels, the Python reference and code, each with its space. Where a word occurs ``k``
    times, the text is made of a random ``k``-th of them: words are as long on average, and only their repetition
    changes. Columns: times, how ("Python": a dict; "engine": its caches), bytes, without and with (ns of CPU time per
    byte), gain (their ratio).
    """
    pipeline = Pipeline(name)
    words = distinct_words(seed)
    rows = []
    for number in progress(times, description="texts that repeat their words"):
        text = repeated(words, number, seed)
        size = len(text)
        plain, _ = cpu_seconds(lambda: pipeline.in_python(text, scanner=True, cached=False))  # noqa: B023
        cached, _ = cpu_seconds(lambda: pipeline.in_python(text, scanner=True, cached=True))  # noqa: B023
        rows.append((number, "Python", size, plain, cached))
        without = median(cpu_seconds(lambda: pipeline.uncached(text))[0] for _ in range(turns))  # noqa: B023
        filled, ids = _in_one_call(pipeline, text, turns)
        assert np.array_equal(ids, pipeline.uncached(text))
        rows.append((number, "engine", size, without, filled))
    result = pd.DataFrame(rows, columns=["times", "how", "bytes", "without", "with"])
    result[["without", "with"]] = result[["without", "with"]].mul(1e9).div(result["bytes"], axis=0)
    return result.assign(gain=result["without"] / result["with"])


def distinct_words(seed: int = 0) -> list[str]:
    """Every word of the novels, the Python reference and code once, with a space before it, in random order."""
    documents = corpora()
    sources = [
        *real_text.parts("novels_en").training,
        documents["English reference"],
        documents["Python code"],
    ]
    words = {piece for text in sources for piece in pretokenize(text) if _ALPHABETIC.fullmatch(piece)}
    shuffled = sorted(words)
    Random(seed).shuffle(shuffled)
    return shuffled


def repeated(words: Sequence[str], times: int, seed: int = 0) -> str:
    """A text of the first of ``words``, each ``times`` times, about as long as all of them once."""
    chosen = list(words[: len(words) // times]) * times
    Random(seed).shuffle(chosen)
    return "".join(chosen)


def _in_one_call(pipeline: Pipeline, text: str, turns: int) -> tuple[float, NDArray[Any]]:
    """The median CPU seconds of a tokenizer that has not met the text, and the ids."""
    measured = []
    for _ in range(turns):
        tokenizer = pipeline.fresh()
        spent, ids = cpu_seconds(lambda: tokenizer.encode_to_numpy(text))  # noqa: B023
        measured.append(spent)
    return median(measured), ids


def _wall(pipeline: Pipeline, path: Path, threads: int) -> float:
    """The wall seconds of encoding a file with caches that have seen no text."""
    engine = pipeline.fresh()._engine
    started = time.perf_counter()
    for _ in _bpe.FileEncoder(engine, os.fsencode(path), num_threads=threads, progress=None):
        pass
    return time.perf_counter() - started
