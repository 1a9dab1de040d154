"""All committed notebooks follow the rules: they read well, run anywhere and can be reviewed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

from course_lib.chapters.contents import CHAPTERS
from tests import notebook_rules, notebook_state
from tests.notebook_rules import Chapter

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
RULES = (*notebook_rules.RULES, *notebook_state.RULES)


def test_the_list_of_chapters_names_the_notebooks_that_are_there() -> None:
    assert [chapter.label for chapter in CHAPTERS] == ["0", "1", "1b", *map(str, range(2, 13))]
    assert all(chapter.stem.startswith(f"{chapter.number:02}{chapter.part}_") for chapter in CHAPTERS)
    assert [chapter.stem for chapter in CHAPTERS] == [path.stem for path in NOTEBOOKS]
    for path in NOTEBOOKS:
        title = Chapter.read(path).cells[0].source.splitlines()[0]
        assert title == "# {0.label}. {0.title}".format(*(c for c in CHAPTERS if c.stem == path.stem))


def test_readme_lists_the_chapters() -> None:
    rows = [f"| {c.label} | [{c.title}](notebooks/{c.stem}.ipynb) | {c.question} |" for c in CHAPTERS]
    assert "\n".join(rows) in (NOTEBOOKS[0].parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rule(path: Path, rule: Callable[[Chapter], Iterator[str]]) -> None:
    assert list(rule(Chapter.read(path))) == []


def test_no_function_is_defined_twice() -> None:
    names = [name for path in NOTEBOOKS for name in notebook_rules.definitions(Chapter.read(path))]
    assert sorted(set(names)) == sorted(names)


# --- the rules themselves ---------------------------------------------------------------------------------------------

TITLE = """# 7. Title

**The question of this chapter:** why?

You will be able to

- one, which takes
  two lines;
- two;
- three.

