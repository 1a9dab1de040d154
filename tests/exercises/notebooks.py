"""Finding the exercises in the notebooks."""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
_CHECK = re.compile(r'^exercises\.check\("([^"]+)", (\w+)\)$', flags=re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """An exercise in a notebook: the index of the cell with the function or class, its name, that of the check."""

    exercise_id: str
    function: str
    answer: int
    check: int


def places(notebook: nbformat.NotebookNode) -> list[Place]:
    """The exercises of a notebook, in order. The answer is the last cell before the check that defines the function."""
    found = []
    for check, cell in enumerate(notebook.cells):
        for exercise_id, function in _CHECK.findall(cell.source) if cell.cell_type == "code" else ():
            answers = [
                index
                for index in range(check)
                if re.search(rf"^(def|class) {function}\b", notebook.cells[index].source, re.M)
            ]
            assert answers, f"{cell.id} checks {function}, which no cell before it defines"
            found.append(Place(exercise_id, function, answers[-1], check))
    return found
