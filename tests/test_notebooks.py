"""What every committed notebook keeps to, so that it reads well, runs anywhere and can be reviewed."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
ALLOWED = {"course_lib", "numpy", "torch", "matplotlib", "pandas", "IPython"}


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_is_a_first_chapter() -> None:
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_is_valid_and_names_its_cells(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        ids = [cell.id for cell in notebook.cells]
        assert len(set(ids)) == len(ids)
        assert [i for i in ids if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", i)] == []
        assert all("slide_type" in cell.metadata.get("slideshow", {}) for cell in notebook.cells)

    def test_has_no_outputs(self, path: Path) -> None:
        for cell in code_cells(path):
            assert cell.outputs == []
            assert cell.execution_count is None

    def test_cells_are_short_and_install_nothing(self, path: Path) -> None:
        for cell in code_cells(path):
            assert len([line for line in cell.source.splitlines() if line.strip()]) <= 25, cell.id
            assert not re.search(r"pip install|^\s*[!%]", cell.source, flags=re.MULTILINE), cell.id

    def test_checks_what_it_claims(self, path: Path) -> None:
        assert any("assert " in cell.source for cell in code_cells(path))

    def test_imports_only_what_the_course_is_about(self, path: Path) -> None:
        import sys

        for cell in code_cells(path):
            for node in ast.walk(ast.parse(cell.source)):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                for name in names:
                    top = name.partition(".")[0]
                    assert top in ALLOWED or top in sys.stdlib_module_names, (cell.id, name)
                    assert not any(part.startswith("_") for part in name.split(".")), (cell.id, name)


def test_no_function_is_defined_twice() -> None:
    seen: dict[str, Path] = {}
    for path in NOTEBOOKS:
        for cell in code_cells(path):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    assert node.name not in seen, f"{node.name} in {path.name} and {seen[node.name].name}"
                    seen[node.name] = path
