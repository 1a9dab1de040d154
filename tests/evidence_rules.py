"""The rules of evidence: what a chapter must have done before its recap may say "because".

The rules for notebooks are functions from a chapter to its complaints, as in :mod:`tests.notebook_rules`; those for
stored runs are functions from the declared experiments.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from course_lib.lab import scale
from course_lib.lab.code_version import code_parts
from course_lib.lab.reference_runs import Experiment
from tests.notebook_rules import CLOSING, Chapter, prose_lines, syntax

SEEDS = 4
TRIED = 4
"""Values of a tuned setting in each arm: with three, only the middle one could be best inside the grid."""

_BECAUSE = re.compile(r"\bbecause\b", flags=re.IGNORECASE)
_PREDICT = re.compile(r"\*\*Predict\b")
_SAW = re.compile(r"\*\*What we saw\b")


@dataclass(frozen=True)
class _Control:
    """A call of ``evidence.control``: the name it is assigned to ("" if to none) and where it stands."""

    name: str
    section: str
    cell: nbformat.NotebookNode
    call: ast.Call

    def __str__(self) -> str:
        return f"the control {self.name}" if self.name else f"the control without a name in {self.cell.id}"

    def argument(self, name: str) -> ast.expr:
        return next((word.value for word in self.call.keywords if word.arg == name), ast.Constant(None))

    @property
    def verdict(self) -> str:
        """The keyword with the condition that decides."""
        return next((word.arg for word in self.call.keywords if word.arg in ("stands", "refuted")), "")


# --- notebooks --------------------------------------------------------------------------------------------------------


def controls_are_listed(chapter: Chapter) -> Iterator[str]:
    """The recap shows a table of all controls, and nothing else: each has a name of its own, bound in a cell above."""
    order = [cell.id for cell in chapter.cells]
    made = list(_controls(chapter))
    names = [control.name for control in made]
    listed = list(_listed(chapter))
    if made and not listed:
        yield "the recap shows no table of the controls, evidence.summary(...)"
    for control in made:
        if not control.name:
            yield f"{control} cannot be listed"
        elif names.count(control.name) > 1:
            yield f"{control} is one of several with this name"
        elif listed and control.name not in [name for name, _ in listed]:
            yield f"{control} is not in the recap's evidence.summary(...)"
    for name, cell in listed:
        above = [one for one in made if order.index(one.cell.id) < order.index(cell.id)]
        if name not in [one.name for one in above]:
            yield f"the summary lists {name}, which no cell above assigns from evidence.control(...)"


def controls_say_where(chapter: Chapter) -> Iterator[str]:
    """The argument ``where`` of a control names the section whose cell makes it."""
    for control in _controls(chapter):
        number = re.match(r"\d+(?= )", control.section)
        where = ast.unparse(control.argument("where"))
        if number is None:
            yield f"{control} stands in {control.section!r}, not in a numbered section"
        elif where != repr(f"section {number[0]}"):
            yield f"{control} stands in section {number[0]} and says where={where}"


def controls_can_fail(chapter: Chapter) -> Iterator[str]:
    """A control is decided by something computed, and reports something computed."""
    for control in _controls(chapter):
        for name in (control.verdict, "measured"):
            if not _computed(control.argument(name)):
                yield f"{control}: {name or 'stands'} is not computed"


def because_has_a_control(chapter: Chapter) -> Iterator[str]:
    """The recap says "because" at most as often as a control stood; "What we saw" says it in chapters with controls."""
    controls = list(_controls(chapter))
    said = sum(_becauses(cell) for cell in _recap(chapter))
    stood = sum(control.verdict == "stands" for control in controls)
    if said > stood:
        yield f'the recap says "because" {said} times; {stood} controls stood'
    for cell in chapter.cells:
        if not controls and _SAW.search(cell.source) and _becauses(cell):
            yield f'{cell.id} says "because", and the chapter has no control'


def predictions_are_answered(chapter: Chapter) -> Iterator[str]:
    """A "**Predict**" is followed, before the next one and in its section, by a cell that shows a computed answer."""
    ends = {index for level, _, index in chapter.headings if level == 2}
    asked = ""
    for index, cell in enumerate(chapter.cells):
        predicts = cell.cell_type == "markdown" and bool(_PREDICT.search(cell.source))
        if asked and (predicts or index in ends):
            yield f"nothing answers the prediction in {asked}"
            asked = ""
        if predicts:
            asked = cell.id
        for call in _shown(cell, "answer"):
            asked = ""
            if not any(map(_computed, call.args)):
                yield f"{cell.id}: the answer's number is not computed"
    if asked:
        yield f"nothing answers the prediction in {asked}"


RULES = (
    controls_are_listed,
    controls_say_where,
    controls_can_fail,
    because_has_a_control,
    predictions_are_answered,
)


def _recap(chapter: Chapter) -> list[nbformat.NotebookNode]:
    return dict(chapter.sections).get(CLOSING[0], [])


def _becauses(cell: nbformat.NotebookNode) -> int:
    """How often the prose of a cell says "because"."""
    if cell.cell_type != "markdown":
        return 0
    return len(_BECAUSE.findall("\n".join(prose_lines(cell.source))))


def _controls(chapter: Chapter) -> Iterator[_Control]:
    for section, cell in chapter.scopes:
        tree = syntax(cell.source)
        names = {
            id(node.value): node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for call in _calls(tree, "control"):
            yield _Control(names.get(id(call), ""), section, cell, call)


def _listed(chapter: Chapter) -> Iterator[tuple[str, nbformat.NotebookNode]]:
    """The arguments of the summaries that the recap shows, and their cells."""
    for cell in _recap(chapter):
        for call in _shown(cell, "summary"):
            yield from ((ast.unparse(argument), cell) for argument in call.args)


def _calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """The calls of ``evidence.NAME``."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"evidence.{name}"
    ]


