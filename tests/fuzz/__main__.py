"""Fuzzing: the engine with libFuzzer and sanitizers, with and without vector instructions; patterns; damaged files.

    python -m tests.fuzz                                # 8 seconds each; CI gives each a minute
    python -m tests.fuzz --seconds 3600 encode train    # these targets, an hour each

Needs Clang with libFuzzer. What a target found useful is kept in build/PRESET/corpus for the next time. An input that
fails is kept in build/PRESET; fix the fault and add the input to tests/fuzz/cases/TARGET, which every run starts from.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from course_lib.tokenizer import PATTERNS
from tests.fuzz import expressions, files

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PRESETS = ("fuzz", "fuzz-portable")
TARGETS = sorted(path.stem for path in HERE.glob("*.cpp"))
MAX_LENGTH = 600  # the references take time that grows with the square of the length


def build(preset: str) -> None:
    """Configure and build the targets of a preset."""
    quiet = subprocess.DEVNULL
    subprocess.run(["cmake", "--preset", preset], cwd=ROOT, check=True, stdout=quiet)
    subprocess.run(
        ["cmake", "--build", "--preset", preset, "--parallel", "2"], cwd=ROOT, check=True, stdout=quiet
    )


def run(preset: str, target: str, seconds: int) -> bool:
    """Run one target; print a line with what it did, and after a failure the end of its output."""
    folder = ROOT / "build" / preset
    corpus = folder / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    patterns = folder / "patterns.txt"
    command = [
        str(folder / f"fuzz_{target}"),
        *(f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}", "-print_final_stats=1", "-timeout=20"),
        *(f"-dict={HERE / 'dictionary.txt'}", f"-artifact_prefix={folder}/{target}-"),
        *map(str, (corpus, HERE / "cases" / target)),
    ]
    start = time.monotonic()
    environment = {**os.environ, "COURSE_PATTERNS": str(patterns)}
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    executed = re.search(r"number_of_executed_units: *(\d+)", process.stderr)
    count = f"{int(executed[1]):,} inputs" if executed else "no end"
    ok = process.returncode == 0
    print(
        f"{preset:14} {target:12} {count:>20} in {time.monotonic() - start:.0f} s{'' if ok else '  FAILED'}",
        flush=True,
    )
    if not ok:
        print(process.stderr[-4000:], flush=True)
    return ok


def main() -> int:
    """Build, run everything asked for, and say whether all held."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument(
        "targets",
        nargs="*",
        choices=[[], *TARGETS, "expressions", "files"],
        metavar="TARGET",
        help="by default all",
    )
    parser.add_argument("--seconds", type=int, default=8, help="for each target and preset (%(default)s)")
    parser.add_argument(
        "--first", type=int, default=0, help="the first seed of patterns and damaged files (%(default)s)"
    )
    options = parser.parse_args()
    wanted = options.targets or [*TARGETS, "expressions", "files"]
    ok = True
    if programs := [target for target in wanted if target in TARGETS]:
        for preset in PRESETS:
            build(preset)
            lines = [f"{name}\t{expression}\n" for name, expression in PATTERNS.items()]
            (ROOT / "build" / preset / "patterns.txt").write_text("".join(lines), encoding="utf-8")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = [(preset, target) for target in programs for preset in PRESETS]
            ok = all(list(pool.map(lambda what: run(*what, options.seconds), runs)))
    if "expressions" in wanted:
        tried, accepted = expressions.run(seconds=options.seconds, first=options.first)
        print(f"{'expressions':27} {tried:>13,} inputs, {accepted:,} of them compared")
    if "files" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            tried, accepted = files.run(Path(folder), seconds=options.seconds, first=options.first)
        print(f"{'files':27} {tried:>13,} inputs, {accepted:,} of them read")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
