"""A reader who goes back finds what was there: after the last cell of a chapter, all run again, from the end."""

import re
from pathlib import Path

import pytest

from tests.notebook_rules import Chapter
from tests.notebook_runs import Cell, errors, printed, run

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def words(outputs: list[Cell]) -> str:
    """What a cell said, without numbers: some are times."""
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
