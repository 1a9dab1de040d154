"""The rules for notebooks: each is a function from a notebook to its complaints.

Chapter 0 is an introduction without experiments: it needs neither a recap nor numbered sections, and its further
reading is a sentence.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

from tests.exercises.notebooks import places

ALLOWED_IMPORTS = {"course_lib", "numpy", "torch", "matplotlib", "pandas", "IPython"}
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
CLOSING = ["Recap", "Exercises", "Further reading"]
MAX_LINES = 25

_HEADING = re.compile(r"^(#{1,6}) +(.*?) *$")
_FENCE = re.compile(r"^(```|~~~)")
_INSTALL = re.compile(r"\b(pip|conda|mamba|uv|apt(-get)?)3? +(\w+ +)?install\b|^\s*[!%]", flags=re.MULTILINE)
_MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|work|Users|content|mnt)/")


@dataclass
class Chapter:
    """A notebook; its file name begins with the number of its chapter, and a letter for a further part."""

    path: Path
    notebook: nbformat.NotebookNode

    @classmethod
    def read(cls, path: Path) -> "Chapter":
        """Read a notebook file whose name begins with ``NN_`` or, for a further part of a chapter, ``NNb_``."""
        return cls(path, nbformat.read(path, as_version=4))

    @property
    def number(self) -> int:
        return int(self.path.name[:2])

    @property
    def label(self) -> str:
        """Number and part: "1b" for ``01b_name.ipynb``."""
        return f"{self.number}{self.path.name[2:].partition('_')[0]}"

    @property
    def cells(self) -> list[nbformat.NotebookNode]:
        return list(self.notebook.cells)

    @property
    def code(self) -> list[nbformat.NotebookNode]:
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def headings(self) -> list[tuple[int, str, int]]:
        """(level, text, index of the cell) of every heading."""
        return [
            (len(match[1]), match[2], index)
            for index, cell in enumerate(self.cells)
            if cell.cell_type == "markdown"
            for line in prose_lines(cell.source)
            if (match := _HEADING.match(line))
        ]

    @property
    def sections(self) -> list[tuple[str, list[nbformat.NotebookNode]]]:
        """The ``##`` sections by title, with their cells."""
        starts = [(text, index) for level, text, index in self.headings if level == 2]
        ends = [index for _, index in starts[1:]] + [len(self.cells)]
        return [(text, self.cells[start:end]) for (text, start), end in zip(starts, ends, strict=True)]

    @property
    def scopes(self) -> Iterator[tuple[str, nbformat.NotebookNode]]:
        """Every code cell after the title of its ``##`` section; "" above the first."""
        titles = {index: text for level, text, index in self.headings if level == 2}
        title = ""
        for index, cell in enumerate(self.cells):
            title = titles.get(index, title)
            if cell.cell_type == "code":
                yield title, cell


def prose_lines(source: str) -> Iterator[str]:
    """The lines of a Markdown cell that are not in a code block."""
    fenced = False
    for line in source.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield line


def form(chapter: Chapter) -> Iterator[str]:
    """The file is valid, with stable cell ids and slide metadata, and without outputs or traces of a machine."""
    notebook = chapter.notebook
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    if set(notebook.metadata) - {"kernelspec", "language_info"} or set(
        notebook.metadata.get("language_info", {})
    ) - {"name"}:
        yield "the metadata holds more than kernel and language: it changes from machine to machine"
    ids = [cell.get("id", "") for cell in chapter.cells]
    yield from (
        f"the id {name} stands twice" for name in sorted({name for name in ids if ids.count(name) > 1})
    )
    for name, cell in zip(ids, chapter.cells, strict=True):
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", name):
            yield f"the id {name!r} does not say what the cell is about"
        if cell.metadata.get("slideshow", {}).get("slide_type") not in SLIDE_TYPES:
            yield f"{name}: no slide type"
        if not cell.source.strip():
            yield f"{name} is empty"
        if _MACHINE_PATH.search(cell.source):
            yield f"{name}: a path of one machine"
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count is not None):
            yield f"{name} has outputs"
    if chapter.cells[0].metadata.get("slideshow", {}).get("slide_type") != "slide":
        yield "the first cell begins no slide"


def opening(chapter: Chapter) -> Iterator[str]:
    """The first cell has title, question, objectives, prerequisites and run time."""
    first = chapter.cells[0].source
    if not re.match(rf"# {chapter.label}\. \S", first):
        yield f'the first cell does not begin with "# {chapter.label}. Title"'
    if "**The question of this chapter:**" not in first:
        yield "no question of this chapter"
    objectives = re.search(r"^You will be able to\n\n((?:[-*] .*\n(?:  .*\n)*)+)", first, flags=re.MULTILINE)
    count = len(re.findall(r"^[-*] ", objectives[1], flags=re.MULTILINE)) if objectives else 0
    if not 3 <= count <= 5:
        yield f'{count} objectives after "You will be able to", 3 to 5 are wanted'
    for name in ("*Prerequisites:*", "*Run time:*"):
        if not re.search(re.escape(name) + r" \S", first):
            yield f"no {name}"