def _shown(cell: nbformat.NotebookNode, name: str) -> list[ast.Call]:
    """The calls of ``evidence.NAME`` whose result a reader sees: in a cell's last expression, or displayed."""
    if cell.cell_type != "code":
        return []
    body = syntax(cell.source).body
    seen = [node for node in body[-1:] if isinstance(node, ast.Expr)]
    displayed = [
        node
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) in ("display", "print")
        and node not in seen
    ]
    return [call for node in seen + displayed for call in _calls(node, name)]


def _computed(expression: ast.expr) -> bool:
    """Whether an expression reads a variable: what does not is typed."""
    return any(isinstance(node, ast.Name) for node in ast.walk(expression))


# --- stored runs ------------------------------------------------------------------------------------------------------


def files_are_declared(experiments: Iterable[Experiment], files: Iterable[Path]) -> Iterator[str]:
    """Every stored file is that of an experiment."""
    known = [one for experiment in experiments for one in (experiment, experiment.larger) if one is not None]
    declared = {experiment.path for experiment in known}
    for file in files:
        if file not in declared:
            yield f"no experiment declares {file.parents[1].name}/{file.parent.name}/{file.name}"


def runs_are_complete(experiments: Iterable[Experiment], not_remade: Collection[int]) -> Iterator[str]:
    """Every declared point was made by the present code; chapters that are not remade may have made none."""
    for experiment in experiments:
        state = experiment.state()
        if state != "complete" and not (state == "empty" and experiment.chapter in not_remade):
            yield (
                f"{experiment.chapter} {experiment.name} is {state}: {len(experiment.missing())} of "
                f"{len(experiment.keys)} points are to be made"
            )


def designs_can_show_something(experiments: Iterable[Experiment]) -> Iterator[str]:
    """There are seeds enough for an interval, and each arm has tries enough for a best value inside its grid."""
    for experiment in experiments:
        place = f"{experiment.chapter} {experiment.name}"
        if len(experiment.seeds) < SEEDS:
            yield f"{place} has {len(experiment.seeds)} seeds; at least {SEEDS} are needed"
        tried: dict[tuple[object, ...], set[object]] = {}
        for settings in experiment.grid:
            arm = tuple(settings[name] for name in experiment.scientific)
            for name in experiment.nuisance:
                tried.setdefault((name, *arm), set()).add(settings[name])
        for (name, *arm), values in tried.items():
            if len(values) < TRIED:
                yield f"{place} tries {len(values)} values of {name} for {arm}; at least {TRIED} are needed"


def runs_have_one_scale(experiments: Iterable[Experiment]) -> Iterator[str]:
    """Stored points are the same whatever ``COURSE_SCALE`` says: their sizes stand in the settings."""
    for experiment in experiments:
        for name in code_parts(experiment.run):
            if name.startswith(f"{scale.__name__}."):
                yield f"{experiment.chapter} {experiment.name} uses {name}: write its sizes as settings"


def chapter_makes_a_run_again(chapter: Chapter, experiments: Sequence[Experiment]) -> Iterator[str]:
    """A chapter with stored runs makes one of them again before the reader's eyes, in the first of its notebooks."""
    called = {
        node.func.attr
        for cell in chapter.code
        for node in ast.walk(syntax(cell.source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    is_first = chapter.label == str(chapter.number)
    if experiments and is_first and "rerun" not in called:
        yield "no cell makes a stored run again, with Experiment.rerun(...)"
