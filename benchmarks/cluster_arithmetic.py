"""The cost of training a tokenizer on 1 TB and 100 TB, from laws fitted on this machine and checked by a simulation.

    python benchmarks/cluster_arithmetic.py [--gigabytes 2]

Writes benchmarks/terabytes.md and prints it; no number on that page comes from elsewhere. There are two texts: the
Python and text files of the installed packages (real, about 0.3 GB; files above 1 MB are left out, since they are
tables), and a generated one with an open vocabulary, whose size only the disk limits. Takes two to three minutes of CPU
time.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from heaps import fit, write_open_vocabulary
from terabytes import TABLE_FILE, VOCAB_SIZE, page

from course_lib import _bpe
from course_lib.data import SEPARATOR
from course_lib.lab.measure import cpu_seconds
from course_lib.tokenizer import Tokenizer
from course_lib.tokenizer.cluster import FAN_IN, PretokenCounts, connect, count_pretokens, merge_counts
from course_lib.tokenizer.training import learn_merges, make_tokenizer

PAGE = Path(__file__).parent / "terabytes.md"
OCTAVES = 9


# --- texts ------------------------------------------------------------------------------------------------------------


def package_texts(seed: int) -> list[bytes]:
    """The Python and text files of the installed packages, in random order."""
    root = Path(np.__file__).parents[1]
    paths = sorted(
        path
        for path in root.rglob("*")
        if path.suffix in {".py", ".md", ".rst", ".txt"}
        and path.is_file()
        and path.stat().st_size <= TABLE_FILE
    )
    random.Random(seed).shuffle(paths)
    return [path.read_bytes() for path in paths]


def joined(documents: Sequence[bytes]) -> bytes:
    return f"\n{SEPARATOR}\n".encode().join(documents)


# --- measurements -----------------------------------------------------------------------------------------------------


def heaps_points(path: Path) -> tuple[list[tuple[int, int]], _bpe.WordCounts, float]:
    """(pre-tokens, distinct) at doubling sizes, the counts of the whole text, and CPU seconds of counting."""
    counts = _bpe.WordCounts("gpt2", [SEPARATOR])
    size = path.stat().st_size
    points, start, seconds = [], 0, 0.0
    for octave in reversed(range(OCTAVES)):
        stop = size >> octave
        count = partial(counts.add_file, str(path), num_threads=1, progress=None, start=start, stop=stop)
        seconds += cpu_seconds(count)[0]
        points.append((counts.total(), len(counts)))
        start = stop
    return points, counts, seconds


def count_blocks(path: Path, block: int) -> list[PretokenCounts]:
    """The counts that the workers would send."""
    size = path.stat().st_size
    parts = []
    for start in range(0, size, block):
        counts = _bpe.WordCounts("gpt2", [SEPARATOR])
        counts.add_file(str(path), num_threads=1, progress=None, start=start, stop=min(size, start + block))
        parts.append(PretokenCounts(counts.pack()))
    return parts


def reduce_tree(parts: Sequence[PretokenCounts], max_words: int | None) -> Iterator[list[PretokenCounts]]:
    """The levels of the reduction, as count_pretokens makes them."""
    level = [merge_counts([part], max_words) for part in parts]
    yield level
    while len(level) > 1:
        level = [merge_counts(level[k : k + FAN_IN], max_words) for k in range(0, len(level), FAN_IN)]
        yield level


def number_of_words(counts: PretokenCounts) -> int:
    return int.from_bytes(counts.packed[4:12], "little")


def train(counts: PretokenCounts) -> Tokenizer:
    words = _bpe.WordCounts(None, [])
    words.add_packed(counts.packed)
    num_merges = VOCAB_SIZE - 257
    return make_tokenizer(learn_merges(words, num_merges), num_merges, [SEPARATOR], "gpt2")


def root_costs(counts: PretokenCounts, folder: Path) -> dict[str, float]:
    """Memory and CPU time per distinct pre-token of learning the merges, measured in a separate process."""
    path = folder / "packed"
    path.write_bytes(counts.packed)
    done = subprocess.run(
        [sys.executable, __file__, "--root", str(path)], capture_output=True, text=True, check=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure_root(path: Path) -> None:
    """Print the costs for :func:`root_costs`."""
    packed = path.read_bytes()
    process = psutil.Process()
    before = process.memory_info().rss
    words = _bpe.WordCounts(None, [])
    unpack_seconds, _ = cpu_seconds(lambda: words.add_packed(packed))
    table = process.memory_info().rss
    highest, ended = table, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not ended.wait(0.005):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    train_seconds, _ = cpu_seconds(lambda: learn_merges(words, VOCAB_SIZE - 257, num_threads=1))
    ended.set()
    watcher.join()
    costs = {
        "table_bytes": table - before,
        "train_bytes": highest - before,
        "unpack_s": unpack_seconds,
        "train_s": train_seconds,
    }
    print(json.dumps({name: cost / len(words) for name, cost in costs.items()}))


def occurrences(packed: bytes) -> dict[bytes, int]:
    """The counts in a block, as csrc/bpe/pack.hpp describes it."""
    counts: dict[bytes, int] = {}
    at, word = 12, b""

    def number() -> int:
        nonlocal at
        value = shift = 0
        while packed[at] >= 0x80:
            value |= (packed[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
        at += 1
        return value | packed[at - 1] << shift

    while at < len(packed):
        shared, added = number(), number()
        word = word[:shared] + packed[at : at + added]
        at += added
        counts[word] = number()
    return counts


@dataclass
class Comparison:
    """The differences of a tokenizer from other counts."""

    first_difference: int
    shared: float  # share of the merges that both have
    tokens: float  # on held-out text, relative to the exact one


def compare(exact: Tokenizer, other: Tokenizer, held_out: bytes) -> Comparison:
    pairs = zip(exact.merges, other.merges, strict=False)
    first = next((k for k, (one, two) in enumerate(pairs) if one != two), len(exact.merges))
    shared = len(set(exact.merges) & set(other.merges)) / len(exact.merges)
    tokens = len(other.encode_to_numpy(held_out)) / len(exact.encode_to_numpy(held_out))
    return Comparison(first, shared, tokens)


def on_dask(path: Path, block: int) -> tuple[PretokenCounts, float, int]:
    """The counts from two worker processes, wall seconds, and the bytes they sent to each other."""
    with connect("local", num_workers=2) as client:
        began = time.perf_counter()
        counts = count_pretokens(path, [SEPARATOR], client=client, block_bytes=block)
        seconds = time.perf_counter() - began
        sent = client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total)
    return counts, seconds, sum(sent.values())


def measure(gigabytes: float, folder: Path) -> dict[str, Any]:
    """Everything the page reports."""
    found: dict[str, Any] = {}
    curves = []
    for seed in (2, 1, 0):
        documents = package_texts(seed)
        held_out_from = len(documents) * 49 // 50
        packages = folder / "packages"
        packages.write_bytes(joined(documents[:held_out_from]))
        points, counts, seconds = heaps_points(packages)
        curves.append(points)
    found["held_out"] = joined(documents[held_out_from:])  # from the last shuffle, like everything below
    found["points"] = [
        (points[0][0], statistics.geometric_mean(distinct for _, distinct in points))
        for points in zip(*curves, strict=True)
    ]
    size = packages.stat().st_size
    found["sizes"] = [size >> octave for octave in reversed(range(OCTAVES))]
    found["law"] = law = fit(found["points"][2:])
    found["check"] = fit(found["points"][2:-3])(points[-1][0]) / points[-1][1]
    found["slopes"] = [fit(found["points"][k : k + 4]).beta for k in range(2, OCTAVES - 3)]
    found["count_speed"] = size / seconds
    found["bytes_a_pretoken"] = size / counts.total()
    words = occurrences(counts.pack())
    found["word_bytes"] = sum(map(len, words)) / len(words)
    long = [len(word) for word in words if len(word) > 15]
    found["long"], found["long_bytes"] = len(long) / len(words), statistics.mean(long)
    found["once"] = sum(count == 1 for count in words.values()) / len(words)

    found["packages"] = prune_packages(packages, found["held_out"], words)

    path = folder / "open"
    write_open_vocabulary(path, round(gigabytes * 1e9), law.beta, *points[-1])
    points, counts, _ = heaps_points(path)
    found["open_points"] = points
    found["open_check"] = fit(points[2:-3])(points[-1][0]) / points[-1][1]
    found["open_law"] = fit(points[2:])
    found["open"] = simulate(path, counts, folder)
    return found


def prune_packages(path: Path, held_out: bytes, words: dict[bytes, int]) -> dict[str, Any]:
    """The effect of pruning and sampling on the merges, on real text."""
    block = 1 << 22
    parts = count_blocks(path, block)
    exact = list(reduce_tree(parts, None))[-1][0]
    reference = train(exact)
    assert occurrences(exact.packed) == words
    ids = reference.encode_file(path, path.with_name("ids"))
    result: dict[str, Any] = {
        "block": block,
        "parts": len(parts),
        "bytes_a_token": path.stat().st_size / len(ids),
        "packed_word": len(exact.packed) / len(words),
        "last_merge": int(np.count_nonzero(np.asarray(ids) == 255 + len(reference.merges))),
        "rows": [],
    }
    for max_words in (200_000, 100_000, 50_000):
        levels = list(reduce_tree(parts, max_words))
        pruned = levels[-1][0]
        kept = occurrences(pruned.packed)
        missed = max(count - kept.get(word, 0) for word, count in words.items())
        total = sum(words.values())
        assert missed <= pruned.missed <= len(levels) * total / (max_words + 1)
        row = {
            "how": f"pruned to {max_words:,}",
            "max_words": max_words,
            "distinct": len(kept),
            "dropped": pruned.dropped / total,
            "largest": missed,
            "missed": pruned.missed,
            "bound": len(levels) * total / (max_words + 1),
            "comparison": compare(reference, train(pruned), held_out),
        }
        assert row["comparison"].tokens < 1.01  # "matter little" in the page
        result["rows"].append(row)
    for step in (2, 10, 50):
        sample = merge_counts(parts[::step])
        row = {
            "how": f"{len(parts[::step])} of {len(parts)} parts",
            "distinct": number_of_words(sample),
            "comparison": compare(reference, train(sample), held_out),
        }
        result["rows"].append(row)
    return result


def simulate(path: Path, counts: _bpe.WordCounts, folder: Path) -> dict[str, Any]:
    """The whole reduction on a text of unbounded vocabulary, here and on Dask."""
    block = 1 << 24
    whole = counts.pack()
    parts = count_blocks(path, block)
    seconds, levels = cpu_seconds(lambda: list(reduce_tree(parts, None)))
    merged = sum(number_of_words(part) for level in levels[:-1] for part in level)
    assert levels[-1][0].packed == whole
    from_dask, wall, sent = on_dask(path, block)
    assert from_dask == PretokenCounts(whole)
    result: dict[str, Any] = {
        "block": block,
        "bytes": path.stat().st_size,
        "levels": [
            (
                len(level),
                sum(number_of_words(part) for part in level),
                sum(len(part.packed) for part in level),
            )
            for level in levels
        ],
        "merge_s": seconds / merged,
        "dask_s": wall,
        "dask_sent": sent,
        "total": counts.total(),
        "once": 1 - number_of_words(PretokenCounts(pruned_to_repeated(whole))) / len(counts),
        "pruned": [],
        "root": root_costs(levels[-1][0], folder),
    }
    for max_words in (1_000_000, 300_000, 100_000):
        pruned = list(reduce_tree(parts, max_words))
        top = pruned[-1][0]
        result["pruned"].append(
            {
                "max_words": max_words,
                "kept": number_of_words(top),
                "dropped": top.dropped / counts.total(),
                "missed": top.missed,
                "bound": len(pruned) * counts.total() / (max_words + 1),
                "sent": sum(len(part.packed) for level in pruned for part in level),
            }
        )
    return result


def pruned_to_repeated(packed: bytes) -> bytes:
    """The block without the words that occur once."""
    max_words = int.from_bytes(packed[4:12], "little") - 1
    block, largest, _ = _bpe.prune_packed(packed, max_words)
    assert largest == 1
    return block


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the generated text")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.root:
        measure_root(arguments.root)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments.gigabytes, Path(folder))
    text = page(found)
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
