"""The distance of each numeric assertion of notebooks and tests from its bound, over machines and seeds.

    make margins ARGS="record OUT.jsonl --seed 1 --threads 2 02 05"             two chapters
    make margins CPU=avx2 ARGS="record OUT.jsonl tests/optim tests/test_loss.py"  tests, capped
    make margins ARGS="table OUT.jsonl [MORE.jsonl ...] [--below 2]"

A margin is the distance of an assertion's mean value from its bound, in units of the farthest that any run came from
that mean towards the bound. Below 1 a run has failed; below 2 a machine that was not tried may well fail. For
comparisons with a tolerance it is the tolerance over the largest difference seen.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient

from tests.margins.recorder import Instrument

ROOT = Path(__file__).parents[2]


def record(options: argparse.Namespace) -> None:
    """Run chapters or tests once and append what their asserts compared."""
    cpu = os.environ.get("COURSE_CPU_CAPABILITY", "native")
    run = {"cpu": cpu, "seed": options.seed, "threads": options.threads}
    os.environ.update(COURSE_MARGINS_FILE=str(options.out.resolve()))
    os.environ.update(COURSE_MARGINS_RUN=json.dumps(run), PYTHONPATH=str(ROOT))
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(options.threads)))
    chapters = [name for name in options.what if name.isdigit()]
    paths = [name for name in options.what if not name.isdigit()]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if path.name[:2] in chapters:
            _record_notebook(path)
    if paths:
        with (
            tempfile.TemporaryDirectory() as folder
        ):  # pytest keeps rewritten modules: not where others find them
            environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "CI": "true"}
            command = [sys.executable, "-m", "pytest", "-p", "tests.margins.plugin", "-q", *paths]
            subprocess.run(command, cwd=ROOT, env=environment, check=False)


def _record_notebook(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "assert " in cell.source:
            tree = Instrument(f"{path.name[:2]} {cell.id}", keep_going=True).visit(ast.parse(cell.source))
            cell.source = ast.unparse(tree)
    start = (
        "import json, os, pathlib\nfrom tests.margins.recorder import Recorder, shift_seeds\n"
        "run = json.loads(os.environ['COURSE_MARGINS_RUN'])\n"
        "Recorder(pathlib.Path(os.environ['COURSE_MARGINS_FILE']), run).install()\n"
        "shift_seeds(1000 * run['seed'])\ndel run"
    )
    notebook.cells.insert(0, nbformat.v4.new_code_cell(start))
    client = NotebookClient(
        notebook, timeout=900, allow_errors=True, resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                print(f"{path.name} {cell.id}: {output.ename}: {output.evalue}"[:300], flush=True)


def table(options: argparse.Namespace) -> None:
    """Print the assertions by margin, the smallest first, with the values seen."""
    records = [
        json.loads(line) for path in options.files for line in path.read_text(encoding="utf-8").splitlines()
    ]
    for failure in (r for r in records if r.get("holds") is False):
        run = f"{failure['cpu']}, seed {failure['seed']}, {failure['threads']} thread(s)"
        print(f"FAILS  {run}: {failure['where']}: {failure['text'][:160]} {failure['error']}")
    rows = sorted(_margins(records), key=lambda row: row[0])
    print(
        f"{len(rows)} numeric assertions; {sum(row[0] < options.below for row in rows)} below {options.below:g}"
    )
    print("margin  runs  where  |  assertion  |  left side, right side: smallest to largest")
    for margin, runs, where, text, values in rows:
        if margin < options.below:
            print(f"{margin:6.2f}  {runs:4}  {where}  |  {text[:150]}  |  {values}")


def _margins(records: list[dict[str, Any]]) -> Iterator[tuple[float, int, str, str, str]]:
    """(margin, number of runs, place, text, values) of each assertion: its worst element, over all runs."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for item in records:
        if "slack" in item or "used" in item:
            groups[item.get("test", ""), item["where"], item["text"], item["index"]].append(item)
    for (_, where, text, _), items in groups.items():
        runs = {(item["cpu"], item["seed"], item["threads"]) for item in items}
        if "used" in items[0]:
            worst = max(item["used"] for item in items)
            yield 1 / worst if worst else np.inf, len(runs), where, text, f"{worst:.2g} of the tolerance"
            continue
        elements: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for item in items:
            elements[item["call"]].append(item)
        margin = min(max(map(_margin, _slacks(element))) for element in elements.values())
        sides = [[item[side] for item in items] for side in ("left", "right")]
        values = ", ".join(f"{min(side):.4g}…{max(side):.4g}" for side in sides)
        yield margin, len(runs), where, text, values


def _slacks(items: list[dict[str, Any]]) -> Iterator[np.ndarray[Any, np.dtype[np.float64]]]:
    """Distances from the bound: as differences and, where both sides are positive, as ratios, on a log scale.

    Seconds and norms vary in proportion to their size, losses do not: the scale that suits is the one that counts.
    """
    slacks, left, right = (np.array([item[name] for item in items]) for name in ("slack", "left", "right"))
    yield slacks
    if (left > 0).all() and (right > 0).all() and np.isfinite(left / right).all():
        yield np.sign(slacks) * np.abs(np.log(left / right))


def _margin(slacks: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    mean, worst = slacks.mean(), slacks.min()
    if not np.isfinite(mean) or mean - worst <= 1e-9 * abs(
        mean
    ):  # the same in every run, but for the order of a sum
        return np.inf if worst >= 0 else -np.inf
    return float(mean / (mean - worst))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.margins", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="run chapters (02 05) or test paths and append to a file")
    recording.add_argument("out", type=Path)
    recording.add_argument("what", nargs="+", metavar="CHAPTER|PATH")
    recording.add_argument("--seed", type=int, default=0, help="a thousand times this is added to every seed")
    recording.add_argument("--threads", type=int, default=1)
    recording.set_defaults(run=record)
    printing = commands.add_parser("table", help="margins over all runs of the files")
    printing.add_argument("files", nargs="+", type=Path)
    printing.add_argument("--below", type=float, default=2.0)
    printing.set_defaults(run=table)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
