"""The student edition: the notebooks with every solution replaced by a stub.

Solutions stand between nbgrader's markers, ``### BEGIN SOLUTION`` and ``### END SOLUTION``, and nbgrader removes
them. It is needed only for this (the extra ``teach``), not to study.
"""

from pathlib import Path
from typing import Any

import nbformat

from course_lib.errors import FormatError
from course_lib.files import PathLike, atomic_write, pip_command

BEGIN, END = "BEGIN SOLUTION", "END SOLUTION"
STUB = "# Your code here.\nraise NotImplementedError()"


def student_edition(notebooks: PathLike, target: PathLike) -> list[Path]:
    """Write each notebook of the folder ``notebooks`` into the folder ``target`` without solutions and outputs.

    Returns the files written. Nothing is overwritten: ``target`` may hold a student's work. Raises FileNotFoundError
    if there is no notebook, FileExistsError naming the first file that is already there, FormatError for files that
    are not notebooks or whose markers do not pair, and ImportError with the command to install nbgrader if it is
    missing.
    """
    sources = sorted(Path(notebooks).glob("*.ipynb"))
    if not sources:
        raise FileNotFoundError(f"{notebooks} holds no notebook")
    targets = [Path(target) / source.name for source in sources]
    for path in targets:
        if path.exists():
            raise FileExistsError(f"{path} is already there; give an empty folder")
    cleared = [clear_solutions(_read(source), source) for source in sources]
    Path(target).mkdir(parents=True, exist_ok=True)
    for path, notebook in zip(targets, cleared, strict=True):
        with atomic_write(path) as file:
            file.write((nbformat.writes(notebook, indent=1).rstrip("\n") + "\n").encode())
    return targets


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except OSError:
        raise
    except Exception as error:  # any of many types, none of which names the file
        reason = str(error).strip().split("\n")[0]
        raise FormatError(path, "", f"not a notebook: {reason[:200]}") from error
    return notebook


def clear_solutions(notebook: nbformat.NotebookNode, path: PathLike = "") -> nbformat.NotebookNode:
    """A copy of ``notebook`` without solutions and outputs. ``path`` is named in errors."""
    for cell in notebook.cells:
        if cell.source.count(BEGIN) != cell.source.count(END):
            raise FormatError(
                path, f"cell {cell.get('id', '')}", "### BEGIN and ### END SOLUTION do not pair"
            )
    clear, clear_output = _preprocessors()
    resources: dict[str, Any] = {}
    try:
        notebook, resources = clear.preprocess(nbformat.from_dict(notebook), resources)
    except RuntimeError as error:
        raise FormatError(path, "", str(error)) from None
    cleared: nbformat.NotebookNode = clear_output.preprocess(notebook, resources)[0]
    return cleared


def _preprocessors() -> tuple[Any, Any]:
    try:
        from nbgrader.preprocessors import ClearOutput, ClearSolutions
    except ImportError:
        raise ImportError(f"the student edition needs nbgrader; try: {pip_command('nbgrader')}") from None
    # The notebooks carry no nbgrader metadata: they are not graded by it.
    clear = ClearSolutions(enforce_metadata=False, code_stub={"python": STUB})
    return clear, ClearOutput()
