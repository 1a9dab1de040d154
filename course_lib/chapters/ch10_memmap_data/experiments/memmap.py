"""Chapter 10: token files, the cost of mapping them, epochs and documents."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from course_lib.data import BatchStream, TokenFile, get_batch, write_stories
from course_lib.errors import FormatError
from course_lib.files import PathLike, check_not_sources, progress
from course_lib.token_file import description_path, gather_windows, write_token_file
from course_lib.tokenizer import Tokenizer, train_bpe

Tokens = NDArray[np.uint16]
_NO_TOKENIZER = "0" * 64


@dataclass(frozen=True)
class Corpus:
    """A text, the tokenizer trained on it, and its token file."""

    text: Path
    tokenizer: Tokenizer
    tokens: TokenFile

    @property
    def end_of_text(self) -> int:
        """The id of the token between two documents."""
        return self.tokenizer.special_token_ids["<|endoftext|>"]


def make_corpus(
    folder: PathLike, num_bytes: int = 2_000_000, vocab_size: int = 2000, seed: int = 0
) -> Corpus:
    """Write stories to ``folder``, train a tokenizer on them and encode them."""
    text = Path(folder) / "stories.txt"
    write_stories(text, num_bytes, seed=seed)
    tokenizer = train_bpe(text, vocab_size, ["<|endoftext|>"])
    return Corpus(text, tokenizer, tokenizer.encode_file(text, Path(folder) / "stories.bin"))


def large_file(folder: PathLike, num_tokens: int, seed: int = 0) -> TokenFile:
    """A token file of random ids below 50,000, where only the size matters."""
    random = np.random.default_rng(seed)
    sizes = [min(1 << 22, num_tokens - start) for start in range(0, num_tokens, 1 << 22)]
    parts = (
        random.integers(0, 50_000, size, dtype=np.uint16)
        for size in progress(sizes, description="random ids")
    )
    path = Path(folder) / "random.bin"
    return write_token_file(path, parts, vocab_size=50_000, tokenizer_sha256=_NO_TOKENIZER)


def storage(corpus: Corpus) -> pd.DataFrame:
    """Size of the same tokens in different forms. Columns: form, bytes, bytes_per_token."""
    ids = np.asarray(corpus.tokens)
    numbers = ids.tolist()
    # A list holds a reference to each integer; Python shares integers up to 256, others are separate objects.
    own = sum(sys.getsizeof(number) for number in numbers if number > 256)
    sizes = {
        "the text, UTF-8": corpus.text.stat().st_size,
        "Python list": sys.getsizeof(numbers) + own,
        "JSON": len(json.dumps(numbers)),
        "NumPy int64": ids.astype(np.int64).nbytes,
        f"token file, {ids.dtype.name}": corpus.tokens.path.stat().st_size,
    }
    rows = [(form, size, size / len(ids)) for form, size in sizes.items()]
    return pd.DataFrame(rows, columns=["form", "bytes", "bytes_per_token"])


def damage(tokens: TokenFile, folder: PathLike) -> pd.DataFrame:
    """A damaged copy of a token file as NumPy and TokenFile read it, for five kinds of damage.

    Columns: accident, numpy (the first ids), token_file (the message).
    """
    contents = tokens.path.read_bytes()
    described = json.loads(description_path(tokens.path).read_text(encoding="utf-8"))
    flipped = bytearray(contents)
    flipped[2] ^= 0x40
    accidents: dict[str, tuple[bytes, dict[str, object], str]] = {
        "none": (contents, described, "<u2"),
        "read as big-endian": (contents, {**described, "dtype": ">u2"}, ">u2"),
        "read as 32 bits": (contents, {**described, "dtype": "<u4"}, "<u4"),
        "half of it copied": (contents[: len(contents) // 2], described, "<u2"),
        "one bit flipped": (bytes(flipped), described, "<u2"),
    }
    path = Path(folder) / "copy.bin"
    check_not_sources([path, description_path(path)], [tokens.path, description_path(tokens.path)])
    rows = []
    for accident, (data, description, dtype) in accidents.items():
        path.write_bytes(data)
        description_path(path).write_text(json.dumps(description), encoding="utf-8")
        message = "opens"
        try:
            TokenFile.open(path, verify=True)
        except FormatError as error:
            message = error.reason
        rows.append((accident, str(np.fromfile(path, dtype, count=5).tolist()), message))
    return pd.DataFrame(rows, columns=["accident", "numpy", "token_file"])


def resident_bytes() -> int:
    """The memory of this process that is in RAM, including mapped file pages (the "resident set")."""
    return int(psutil.Process().memory_info().rss)


def forget(path: PathLike) -> None:
    """Ask the system to drop a file's pages from its cache, where this is possible (Linux)."""
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _disk_bytes() -> int:
    """Bytes that this process has read from a disk; 0 where the system does not report them."""
    process = psutil.Process()
    return int(process.io_counters().read_bytes) if hasattr(process, "io_counters") else 0


