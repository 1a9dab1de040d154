"""Tokenizer training and encoding compared with other packages: time, memory, and whether the results are the same.

    python benchmarks/tokenizer_speed.py            measure everything: about 20 minutes on a quiet machine
    python benchmarks/tokenizer_speed.py --readme   README's tables and picture from what was measured last
    python benchmarks/tokenizer_speed.py --quick    every job on a small text, once: shows that it runs, nothing else

Options: --text FILE (documents with <|endoftext|> between them; instead of the default texts), --job, --vocabulary and
--package (may be repeated), --megabytes and --repeats.

*How.* Every measurement is a fresh process on as many processors as it may use threads (tokenizer_worker.py); the
packages take turns, so that a busy machine slows all alike. A figure is the median over the turns, a ratio the median
of the ratios to course_lib in the same turn. Packages use their own fastest calls (tokenizer_peers.py). Those that
are not installed are left out: `pip install -e '.[bench]'`.

*Jobs.* "train": a vocabulary of 10,000 tokens (32,000 for --text) with GPT-2's pattern. "encode": a whole text on one
thread, into ids in memory. "batch": the documents as a list, "file": a file, both also on two threads. "short":
distinct strings of 24 tokens, one call each, into a list and into a NumPy array. The first pass is over a text that the
caches have not seen (some know the vocabulary's words); later ones in the same process ("again") find it in them.

*Not measured:* importing packages, loading vocabularies and texts, the UTF-8 form of a str, which Python makes when a
package first asks for it, decoding, writing ids to a disk. Hugging Face's tokenizers encodes the first eighth of a
text: all of it would take minutes. In "batch", course_lib, gigatoken, fastokens, tuetoken, quicktok-v1 and splintr-rs
make one flat array, the others a list or an object for each document.

*Checked while measuring:* the ids of every encoding are those of course_lib, which its tests compare with tiktoken;
else "same" is false. In training, packages break ties and cut lines differently: "shared" is the share of a package's
tokens that course_lib has learned too, and "same" says that all came in the same order.

Results go to benchmarks/results/tokenizer_speed.json.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tokenizer_report
from tables import show
from tokenizer_peers import ALL, PEERS, Peer
from tokenizer_texts import (
    Corpus,
    Vocabulary,
    head,
    write_short_strings,
    write_texts,
    write_vocabulary,
)
from tokenizer_worker import Task, digest

from course_lib.files import atomic_write

WORKER = str(Path(__file__).with_name("tokenizer_worker.py"))
JOBS = ("train", "encode", "batch", "file", "short")
# Every combination would take an hour: these vocabularies only where they add something, unless asked for.
PART_OF_TEXTS = {"cl100k_base": ("English", "code"), "deepseek": ("English", "Chinese")}
IN_DETAIL = ("gpt2", "o200k_base")
SHORT_STRINGS = 5_000


def in_fresh_process(task: Task, peer: Peer, folder: Path) -> dict[str, Any]:
    """Run :func:`tokenizer_worker.measure` there."""
    request = json.dumps({"task": asdict(task), "peer": peer.name, "folder": str(folder)})
    # The threads of NumPy's OpenBLAS spin for a while after its import: up to 15 ms of CPU time, as much as training on
    # a small text takes, which would count as the package's.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, WORKER, request], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{task} with {peer.name} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@cache
def expected_digest(path: str, form: str, vocabulary: str, folder: Path) -> str:
    """Of the ids that course_lib gives to a corpus: as one text, document by document, or string by string."""
    from course_lib.tokenizer import Tokenizer

    corpus = Corpus(Path(path))
    parts = {"text": lambda: [corpus.text], "short": lambda: corpus.short_strings}.get(
        form, lambda: corpus.documents
    )()
    tokenizer = Tokenizer.load(Vocabulary(vocabulary, folder).json)
    return digest(np.concatenate([np.array(tokenizer.encode_ordinary(part), np.uint32) for part in parts]))


def compare(task: Task, folder: Path, repeats: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """All packages in turn, ``repeats`` times; one row per package, ours first."""
    peers = task.peers(names)
    tasks = {
        peer.name: replace(task, path=str(head(Path(task.path), peer.share)))
        if peer.share < 1 and task.job in ("encode", "batch")
        else task
        for peer in peers
    }
    turns = [
        {peer.name: in_fresh_process(tasks[peer.name], peer, folder) for peer in peers}
        for _ in range(repeats)
    ]
    rows = []
    for peer in peers:
        own = tasks[peer.name]
        size = amount(own)
        row: dict[str, Any] = {
            "job": f"short, {task.form}" if task.form else task.job,
            "text": task.text,
            "size": size,
            "unit": "strings" if task.job == "short" else "MB",
            "argument": task.argument,
            "threads": task.threads,
            "package": peer.name,
            "version": importlib.metadata.version(peer.name),
        }
        for clock in ("cpu", "wall"):
            row[clock] = timing(turns, peer.name, clock, size / amount(task))
        row["peak_mb"] = statistics.median(turn[peer.name]["peak_mb"] for turn in turns)
        rows.append(row | agreement(own, peer, turns, folder))
    return rows


def amount(task: Task) -> float:
    """Megabytes of text, or the number of short strings."""
    corpus = Corpus(Path(task.path))
    return len(corpus.short_strings) if task.job == "short" else corpus.megabytes


def timing(turns: Sequence[dict[str, Any]], name: str, clock: str, share: float) -> dict[str, float]:
    """Medians over the turns of the first and the later passes, and of their ratios to ours for as much text."""

    def first(turn: dict[str, Any], package: str) -> float:
        return turn[package][clock][0]

    def again(turn: dict[str, Any], package: str) -> float:
        return statistics.median(turn[package][clock][1:])

    passes = {"first": first, "again": again} if len(turns[0][name][clock]) > 1 else {"first": first}
    found = {}
    for label, seconds in passes.items():
        found[f"{label}_s"] = statistics.median(seconds(turn, name) for turn in turns)
        found[f"{label}_ratio"] = statistics.median(
            max(seconds(turn, name), 1e-9) / share / max(seconds(turn, "course_lib"), 1e-9) for turn in turns
        )
    return found


def agreement(task: Task, peer: Peer, turns: Sequence[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Whether every pass of every turn gave our ids, or training our tokens."""
    if task.job == "train":
        mine = [turn["course_lib"]["tokens"] for turn in turns]
        theirs = [turn[peer.name]["tokens"] for turn in turns]
        one, other = set(mine[0]), set(theirs[0])
        shared = len(one & other) / max(1, len(other))
        return {"same": all(tokens == mine[0] for tokens in theirs), "shared": shared}
    form = {"encode": peer.form, "short": "short"}.get(task.job, "documents")
    wanted = [expected_digest(task.path, form, task.argument, folder)]
    return {"same": all(turn[peer.name]["digests"] == wanted for turn in turns)}