*Prerequisites:* chapter 6. *Run time:* a minute.
"""
EXERCISE = 'exercises.check("x-{0}", f{0})'


def good() -> nbformat.NotebookNode:
    """A notebook that no rule complains about."""
    texts: list[tuple[str, str]] = [
        ("markdown", TITLE),
        ("markdown", "## 1 First"),
        ("code", "assert 1 + 1 == 2"),
        ("markdown", "### Detail\n\n```python\n# no heading\n```"),
        ("markdown", "## 2 Second, without code"),
        ("markdown", "## Recap\n\n| a | b |\n|---|---|\n| $\\|x\\|$ | 2 |"),
        ("markdown", "## Exercises"),
    ]
    for number in (1, 2, 3):
        texts += [
            ("markdown", f"**Exercise {number}: name.** Task."),
            ("code", f"def f{number}():\n    return 1"),
            ("code", EXERCISE.format(number)),
        ]
    texts.append(("markdown", "## Further reading\n\nA 1999. B 2016. C 2024."))
    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    cells = []
    for index, (kind, source) in enumerate(texts):
        cell = make[kind](source, id=f"x-cell-{index}", metadata={"slideshow": {"slide_type": "slide"}})
        if source.startswith("def "):
            cell.metadata["tags"] = ["solution"]
        cells.append(cell)
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def complaints(notebook: nbformat.NotebookNode) -> list[str]:
    chapter = Chapter(Path("07_name.ipynb"), notebook)
    return [f"{rule.__name__}: {complaint}" for rule in RULES for complaint in rule(chapter)]


def test_the_title_of_a_second_part_has_its_letter() -> None:
    notebook = good()
    part = Chapter(Path("07b_name.ipynb"), notebook)
    assert list(notebook_rules.opening(part)) == ['the first cell does not begin with "# 7b. Title"']
    notebook.cells[0].source = TITLE.replace("# 7.", "# 7b.")
    assert list(notebook_rules.opening(part)) == [] and (part.number, part.label) == (7, "7b")


def test_a_good_notebook_gets_no_complaint() -> None:
    assert complaints(good()) == []
    assert notebook_rules.definitions(Chapter(Path("07_name.ipynb"), good())) == []


@pytest.mark.parametrize(
    ("cell", "source", "complaint"),
    [
        (0, TITLE.replace("7.", "8."), 'opening: the first cell does not begin with "# 7. Title"'),
        (0, TITLE.replace("question", "query"), "opening: no question"),
        (0, TITLE.replace("- two;\n", ""), "opening: 2 objectives"),
        (0, TITLE.replace("able to", "asked to"), "opening: 0 objectives"),
        (0, TITLE.replace("*Run time:* a minute.", ""), "opening: no *Run time:*"),
        (0, TITLE.replace("*Prerequisites:* chapter 6.", ""), "opening: no *Prerequisites:*"),
        (1, "## First", "headings: section 'First' should begin with 1"),
        (4, "## 3 Second", "headings: section '3 Second' should begin with 2"),
        (4, "# 2 Second", "headings: there must be one # heading"),
        (3, "#### Detail", "headings: 'Detail': heading level 4 after 2"),
        (3, "Text.\n\n### Detail", "headings: 'Detail' does not begin its cell"),
        (3, "### Detail.", "headings: 'Detail.' ends with"),
        (5, "## Summary", "closing: the last sections are ['Summary'"),
        (5, "## Recap", "closing: the recap has no table"),
        (16, "## Further reading\n\nA 1999.", "closing: further reading names fewer"),
        (9, "x = 1", "exercises: 2 exercises"),
        (7, "**Exercise 2: name.** Task.", "exercises: the tasks are numbered [2, 2, 3]"),
        (13, "## 3 Third", "exercises: a check stands outside"),
        (2, "print('assert 1')", "checks: section '1 First' runs code and checks nothing"),
        (2, "assert 1\n" + "x = 1\n" * 25, "code: x-cell-2 has 26 lines"),
        (2, "assert 1\n!pip install x", "code: x-cell-2 installs"),
        (2, "assert 1\nimport os; os.system('python -m pip install x')", "code: x-cell-2 installs"),
        (2, "assert 1\n%matplotlib inline", "code: x-cell-2 installs"),
        (2, "assert 1 +", "code: x-cell-2 is not Python"),
        (2, "assert 1\nimport scipy.stats", "code: x-cell-2 imports scipy.stats"),
        (2, "assert 1\nfrom course_lib._bpe import train", "code: x-cell-2 imports the private"),
        (3, "### A\n\n| a | b |\n|---|---|\n| 1 |", "tables: x-cell-3: rows of [1, 2] columns"),
        (3, "### A\n\n| a | b |\n|---|---|\n| |x| | 1 |", "tables: x-cell-3: rows of [2, 4] columns"),
        (3, "### A\ntext\n| a | b |\n|---|---|\n| 1 | 2 |", "tables: x-cell-3: a table needs a head"),
        (3, "### A\n\nsee /home/me/file", "form: x-cell-3: a path of one machine"),
        (3, " ", "form: x-cell-3 is empty"),
    ],
)
def test_a_broken_rule_is_reported(cell: int, source: str, complaint: str) -> None:
    notebook = good()
    notebook.cells[cell].source = source
    assert [line for line in complaints(notebook) if line.startswith(complaint)], complaints(notebook)


def test_a_control_is_a_check_and_the_recap_needs_none() -> None:
    notebook = good()
    notebook.cells[2].source = 'rattling = evidence.control(because="weights rattle")'
    slide = {"slideshow": {"slide_type": "-"}}
    table = nbformat.v4.new_code_cell("evidence.summary(rattling)", id="x-recap-controls", metadata=slide)
    notebook.cells.insert(6, table)
    assert complaints(notebook) == []


def in_two_sections(first: str, second: str, third: str = "assert 1") -> nbformat.NotebookNode:
    """The good notebook with other code: one cell in its first section, two in the second."""
    notebook = good()
    notebook.cells[2].source = f"assert 1\n{first}"
    slide = {"slideshow": {"slide_type": "-"}}
    notebook.cells[5:5] = [
        nbformat.v4.new_code_cell(source, id=f"x-second-{part}", metadata=slide)
        for part, source in enumerate((f"assert 1\n{second}", third))
    ]
    return notebook


@pytest.mark.parametrize(
    "second",
    [
        "x = 2",
        "y, (x, *z) = 1, (2, 3)",
        "x: int = 2",
        "x += 1",
        "for x in (): pass",
        "with open('f') as x: pass",
        "try: pass\nexcept ValueError as x: pass",
        "import x",
        "import numpy as x",
        "from numpy import sin as x",
        "def x(): ...",
        "class x: ...",
        "print(x := 2)",
        "print([x := i for i in (1, 2)])",
        "match 1:\n    case x: pass",
        "def f():\n    global x\n    x = 1",
        "del x",
    ],
)
def test_a_name_of_another_section_is_not_bound_again(second: str) -> None:
    told = complaints(in_two_sections("x = 1", second))
    assert "rebinding: x-second-0 binds x, a name of x-cell-2 in another section" in told


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x = 1", "print([x for x in (1, 2)], {x: 1 for x in (1, 2)}, lambda x: x)"),
        ("x = 1", "def f(x):\n    x = x + 1\n    for x in (): pass"),
        ("x = 1", "class A:\n    x = 1"),
        ("x = 1", "print(dict(x=1), x)"),
        ("for _ in (): pass", "for _ in (): pass"),
        ("import os.path, numpy as np", "import os.path, numpy as np"),
        ("from numpy import sin, cos", "from numpy import cos"),
    ],
)
def test_the_same_letters_are_not_always_the_same_name(first: str, second: str) -> None:
    assert complaints(in_two_sections(first, second)) == []


@pytest.mark.parametrize(
    ("second", "third", "complaint"),
    [
        ("y = 1\nprint(y)", "y = 2", None),  # each cell makes its own
        ("y = 1", "print(y)", None),
        ("y = x", "y = y + 1", "x-second-1 reads y, which x-second-1 binds anew"),
        ("y = x", "y += 1", "x-second-1 reads y, which x-second-1 binds anew"),
        ("y = x", "del y", "x-second-1 reads y, which x-second-1 binds anew"),
        ("y = 1", "print([y for _ in (1,)])\ny = 2", "x-second-1 reads y, which x-second-1 binds anew"),
    ],
)
def test_what_a_cell_reads_is_not_bound_anew_in_its_section(
    second: str, third: str, complaint: str | None
) -> None:
    told = [line for line in complaints(in_two_sections("x = 1", second, third)) if "rebinding" in line]
    assert told == ([f"rebinding: {complaint}"] if complaint else [])


def test_a_cell_between_two_that_bind_a_name_is_reported() -> None:
    notebook = in_two_sections("x = 1", "y = 1", "print(y)")
    slide = {"slideshow": {"slide_type": "-"}}
    notebook.cells.insert(7, nbformat.v4.new_code_cell("y = 2", id="x-second-2", metadata=slide))
    assert complaints(notebook) == ["rebinding: x-second-1 reads y, which x-second-2 binds anew"]


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        ("x = [1]", "x.append(2)", "x-second-0 changes x of another cell: x.append(2)"),
        ("x = [1]", "x[0] = 2", "x-second-0 changes x of another cell: x[0]"),
        ("x = {}", "x['a'].b[1] += 2", "x-second-0 changes x of another cell: x['a'].b[1]"),
        ("x = {}", "del x['a']", "x-second-0 changes x of another cell: x['a']"),
        ("x = f()", "x.drop(columns='a', inplace=True)", "x-second-0 changes x of another cell: x.drop("),
        ("x = f()", "x.weight.mul_(2)", "x-second-0 changes x of another cell: x.weight.mul_(2)"),
        ("x = f()", "x.step()", "x-second-0 changes x of another cell: x.step()"),
        ("x = f()", "x.cleanup()", "x-second-0 changes x of another cell: x.cleanup()"),
        ("x = f()", "next(x)", "x-second-0 changes x of another cell: next(x)"),
        ("x = (i for i in (1, 2))", "print(*x)", "x-second-0 uses up x of another cell"),
        ("y, x = 1, np.random.default_rng(0)", "x.normal()", "x-second-0 uses up x of another cell"),
        ("x = torch.Generator().manual_seed(0)", "f(generator=x)", "x-second-0 uses up x of another cell"),
        ("x = 1", "torch.manual_seed(0)", "x-second-0 changes the state of the process: torch.manual_seed("),
        ("x = 1", "plt.rcParams['a'] = 1", "x-second-0 changes the state of the process: rcParams"),
        ("x = 1", "torch.set_num_threads(1)", "x-second-0 changes the state of the process: set_num_thr"),
        ("x = 1", "torch.set_default_dtype(d)", "x-second-0 changes the state of the process: set_default_"),
        ("torch.set_num_threads(1)", "f()", None),  # once, at the beginning
        ("x = 1", "x_ = []\nx_.append(1)\nx_[0] = 2\nprint('torch.manual_seed(0)')", None),
        ("x = 1", "def f(x):\n    x.append(1)", None),
        ("x = f()", "print(x.add_prefix('a'), x.__len__(), np.add(x, 1))", None),
    ],
)
def test_what_another_cell_made_is_not_changed(first: str, second: str, complaint: str | None) -> None:
    told = [line.removeprefix("changes: ") for line in complaints(in_two_sections(first, second))]
    assert [line[: len(complaint or "")] for line in told] == ([complaint] if complaint else []), told


def test_traces_of_a_machine_are_reported() -> None:
    notebook = good()
    notebook.cells[2].execution_count = 3
    notebook.cells[3].id = notebook.cells[4].id
    notebook.cells[5].id = "a1b2c3d4"
    notebook.cells[6].metadata = {}
    notebook.metadata["language_info"]["version"] = "3.13.1"
    notebook.metadata["kernelspec"]["name"] = "my-env"
    told = [line.removeprefix("form: ") for line in complaints(notebook)]
    for complaint in (
        "x-cell-2 has outputs",
        "the id x-cell-4 stands twice",
        "the id 'a1b2c3d4' does not say what the cell is about",
        "x-cell-6: no slide type",
        "the metadata holds more than kernel and language: it changes from machine to machine",
        "the kernel is not python3",
    ):
        assert complaint in told, told


def test_functions_outside_solutions_count_as_defined() -> None:
    notebook = good()
    notebook.cells[2].source = "def helper():\n    assert 1\n\nclass Thing: ..."
    assert notebook_rules.definitions(Chapter(Path("07_name.ipynb"), notebook)) == ["helper", "Thing"]