def headings(chapter: Chapter) -> Iterator[str]:
    """There is one title; sections are numbered 1, 2, …; headings begin their cells, and no level is skipped."""
    found = chapter.headings
    if [level for level, _, _ in found].count(1) != 1:
        yield "there must be one # heading"
    for (level, text, _), (above, _, _) in zip(found[1:], found, strict=False):
        if level > above + 1 or level > 3:
            yield f"{text!r}: heading level {level} after {above}; 1 to 3 are used, none is left out"
    for _, text, index in found:
        if not _HEADING.match(chapter.cells[index].source.splitlines()[0]):
            yield f"{text!r} does not begin its cell"
        if text.endswith((".", ":")):
            yield f"{text!r} ends with a full stop or a colon"
    if chapter.number == 0:
        return
    titles = [text for level, text, _ in found if level == 2]
    numbered = [text for text in titles if text not in CLOSING]
    for number, text in enumerate(numbered, start=1):
        if not re.match(rf"{number} \S", text):
            yield f"section {text!r} should begin with {number}"


def closing(chapter: Chapter) -> Iterator[str]:
    """The chapter ends with a recap that has a table, exercises, and further reading with full references."""
    sections = dict(chapter.sections)
    if chapter.number == 0:
        if "Exercises" not in sections:
            yield "no section Exercises"
        if "Further reading" not in "\n".join(cell.source for cell in chapter.cells):
            yield "no further reading"
        return
    if list(sections)[-3:] != CLOSING:
        yield f"the last sections are {list(sections)[-3:]}, not {CLOSING}"
    recap, reading = (
        "\n".join(c.source for c in sections.get(name, ())) for name in (CLOSING[0], CLOSING[2])
    )
    if "|---" not in recap:
        yield "the recap has no table"
    if len(re.findall(r"\b(19|20)\d\d\b", reading)) < 3:
        yield "further reading names fewer than three references with their year"


def exercises(chapter: Chapter) -> Iterator[str]:
    """There are three to five exercises (chapter 0: a warm-up), numbered, in the section Exercises."""
    found = places(chapter.notebook)
    allowed = range(1, 4) if chapter.number == 0 else range(3, 6)
    if len(found) not in allowed:
        yield f"{len(found)} exercises; {allowed[0]} to {allowed[-1]} are wanted"
    text = "\n".join(cell.source for cell in dict(chapter.sections).get("Exercises", ()))
    numbers = [
        int(number) for number in re.findall(r"^\*\*Exercise (\d+): [^*]+\*\*", text, flags=re.MULTILINE)
    ]
    if numbers != list(range(1, len(found) + 1)):
        yield f"the tasks are numbered {numbers}, there are {len(found)} checks"
    if text.count("exercises.check(") != len(found):
        yield "a check stands outside the section Exercises"


def checks(chapter: Chapter) -> Iterator[str]:
    """A section that runs code checks something, with an assert, a control or an exercise's check.

    The recap's table of controls checks nothing new.
    """
    for title, cells in chapter.sections:
        if title == "Recap":
            continue
        sources = [cell.source for cell in cells if cell.cell_type == "code"]
        if sources and not any(_asserts(source) for source in sources):
            yield f"section {title!r} runs code and checks nothing"


def _asserts(source: str) -> bool:
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("exercises.check", "evidence.control"))
        for node in ast.walk(syntax(source))
    )


def syntax(source: str) -> ast.Module:
    """The syntax tree; empty for what is not Python, which the rule ``code`` reports."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.Module([], [])


def code(chapter: Chapter) -> Iterator[str]:
    """Cells are short, install nothing and import only the course's packages."""
    for cell in chapter.code:
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if len(lines) > MAX_LINES:
            yield f"{cell.id} has {len(lines)} lines; {MAX_LINES} are the limit"
        if _INSTALL.search(cell.source):
            yield f"{cell.id} installs something or leaves Python"
        elif not syntax(cell.source).body:
            yield f"{cell.id} is not Python"
        for node in ast.walk(syntax(cell.source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                if top not in ALLOWED_IMPORTS and top not in sys.stdlib_module_names:
                    yield f"{cell.id} imports {name}"
                if any(part.startswith("_") for part in name.split(".")):
                    yield f"{cell.id} imports the private {name}"


def tables(chapter: Chapter) -> Iterator[str]:
    """Every row of a Markdown table has as many columns as its head, and a blank line precedes the table."""
    for cell in chapter.cells:
        if cell.cell_type != "markdown":
            continue
        lines = ["", *prose_lines(cell.source), ""]
        for index, line in enumerate(lines):
            if not re.fullmatch(r"\s*\|(\s*:?-+:?\s*\|)+\s*", line):
                continue
            if not lines[index - 1].startswith("|") or lines[index - 2].strip():
                yield f"{cell.id}: a table needs a head, and a blank line before it"
            end = next(end for end in range(index, len(lines)) if not lines[end].startswith("|"))
            widths = {_columns(row) for row in lines[index - 1 : end]}
            if len(widths) != 1:
                yield f"{cell.id}: rows of {sorted(widths)} columns in one table"


def _columns(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def definitions(chapter: Chapter) -> list[str]:
    """The functions and classes that a notebook defines, except solutions of exercises."""
    return [
        node.name
        for cell in chapter.code
        if "solution" not in cell.metadata.get("tags", ())
        for node in ast.walk(syntax(cell.source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]


RULES = (form, opening, headings, closing, exercises, checks, code, tables)