def plan(texts: dict[str, Path], folder: Path, options: argparse.Namespace) -> Iterator[Task]:
    """The tasks, in the order in which they are measured."""
    jobs = options.job or JOBS
    size = "32000" if options.text else "300" if options.quick else "10000"
    for threads in (1, 2):
        for text, path in texts.items():
            if "train" in jobs and (threads == 1 or text in ("English", "stories") or options.text):
                yield Task("train", text, str(path), size, threads)
    for vocabulary in options.vocabulary or ALL:
        wanted = texts if options.vocabulary or options.text else PART_OF_TEXTS.get(vocabulary, texts)
        for text in wanted:
            if "encode" in jobs:
                yield Task("encode", text, str(texts[text]), vocabulary)
    for vocabulary in options.vocabulary or IN_DETAIL:
        for text in [name for name in texts if name in ("Chinese", "stories")] or texts:
            # DeepSeek's vocabulary has no special token <|endoftext|>, at which a file could be cut.
            for job in ("batch",) if vocabulary == "deepseek" else ("batch", "file"):
                for threads in (1, 2) if job in jobs else ():
                    yield Task(job, text, str(texts[text]), vocabulary, threads)
        if "short" in jobs:
            name = next(iter(texts))
            strings = folder / f"{name}.strings"
            if not strings.exists():
                write_short_strings(texts[name], strings, 100 if options.quick else SHORT_STRINGS)
            for form in ("list", "NumPy"):
                yield Task("short", name, str(strings), vocabulary, form=form)


def summary(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows of one task."""
    shown = []
    for row in rows:
        clock = row["wall"] if row["threads"] > 1 else row["cpu"]
        line = {key: row[key] for key in ("job", "text", "argument", "threads", "package", "version")}
        for label in ("first", "again"):
            seconds = clock.get(f"{label}_s")
            line |= {
                f"{label}, {row['unit']}/s": row["size"] / max(seconds, 1e-9) if seconds is not None else "",
                f"{label}, times ours": clock.get(f"{label}_ratio", ""),
            }
        shown.append(line | {"same": row["same"], "shared": row.get("shared", ""), "peak MB": row["peak_mb"]})
    show(shown)


def save(path: Path, rows: Sequence[dict[str, Any]], repeats: int) -> None:
    """Write the results, with three or more significant digits."""
    found = json.loads(
        json.dumps({"machine": machine(), "repeats": repeats, "rows": rows}), parse_float=rounded
    )
    lines = ",\n".join(json.dumps(row) for row in found.pop("rows"))
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as file:
        file.write(f'{json.dumps(found)[:-1]}, "rows": [\n{lines}\n]}}\n'.encode())


def rounded(number: str) -> float:
    return float(f"{float(number):.5g}")


def machine() -> dict[str, Any]:
    """The circumstances of a run."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return {
        "processor": models[0] if models else platform.processor(),
        "vectors": "AVX-512" if "avx512bw" in flags else "AVX2" if "avx2" in flags else "",
        "processors": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, action="append", default=[])
    parser.add_argument("--job", choices=JOBS, action="append")
    parser.add_argument("--vocabulary", choices=ALL, action="append")
    parser.add_argument("--package", choices=[peer.name for peer in PEERS], action="append", default=[])
    parser.add_argument("--megabytes", type=float, default=3.0, help="of each default text")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=tokenizer_report.RESULTS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    if options.readme:
        tokenizer_report.write(options.out)
        return
    if options.quick:
        options.megabytes, options.repeats = 0.02, 1
        options.vocabulary = options.vocabulary or ["gpt2"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = {path.stem: path.resolve() for path in options.text} or write_texts(folder, options.megabytes)
        if options.quick:
            texts = dict([*texts.items()][:1])
        for vocabulary in {"gpt2", *(options.vocabulary or ALL)}:  # gpt2 counts the tokens of short strings
            write_vocabulary(vocabulary, folder)
        rows: list[dict[str, Any]] = []
        for task in plan(texts, folder, options):
            rows += (found := compare(task, folder, options.repeats, options.package))
            summary(found)
            save(options.out, rows, options.repeats)  # after each, so that a failure loses nothing


if __name__ == "__main__":
    main()
