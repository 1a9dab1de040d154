"""Habits of wording that a native reader stumbles over stay out of docstrings, comments, messages and documents."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

COUNTED = (
    "byte|kB|MB|operation|token|topic|row|line|dot|panel|curve|"
    "number|point|bar|column|word|worker|process|thread|file|run|step|second|vector|pair"
)
UNITS = (
    "byte|parameter|head|row|token|layer|seed|line|model|run|"
    "step|text|word|matrix|language|chapter|case|method|file|size|page"
)
HABITS = {
    rf"\b(?:a|one|two|three) (?:{COUNTED})s? an? (?:{UNITS})\b": 'write "per": one row per head',
    r"(?<!there )\b(?:is|are) no (?!longer|more|less|such|smaller|larger|better|worse)\w+": 'write "is not a …"',
    r"\b[Ww]hichever\b": 'write "any", or name the cases',
    r"\b(?:goes|go|went) on where\b": 'write "continues where"',
    r"\bas good as any\b|\bof anybody\b|\bfew hands\b": "write it plainly",
}
DOCSTRING = (r"\AWhat ", "name the thing: a docstring does not begin with “What”")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "benchmarks/terabytes.md"]


def pieces(path: Path) -> Iterator[tuple[int, str, bool]]:
    """The texts of a file: line, text, and whether it is a docstring."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from ((number, line, False) for number, line in enumerate(source.splitlines(), 1))
        return
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)  # type: ignore[attr-defined]
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and ast.get_docstring(node) is not None
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value, id(node) in docstrings
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False


def habits(path: Path) -> list[str]:
    found = []
    for line, text, is_docstring in pieces(path):
        flat = " ".join(text.split())
        rules = {**HABITS, **(dict([DOCSTRING]) if is_docstring else {})}
        for pattern, advice in rules.items():
            found += [f"{path.name}:{line}: {match[0]!r}: {advice}" for match in re.finditer(pattern, flat)]
    return found


FILES = [
    *(
        path
        for folder in ("course_lib", "csrc", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.[chp][py]*")
    ),
    *(ROOT / name for name in DOCUMENTS),
]


@pytest.mark.parametrize("folder", ["course_lib", "csrc", "benchmarks", "tests", "documents"])
def test_wording(folder: str) -> None:
    chosen = [
        path
        for path in FILES
        if path.suffix in {".py", ".cpp", ".hpp", ".md"}
        and path != Path(__file__)
        and (folder == "documents" if path.suffix == ".md" else path.relative_to(ROOT).parts[0] == folder)
    ]
    assert chosen
    assert [line for path in chosen for line in habits(path)] == []


def test_habits_are_found(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(
        '"""What it does."""\n# one row a head\n'
        'TEXT = "this is no file"\nMORE = "goes on where it was, whichever it was"\n'
    )
    assert len(habits(file)) == 5
    file.write_text('"""A file."""\n# one row per head; there is no file, and it is no longer here\n')
    assert habits(file) == []
