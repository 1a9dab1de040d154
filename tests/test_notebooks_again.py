"""Rerunning a chapter's cells after the last one, from the end to the beginning, gives the same results."""

import re
from pathlib import Path

import nbformat
import pytest

from tests.notebook_rules import Chapter
from tests.notebook_runs import Cell, errors, printed, run

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def words(outputs: list[Cell]) -> str:
    """The text of a cell's outputs without numbers, since some are times."""
    return re.sub(r"[-+]?\d[\d.,e+-]*|\s+", " ", printed(outputs))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem.startswith("00") else pytest.mark.weekly)
        for path in NOTEBOOKS
    ],
)
def test_every_cell_runs_again_and_says_the_same(path: Path) -> None:
    sources = [cell.source for cell in Chapter.read(path).code]
    outputs = run([*sources, *reversed(sources)])
    for source, first, again in zip(sources, outputs, reversed(outputs), strict=False):
        assert errors(first) == errors(again) == [], source
        assert words(first) == words(again), source


def test_progress_bars_do_not_count() -> None:
    shown = [
        "bootstrap:   0%|          | 0/60 [00:00<?, ?fit/s]",
        "  training: 100%|██████████| 1,200/1,200 [00:01<00:00, 2.1MB/s]",
        "a table | 5 % | 3/4",
    ]
    outputs = [nbformat.v4.new_output("display_data", data={"text/plain": text}) for text in shown]
    assert printed(outputs) == shown[2]
