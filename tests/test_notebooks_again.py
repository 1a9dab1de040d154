"""Rerunning a chapter's cells after the last one, from the end to the beginning, gives the same results."""

import re
from pathlib import Path

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