def opening(tokens: TokenFile, repeats: int = 5) -> pd.DataFrame:
    """Time and memory to get the first token by mapping and by reading. Columns: way, milliseconds, megabytes.

    The time is the shortest of ``repeats``: opening a map takes a tenth of a millisecond, far less than an interruption
    by another process.
    """
    path, dtype = tokens.path, tokens.dtype
    ways: dict[str, Callable[[], NDArray[np.integer]]] = {
        "np.memmap": lambda: np.memmap(path, dtype, mode="r"),
        "np.fromfile": lambda: np.fromfile(path, dtype),
        "np.array(memmap)": lambda: np.array(np.memmap(path, dtype, mode="r")),
    }
    rows = []
    for name, load in ways.items():
        seconds, megabytes = [], []
        for _ in range(repeats):
            before, started = resident_bytes(), time.perf_counter()
            loaded = load()
            int(loaded[0])
            seconds.append(time.perf_counter() - started)
            megabytes.append((resident_bytes() - before) / 1e6)
            del loaded
        rows.append((name, min(seconds) * 1e3, megabytes[0]))
    return pd.DataFrame(rows, columns=["way", "milliseconds", "megabytes"])


def touched(tokens: TokenFile, context_length: int = 256, seed: int = 0) -> pd.DataFrame:
    """Memory that becomes resident when parts of a freshly mapped file are used.

    Columns: used, windows, used_megabytes, resident_megabytes.
    """
    random = np.random.default_rng(seed)
    spread = random.integers(0, len(tokens) - context_length, 1000)
    places = {"one window": spread[:1], "100 random windows": spread[:100], "1,000 random windows": spread}
    rows = []
    for name, starts in places.items():
        mapped = np.memmap(tokens.path, tokens.dtype, mode="r")
        before = resident_bytes()
        used = gather_windows(mapped, starts, context_length)
        grown = resident_bytes() - before
        rows.append((name, len(starts), used.nbytes / 1e6, grown / 1e6))
        del mapped
    return pd.DataFrame(rows, columns=["used", "windows", "used_megabytes", "resident_megabytes"])


def cold_and_warm(
    tokens: TokenFile, windows: int = 2000, context_length: int = 256, repeats: int = 3, seed: int = 0
) -> pd.DataFrame:
    """Time to copy the same number of windows in order and at random places, from disk, page cache and array.

    Columns: pattern ("in order", "random"), source ("disk", "page cache", "array"), repeat, microseconds (wall time per
    window), disk_megabytes (really read from disk: 0 if the system kept its cache).
    """
    random = np.random.default_rng(seed)
    in_ram = np.fromfile(tokens.path, tokens.dtype)
    rows = []
    for repeat in range(repeats):
        first = int(random.integers(0, len(tokens) - windows * context_length))
        patterns = {
            "in order": first + np.arange(windows) * context_length,
            "random": random.integers(0, len(tokens) - context_length, windows),
        }
        for pattern, starts in patterns.items():
            for source in ("disk", "page cache", "array"):
                if source == "disk":
                    forget(tokens.path)
                array = in_ram if source == "array" else np.memmap(tokens.path, tokens.dtype, mode="r")
                read, started = _disk_bytes(), time.perf_counter()
                gather_windows(array, starts, context_length)
                seconds = time.perf_counter() - started
                del array  # mapped pages cannot be dropped from the cache
                rows.append((pattern, source, repeat, seconds / windows * 1e6, (_disk_bytes() - read) / 1e6))
    return pd.DataFrame(rows, columns=["pattern", "source", "repeat", "microseconds", "disk_megabytes"])


