"""Running some of a chapter's cells, with changes, in a separate kernel."""

import ast
import os
import re
from collections.abc import Iterator, Sequence

import nbformat
from nbclient import NotebookClient

from tests.notebook_rules import Chapter, syntax
from tests.notebook_state import global_names

Cell = nbformat.NotebookNode


def dependent_cells(chapter: Chapter, name: str) -> list[Cell]:
    """The code cells that ``name`` influences, and the cells that they need, in order."""
    cells = chapter.code
    names = [global_names(cell.source) for cell in cells]
    influenced, chosen = {name}, set()
    for index, cell in enumerate(cells):
        for statement in syntax(cell.source).body:
            reads, bound = global_names(ast.unparse(statement))
            if (reads | bound.keys()) & influenced:
                chosen.add(index)
                influenced |= {made for made, origin in bound.items() if origin == ""}
                influenced |= set(_handed_over(statement, influenced))
    for index in reversed(range(len(cells))):
        needed = set[str]().union(*(names[later][0] for later in chosen if later > index))
        if names[index][1].keys() & needed:
            chosen.add(index)
    return [cells[index] for index in sorted(chosen)]


def _handed_over(statement: ast.stmt, names: set[str]) -> Iterator[str]:
    """Arguments that a method of one of ``names`` may change: ``corpus`` in ``text.save(corpus)``."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and ast.unparse(node.func).partition(".")[0] in names:
            yield from (argument.id for argument in node.args if isinstance(argument, ast.Name))


def run(sources: Sequence[str], *, timeout: int = 300) -> list[list[Cell]]:
    """Run code cells in a fresh kernel, also after one has failed, and return the outputs of each."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    environment = {name: value for name, value in os.environ.items() if name != "COURSE_SCALE"}
    client = NotebookClient(notebook, kernel_name="python3", timeout=timeout, allow_errors=True)
    client.execute(env=environment)
    return [list(cell.outputs) for cell in notebook.cells]


def errors(outputs: Sequence[Cell]) -> list[str]:
    """The exceptions that ended a cell, as a reader sees them."""
    return ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]


def printed(outputs: Sequence[Cell]) -> str:
    """The text of a cell's outputs, without progress bars, which a fast machine does not show."""
    return "".join(text for output in outputs if not _BAR.search(text := _text(output)))


# "training:  40%|████      | 2/5 [00:01<00:02, 2.1run/s]": a widget's text; without a widget, bars go to stderr.
_BAR = re.compile(r"\d+%\|.*\| *[\d.,]+\w*/[\d.,]+\w* \[")


def _text(output: Cell) -> str:
    if output.output_type == "error" or output.get("name") == "stderr":
        return ""
    return str(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
