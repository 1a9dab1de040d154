"""Chapter 1: the time that training takes, against the size of the text, and what it would be for larger texts."""

import sysconfig
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from course_lib.data import SEPARATOR, write_stories
from course_lib.files import PathLike, progress
from course_lib.lab.measure import cpu_seconds
from course_lib.lab.reference_runs import Experiment, product
from course_lib.tokenizer import train_bpe

CORPORA = {"TinyStories": 2_227_753_162, "OpenWebText": 11_920_511_059}
"""Bytes of the two corpora of the Stanford assignment CS336 (training parts; OpenWebText: its sample)."""


@dataclass(frozen=True)
class LinearLaw:
    """Seconds = ``fixed`` + ``per_byte`` · bytes: every byte is read once, and the rest grows more slowly."""

    fixed: float
    per_byte: float

    @classmethod
    def fit(cls, sizes: Sequence[float], seconds: Sequence[float]) -> "LinearLaw":
        """The law with the least squared relative errors, with no part below zero."""
        size, spent = np.asarray(sizes, dtype=float), np.asarray(seconds, dtype=float)
        columns = np.stack([1 / spent, size / spent], axis=1)
        fixed, per_byte = np.linalg.lstsq(columns, np.ones(len(size)), rcond=None)[0]
        if fixed < 0:
            fixed, per_byte = 0.0, float((columns[:, 1].sum()) / (columns[:, 1] ** 2).sum())
        return cls(float(fixed), float(per_byte))

    def seconds(self, size: float) -> float:
        """The seconds for a text of ``size`` bytes."""
        return self.fixed + self.per_byte * size


def checked(points: pd.DataFrame) -> tuple[LinearLaw, float]:
    """The law fitted to all but the last row, and by what share it is too high there.

    ``points``: columns bytes and cpu_seconds, the largest text last.
    """
    sizes, seconds = points["bytes"].tolist(), points["cpu_seconds"].tolist()
    law = LinearLaw.fit(sizes[:-1], seconds[:-1])
    return law, law.seconds(sizes[-1]) / seconds[-1] - 1


def training_times(path: PathLike, vocab_size: int, *, halvings: int = 3, turns: int = 3) -> pd.DataFrame:
    """Train on the beginnings of a text file, each twice as long as the one before, on one thread.

    Columns: bytes, cpu_seconds (the median of ``turns``). The last row is for the whole file.
    """
    contents = Path(path).read_bytes()
    rows = []
    with TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        for halving in progress(range(halvings, -1, -1), description="training on more and more"):
            part.write_bytes(contents[: len(contents) >> halving])
            measured = [_train(part, vocab_size) for _ in range(turns)]
            rows.append((part.stat().st_size, median(measured)))
    return pd.DataFrame(rows, columns=["bytes", "cpu_seconds"])


def _train(path: Path, vocab_size: int) -> float:
    with warnings.catch_warnings():  # of a small part that holds fewer merges
        warnings.simplefilter("ignore", UserWarning)
        return cpu_seconds(lambda: train_bpe(path, vocab_size, [SEPARATOR], num_threads=1))[0]


def write_code(path: PathLike, num_bytes: int, *, seed: int = 0) -> None:
    """Write ``num_bytes`` of the Python source files of this environment, in random order, or all there are."""
    places = sysconfig.get_paths()
    files = sorted({file for name in ("stdlib", "purelib") for file in Path(places[name]).rglob("*.py")})
    Random(seed).shuffle(files)
    with Path(path).open("wb") as target:
        for file in files:
            if file.is_file():
                target.write(file.read_bytes() + f"\n{SEPARATOR}\n".encode())
            if target.tell() >= num_bytes:
                break
        target.truncate(min(num_bytes, target.tell()))


def laws(*, num_bytes: int, vocab_sizes: tuple[int, int] = (10_000, 32_000)) -> dict[str, pd.DataFrame]:
    """Training times by the corpus that each stands in for.

    "TinyStories": generated stories, 10,000 tokens. "OpenWebText": the source code of this environment, a real text
    with a long tail, 32,000 tokens. ``num_bytes``: size of the largest text.
    """
    measured = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        for name, vocab_size in zip(CORPORA, vocab_sizes, strict=True):
            if name == "TinyStories":
                write_stories(path, num_bytes)
            else:
                write_code(path, num_bytes)
            measured[name] = training_times(path, vocab_size)
    return measured


# --- the size of TinyStories, measured once ---------------------------------------------------------------------------


def training_run(*, seed: int, megabytes: int, vocab_size: int) -> dict[str, float]:
    """Train on generated stories of about ``megabytes`` on one thread.

    What is measured are the point's CPU seconds. Another process writes the text, so that they are those of reading,
    counting and merging alone. Returns the same numbers on every machine: bytes (of the file), entries (of the
    vocabulary) and longest (bytes of its longest token).
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stories"
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
            other.submit(write_stories, path, megabytes * 1_000_000, seed=seed).result()
        vocab = train_bpe(path, vocab_size, [SEPARATOR], num_threads=1).vocab
        return {"bytes": path.stat().st_size, "entries": len(vocab), "longest": max(map(len, vocab.values()))}


TIMES = Experiment(
    chapter=1,
    name="training_times",
    question="Does the law of training times, fitted to small texts, hold at the size of TinyStories?",
    run=training_run,
    grid=product(megabytes=[32, 64, 128, 2188]),
    seeds=(0, 1, 2, 3),
    scientific=["megabytes"],
    fixed={"vocab_size": 10_000},
    folder=Path(__file__).parents[1] / "reference",
    seconds=35,
)