def resident_growth(
    tokens: TokenFile, batches: int = 1500, batch: int = 64, context: int = 256, every: int = 50
) -> pd.DataFrame:
    """Resident memory while batches are drawn. Columns: way, batches, megabytes (more than at the start).

    Ways: "mapped once" (one memmap for all batches), "mapped again" (a new one for each, nanoGPT's way), "read".
    """

    def again() -> object:
        return get_batch(np.memmap(tokens.path, tokens.dtype, mode="r"), batch, context)

    torch.manual_seed(0)
    rows = []
    for name in ("mapped again", "read", "mapped once"):
        before = resident_bytes()
        mapped = np.memmap(tokens.path, tokens.dtype, mode="r")
        ways: dict[str, Callable[[], object]] = {
            "mapped again": again,
            "read": partial(get_batch, tokens, batch, context),
            "mapped once": partial(get_batch, mapped, batch, context),
        }
        make = ways[name]
        rows.append((name, 0, 0.0))
        for number in range(1, batches + 1):
            make()
            if number % every == 0:
                rows.append((name, number, (resident_bytes() - before) / 1e6))
        del mapped, make, ways
    return pd.DataFrame(rows, columns=["way", "batches", "megabytes"])


def coverage(num_windows: int = 2000, epochs: int = 4, seeds: Sequence[int] = (0, 1, 2)) -> pd.DataFrame:
    """The share of windows not seen yet, with and without replacement. Columns: drawn, seed, epoch, unseen.

    ``epoch``: draws made, divided by the number of windows.
    """
    rows = []
    tokens = np.arange(num_windows + 1)
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        stream = BatchStream(tokens, num_windows // 20, 1, seed=seed)
        ways: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
            "at random": partial(get_batch, tokens, num_windows // 20, 1, generator=generator),
            "each once an epoch": stream.__next__,
        }
        for name, draw in ways.items():
            seen = np.zeros(num_windows, bool)
            for part in range(20 * epochs + 1):
                rows.append((name, seed, part / 20, 1 - seen.mean()))
                seen[draw()[0].flatten().numpy()] = True
    return pd.DataFrame(rows, columns=["drawn", "seed", "epoch", "unseen"])


def dealing(num_windows: int = 39, batch: int = 3, processes: int = 2, seed: int = 0) -> pd.DataFrame:
    """The windows that each process gets in two epochs. Columns: batch, rank, window, epoch."""
    tokens = np.arange(num_windows + 1)
    rows = []
    for rank in range(processes):
        stream = BatchStream(tokens, batch, 1, seed=seed, rank=rank, world_size=processes)
        for number in range(2 * num_windows // (batch * processes)):
            windows = next(stream)[0].flatten().tolist()
            place = number * batch * processes + rank * batch
            rows += [
                (number, rank, window, (place + offset) // num_windows)
                for offset, window in enumerate(windows)
            ]
    return pd.DataFrame(rows, columns=["batch", "rank", "window", "epoch"])


def boundaries(corpus: Corpus, contexts: Sequence[int] = (32, 64, 128, 256, 512, 1024)) -> pd.DataFrame:
    """The contents of windows cut from a stream of documents, and the waste of one document per window.

    Columns: context; mixed_windows: share of windows with tokens of two documents; foreign_context: share of targets
    whose context contains another document; padding: share of empty places with one document per window (longer ones
    are cut); documents: mean number per window.
    """
    ids = np.asarray(corpus.tokens)
    ends = ids == corpus.end_of_text
    lengths = np.diff(np.flatnonzero(ends), prepend=-1)
    rows = []
    for context in contexts:
        windows = ends[: len(ids) // context * context].reshape(-1, context)
        # A window is mixed if a document ends in it before its last token.
        ended_before = np.cumsum(windows, axis=1) - windows
        padded = -(-lengths // context) * context
        mixed, foreign = (ended_before[:, -1] > 0).mean(), (ended_before > 0).mean()
        padding, documents = 1 - lengths.sum() / padded.sum(), 1 + ended_before[:, -1].mean()
        rows.append((context, *map(float, (mixed, foreign, padding, documents))))
    columns = ["context", "mixed_windows", "foreign_context", "padding", "documents"]
    return pd.DataFrame(rows, columns=columns)
