"""Chapter 10: ways to make batches from a token file, and their cost in time and memory."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from course_lib.chapters.ch10_memmap_data.experiments.memmap import resident_bytes
from course_lib.data import BatchStream, TokenFile
from course_lib.data.batches import gather_batch
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.measure import take_turns

PATTERNS = ("at random", "in order")
"""Starts of a batch's windows in the file: anywhere, or each at the end of the one before."""


def row_by_row(data: NDArray[np.integer], starts: NDArray[np.integer], context: int) -> tuple[Tensor, Tensor]:
    """The plain way: slice, convert and stack row by row."""
    x = torch.stack([torch.from_numpy(data[i : i + context].astype(np.int64)) for i in starts])
    y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + context].astype(np.int64)) for i in starts])
    return x, y


def _places(pattern: str, length: int, batch: int, context: int) -> Iterator[NDArray[np.int64]]:
    """The starts of the windows, batch by batch, without end."""
    random = np.random.default_rng(0)
    follow = np.arange(batch) * context
    for number in itertools.count():
        if pattern == "at random":
            yield random.integers(0, length - context, batch)
        else:
            yield (number * batch * context + follow) % (length - context)


def ways(
    tokens: TokenFile, pattern: str, batch: int, context: int
) -> dict[str, Callable[[], tuple[Tensor, Tensor]]]:
    """Functions that make the next batch, by the name of the way. Each call of ``ways`` maps the file again."""
    mapped = np.memmap(tokens.path, tokens.dtype, mode="r")
    view = np.asarray(mapped)
    places = _places(pattern, len(tokens), batch, context)
    return {
        "row by row, mapped again": lambda: row_by_row(
            np.memmap(tokens.path, tokens.dtype, mode="r"), next(places), context
        ),
        "row by row": lambda: row_by_row(mapped, next(places), context),
        "one gather, mapped": lambda: gather_batch(view, next(places), context),
        "one gather, read": lambda: gather_batch(tokens, next(places), context),
    }


def loader_speed(
    tokens: TokenFile,
    batches: Sequence[int] = (64,),
    contexts: Sequence[int] = (256,),
    repeats: int = 5,
    seconds: float = 0.02,
    *,
    patterns: Sequence[str] = PATTERNS[:1],
) -> pd.DataFrame:
    """CPU time per batch in four ways, which take turns.

    Columns: way, pattern (of ``PATTERNS``), batch, context, repeat, microseconds.
    """
    rows = []
    sizes = list(itertools.product(patterns, batches, contexts))
    for pattern, batch, context in progress(sizes, description="making batches"):
        makers = ways(tokens, pattern, batch, context)
        once = take_turns(makers, 1)
        counts = {name: max(3, int(seconds / max(once[name][0], 1e-6))) for name in makers}
        spent = take_turns(
            {name: partial(_call, make, counts[name]) for name, make in makers.items()}, repeats
        )
        rows += [
            (name, pattern, batch, context, repeat, spent[name][repeat] / counts[name] * 1e6)
            for repeat in range(repeats)
            for name in makers
        ]
    return pd.DataFrame(rows, columns=["way", "pattern", "batch", "context", "repeat", "microseconds"])


def _call(function: Callable[[], object], times: int) -> None:
    for _ in range(times):
        function()


def resident_after(
    tokens: TokenFile,
    batches: Sequence[int] = (64,),
    contexts: Sequence[int] = (256,),
    *,
    patterns: Sequence[str] = PATTERNS,
    number: int = 10,
) -> pd.DataFrame:
    """Memory that is resident after ``number`` batches from a freshly opened file.

    Columns: way, pattern, batch, context, megabytes.
    """
    rows = []
    for pattern, batch, context in itertools.product(patterns, batches, contexts):
        for name in ways(tokens, pattern, batch, context):
            fresh = ways(tokens, pattern, batch, context)  # a new map, with no page touched yet
            make = fresh[name]
            before = resident_bytes()
            for _ in range(number):
                make()
            rows.append((name, pattern, batch, context, (resident_bytes() - before) / 1e6))
            del make, fresh
    return pd.DataFrame(rows, columns=["way", "pattern", "batch", "context", "megabytes"])


class WindowDataset(Dataset[tuple[Tensor, Tensor]]):
    """Windows without overlap, one at a time, as torch's DataLoader asks for them."""

    def __init__(self, path: Path, context_length: int) -> None:
        self.tokens = TokenFile.open(path)  # not a memmap: a spawned worker would get all of its bytes
        self.context_length = context_length

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.context_length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = index * self.context_length
        window = torch.from_numpy(self.tokens[start : start + self.context_length + 1].astype(np.int64))
        return window[:-1], window[1:]


@float32_on_cpu()
def worker_speed(
    tokens: TokenFile,
    workers: Sequence[int] = (0, 1, 2),
    batch: int = 64,
    context: int = 256,
    batches: int = 100,
) -> pd.DataFrame:
    """Wall time per batch from torch's DataLoader with helper processes, and from BatchStream.

    Columns: way, start_milliseconds (until the first batch), microseconds (per batch after it).
    """
    rows = []
    for number in progress(workers, description="helper processes"):
        windows, generator = WindowDataset(tokens.path, context), torch.Generator().manual_seed(0)
        loader = DataLoader(windows, batch, shuffle=True, num_workers=number, generator=generator)
        rows.append((f"DataLoader, {number} workers", *_first_and_rest(iter(loader), batches)))
    stream = BatchStream(tokens, batch, context, seed=0)
    rows.append(("BatchStream", *_first_and_rest(stream, batches)))
    return pd.DataFrame(rows, columns=["way", "start_milliseconds", "microseconds"])


def _first_and_rest(stream: Iterator[object], batches: int) -> tuple[float, float]:
    started = time.perf_counter()
    next(stream)
    first = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return (first - started) * 1e3, (time.perf_counter() - first) / batches * 1e6
