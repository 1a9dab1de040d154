"""The rules of evidence: what a chapter must have done before its recap may say "because".

Each rule is a function from a notebook to its complaints, as in :mod:`tests.notebook_rules`.
"""

import ast
import re
from collections.abc import Iterator

from tests.notebook_rules import Chapter, syntax

RECAP = "Recap"


def controls_are_listed(chapter: Chapter) -> Iterator[str]:
    """Every control stands in the table at the chapter's end, names its section, and no name in the table is empty."""
    made = dict(_controls(chapter))
    listed = _summarized(chapter)
    if made and not listed:
        yield "controls, but no evidence.summary(...) in the recap"
    yield from (f"the control {name} is not in the recap's summary" for name in made if name not in listed)
    yield from (f"the summary names {name}, which no evidence.control makes" for name in listed - set(made))
    for name, (section, where) in made.items():
        number = section.split(" ")[0]
        if where != f"section {number}":
            yield f"the control {name} is in section {number} and says where={where!r}"


def because_has_a_control(chapter: Chapter) -> Iterator[str]:
    """The recap says "because" at most as often as a control stood, and nowhere without any."""
    recap = "\n".join(cell.source for cell in _recap(chapter) if cell.cell_type == "markdown")
    said = len(re.findall(r"\bbecause\b", recap, flags=re.IGNORECASE))
    stood = sum("stands" in keywords for keywords in _keywords(chapter))
    if said > stood:
        yield f'the recap says "because" {said} times; {stood} controls stood'


def predictions_are_answered(chapter: Chapter) -> Iterator[str]:
    """A "**Predict**" is followed, before the next one and in its section, by a cell that calls evidence.answer."""
    for title, cells in chapter.sections:
        asked = ""
        for cell in cells:
            if cell.cell_type == "markdown" and re.search(r"\*\*Predict\b", cell.source):
                if asked:
                    yield f"section {title!r}: nothing answers the prediction in {asked}"
                asked = cell.id
            elif cell.cell_type == "code" and _calls(cell.source, "answer"):
                asked = ""
        if asked:
            yield f"section {title!r}: nothing answers the prediction in {asked}"


RULES = (controls_are_listed, because_has_a_control, predictions_are_answered)


def _recap(chapter: Chapter) -> list:  # type: ignore[type-arg]
    return dict(chapter.sections).get(RECAP, [])


def _is_call(node: ast.AST, name: str) -> bool:
    """Whether a node calls ``evidence.NAME``."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == f"evidence.{name}"


def _calls(source: str, name: str) -> list[ast.Call]:
    return [node for node in ast.walk(syntax(source)) if isinstance(node, ast.Call) and _is_call(node, name)]


def _controls(chapter: Chapter) -> Iterator[tuple[str, tuple[str, str]]]:
    """The name of each control, the section that makes it, and its argument ``where``."""
    for section, cell in chapter.scopes:
        names = {
            ast.unparse(node.value): ast.unparse(node.targets[0])
            for node in ast.walk(syntax(cell.source))
            if isinstance(node, ast.Assign)
        }
        for call in _calls(cell.source, "control"):
            where = next((ast.unparse(word.value) for word in call.keywords if word.arg == "where"), "''")
            name = names.get(ast.unparse(call), f"without a name in {cell.id}")
            yield name, (section, ast.literal_eval(where))


def _keywords(chapter: Chapter) -> Iterator[set[str]]:
    for cell in chapter.code:
        for call in _calls(cell.source, "control"):
            yield {word.arg or "" for word in call.keywords}


def _summarized(chapter: Chapter) -> set[str]:
    return {
        ast.unparse(argument)
        for cell in _recap(chapter)
        if cell.cell_type == "code"
        for call in _calls(cell.source, "summary")
        for argument in call.args
    }
