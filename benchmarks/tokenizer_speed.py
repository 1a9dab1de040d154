"""Tokenizer training and encoding compared with other packages, in CPU seconds.

    python benchmarks/tokenizer_speed.py [--text FILE] [--stories MB] [--repeats 5] [--job train|encode|threads]

Every measurement is a fresh process on one processor; the packages take turns, so that a shared machine or a change of
its speed affects all alike. The output has medians, and each package's ratio to ours from the same turns. Files and
tokenizers are loaded before the clock starts; "first" is the first pass over the text (all caches empty), "again" the
median of the later passes in the same process. The "threads" job measures wall time with one and two threads
and needs a quiet machine. Results go to benchmarks/results/ as JSON. Packages that are not installed are left out.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tables import show

from course_lib.chapters.ch01_tokenizer.experiments.peers import JOBS, installed
from course_lib.data import SEPARATOR, write_stories
from course_lib.lab.measure import cpu_seconds

PASSES = 4  # over the text in one process: one first, the others again
RESULTS = Path(__file__).parent / "results"


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of one call."""
    started = time.perf_counter()
    cpu, _ = cpu_seconds(work)
    return cpu, time.perf_counter() - started


# A long text would take these minutes without saying more.
SLOW = {("encode", "tiktoken"), ("encode", "tokenizers"), ("train", "tokenizers"), ("train", "rustbpe")}
SLOW_LIMIT = 25e6


def worker(job: str, package: str, path: Path, argument: str) -> None:
    """Measure one package in this process and print the result as JSON."""
    work = JOBS[job][package](path, argument)
    passes = [timed(work) for _ in range(PASSES if job == "encode" else 1)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps({"cpu": [cpu for cpu, _ in passes], "wall": [wall for _, wall in passes], "peak_mb": peak})
    )


def run_worker(job: str, package: str, path: Path, argument: str, cpus: set[int]) -> dict[str, list[float]]:
    """One fresh process, bound to ``cpus``."""
    command = [sys.executable, __file__, "--worker", job, package, str(path), argument]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=lambda: os.sched_setaffinity(0, cpus)
    )
    if done.returncode:
        raise RuntimeError(f"{job} with {package} failed:\n{done.stderr}")
    result: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(job: str, path: Path, argument: str, repeats: int) -> list[dict[str, object]]:
    """All packages in turn, ``repeats`` times; one row per package."""
    packages = [
        package
        for package in installed(job)
        if not ((job, package) in SLOW and path.stat().st_size > SLOW_LIMIT)
    ]
    cpu = {min(os.sched_getaffinity(0))}
    turns = [{p: run_worker(job, p, path, argument, cpu) for p in packages} for _ in range(repeats)]
    megabytes = path.stat().st_size / 1e6
    rows = []
    for package in packages:
        first = [turn[package]["cpu"][0] for turn in turns]
        row: dict[str, object] = {
            "job": job,
            "text": path.name,
            "MB": round(megabytes, 1),
            "argument": argument,
            "package": f"{package} {importlib.metadata.version(package.replace('_', '-'))}",
            "first_cpu_s": statistics.median(first),
            "first_MB_per_cpu_s": megabytes / statistics.median(first),
            "ratio_to_ours": statistics.median(
                turn[package]["cpu"][0] / turn["course_lib"]["cpu"][0] for turn in turns
            ),
            "peak_mb": statistics.median(turn[package]["peak_mb"] for turn in turns),  # type: ignore[type-var]
        }
        if job == "encode":
            again = [statistics.median(turn[package]["cpu"][1:]) for turn in turns]
            row["again_MB_per_cpu_s"] = megabytes / statistics.median(again)
            row["again_ratio_to_ours"] = statistics.median(
                statistics.median(turn[package]["cpu"][1:]) / statistics.median(turn["course_lib"]["cpu"][1:])
                for turn in turns
            )
        rows.append(row)
    return rows


def thread_scaling(path: Path, repeats: int) -> list[dict[str, object]]:
    """Wall seconds of counting, merging and file encoding with one and two threads, taken in turn."""
    from course_lib import _bpe
    from course_lib.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_pretrained("gpt2")
    rows = []
    seconds: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for threads in (1, 2):
                counts = _bpe.WordCounts("gpt2", [SEPARATOR])
                counts.add_file(str(path), num_threads=threads, progress=None)
                _, phases = _bpe.train(counts, 10_000, num_threads=threads, progress=None)
                for phase, (wall, _) in phases.items():
                    seconds.setdefault((phase, threads), []).append(wall)
                _, wall = timed(
                    lambda threads=threads: [
                        None
                        for _ in _bpe.FileEncoder(
                            tokenizer._engine, str(path), num_threads=threads, progress=None
                        )
                    ]
                )
                seconds.setdefault(("encoding", threads), []).append(wall)
                _, wall = timed(
                    lambda threads=threads: tokenizer.encode_file(
                        path, Path(folder) / "t", num_threads=threads
                    )
                )
                seconds.setdefault(("encoding into a file", threads), []).append(wall)
    for phase in dict.fromkeys(name for name, _ in seconds):
        one, two = (statistics.median(seconds[phase, threads]) for threads in (1, 2))
        rows.append(
            {"phase": phase, "text": path.name, "one_thread_s": one, "two_threads_s": two, "gain": one / two}
        )
    return rows


def story_file(megabytes: int, folder: Path) -> Path:
    """A file of generated English stories, kept for the next run."""
    path = folder / f"stories_{megabytes}mb.txt"
    if not path.exists():
        print(f"generating {path} …", file=sys.stderr)
        write_stories(path, megabytes * 1_000_000, seed=0, language="en")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, action="append", default=[], help="a text file; may be repeated")
    parser.add_argument("--stories", type=int, action="append", default=[], help="MB of generated stories")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--job", choices=["train", "encode", "threads"], action="append")
    parser.add_argument(
        "--vocabulary", action="append", help="for encoding: gpt2 (default), cl100k_base, o200k_base"
    )
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        job, package, path, argument = arguments.worker
        worker(job, package, Path(path), argument)
        return
    RESULTS.mkdir(exist_ok=True)
    stories = [
        story_file(megabytes, RESULTS) for megabytes in arguments.stories or ([] if arguments.text else [10])
    ]
    everything: list[dict[str, object]] = []
    for job in arguments.job or ["train", "encode"]:
        rows: list[dict[str, object]] = []
        for path in (*arguments.text, *stories):
            if job == "train":
                rows += compare(job, path, "10000" if path in stories else "32000", arguments.repeats)
            elif job == "encode":
                for vocabulary in arguments.vocabulary or ["gpt2"]:
                    rows += compare(job, path, vocabulary, arguments.repeats)
            else:
                rows += thread_scaling(path, arguments.repeats)
        show(rows)
        everything += rows
    machine = {
        "machine": platform.platform(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }
    (RESULTS / "tokenizer_speed.json").write_text(json.dumps({**machine, "rows": everything}, indent=2))


if __name__ == "__main__":
    main()
