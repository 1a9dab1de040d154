"""The exercises in the notebooks: solutions pass, stubs fail with a message, and the student edition has stubs."""

import ast
import inspect
from collections.abc import Sized
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from course_lib import exercises
from course_lib.errors import FormatError
from course_lib.exercises import EXERCISES, CheckError
from course_lib.exercises.edition import STUB, clear_solutions, student_edition
from tests.exercises.notebooks import NOTEBOOKS, Place, places

PLACES = [(path, place) for path in NOTEBOOKS for place in places(nbformat.read(path, as_version=4))]
each_exercise = pytest.mark.parametrize(
    ("path", "place"), PLACES, ids=[place.exercise_id for _, place in PLACES]
)


def function_of(notebook: nbformat.NotebookNode, place: Place) -> Any:
    """The names that the answer's cell defines after only the imports before it: exercises need no experiments."""
    namespace: dict[str, Any] = {}
    before = [cell for cell in notebook.cells[: place.answer] if cell.cell_type == "code"]
    statements = [statement for cell in before for statement in ast.parse(cell.source).body]
    imports = [statement for statement in statements if isinstance(statement, ast.Import | ast.ImportFrom)]
    exec(ast.unparse(ast.Module(imports, [])), namespace)
    exec(notebook.cells[place.answer].source, namespace)
    return namespace[place.function]


def test_every_exercise_stands_in_its_chapter_once() -> None:
    standing = [(place.exercise_id, int(path.name[:2])) for path, place in PLACES]
    chapters = {int(path.name[:2]) for path in NOTEBOOKS}
    assert sorted(standing) == sorted(
        (exercise.id, exercise.chapter) for exercise in EXERCISES.values() if exercise.chapter in chapters
    )


@each_exercise
def test_the_solution_passes(path: Path, place: Place) -> None:
    notebook = nbformat.read(path, as_version=4)
    passed = exercises.check(place.exercise_id, function_of(notebook, place))
    assert passed.cases >= 4


@each_exercise
def test_the_stub_fails_with_its_message(path: Path, place: Place) -> None:
    notebook = clear_solutions(nbformat.read(path, as_version=4))
    stub = function_of(notebook, place)
    with pytest.raises(CheckError, match=f"{place.function} is not written yet.*{place.exercise_id}"):
        exercises.check(place.exercise_id, stub)
    assert stub.__doc__, "the stub's docstring says what to write"


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the annotated type: a list is not a tuple, an int will do as a float."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is None:
        return isinstance(value, int | float if hint is float else hint)
    if not isinstance(value, origin):
        return False
    if origin is dict:
        return all(fits(key, inner[0]) and fits(item, inner[1]) for key, item in value.items())
    if origin is tuple and inner[-1] is not ...:
        return len(value) == len(inner) and all(map(fits, value, inner))
    return not isinstance(value, Sized) or all(fits(item, inner[0]) for item in value)


@each_exercise
def test_the_check_passes_what_the_answer_announces(path: Path, place: Place) -> None:
    answer = function_of(nbformat.read(path, as_version=4), place)
    if inspect.isclass(answer):
        return  # what is passed to its methods, the text of the exercise says
    hints = get_type_hints(answer)
    announced = [hints[name] for name in inspect.signature(answer).parameters]
    for case in EXERCISES[place.exercise_id].cases():
        assert [*map(fits, case.arguments, announced)] == [True] * len(announced), case.arguments


@each_exercise
def test_a_hint_follows(path: Path, place: Place) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert cells[place.answer - 1].cell_type == "markdown"
    assert cells[place.answer].metadata.get("tags") == ["solution"]
    assert cells[place.check + 1].source == f'exercises.hint("{place.exercise_id}")'


def test_the_student_edition_holds_no_solution(tmp_path: Path) -> None:
    written = student_edition(NOTEBOOKS[0].parent, tmp_path / "new" / "folder")
    assert [path.name for path in written] == [path.name for path in NOTEBOOKS]
    for source, path in zip(NOTEBOOKS, written, strict=True):
        original, notebook = (nbformat.read(file, as_version=4) for file in (source, path))
        nbformat.validate(notebook)
        answers = {place.answer for place in places(original)}
        for index, (before, after) in enumerate(zip(original.cells, notebook.cells, strict=True)):
            assert before.id == after.id
            if index in answers:
                blocks = (block.split("### END")[0] for block in before.source.split("BEGIN SOLUTION")[1:])
                solution = [line for block in blocks for line in block.splitlines()]
                assert solution
                assert not [line for line in solution if line.strip() and line in after.source], after.id
                assert STUB.splitlines()[-1] in after.source
                assert "SOLUTION" not in after.source
            else:
                assert before.source == after.source
            assert after.cell_type != "code" or (after.outputs, after.execution_count) == ([], None)


def test_the_student_edition_runs_up_to_the_first_check(tmp_path: Path) -> None:
    path = student_edition(NOTEBOOKS[0].parent, tmp_path)[0]
    notebook = nbformat.read(path, as_version=4)
    first = places(notebook)[0]
    with pytest.raises(CellExecutionError, match=f"{first.function} is not written yet"):
        NotebookClient(notebook, timeout=120).execute()
    counts = [cell.execution_count for cell in notebook.cells[: first.check + 1] if cell.cell_type == "code"]
    assert None not in counts
    (error,) = [output for output in notebook.cells[first.check].outputs if output.output_type == "error"]
    (shown,) = error.traceback  # no traceback through the library
    assert shown.split() == ["✗", *error.evalue.split()]


def test_a_students_work_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / NOTEBOOKS[0].name
    path.write_text("my work")
    with pytest.raises(FileExistsError, match=NOTEBOOKS[0].name):
        student_edition(NOTEBOOKS[0].parent, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [NOTEBOOKS[0].name]
    assert path.read_text() == "my work"


def test_a_folder_without_notebooks_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path.name} holds no notebook"):
        student_edition(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "source",
    [
        "### BEGIN SOLUTION\nx = 1",
        "x = 1\n### END SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION\n### END SOLUTION",
    ],
)
def test_markers_that_do_not_pair_are_an_error(tmp_path: Path, source: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    (tmp_path / "in").mkdir()
    nbformat.write(notebook, tmp_path / "in" / "broken.ipynb")
    with pytest.raises(FormatError, match=r"broken\.ipynb"):
        student_edition(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
