"""Checking an exercise: inputs with results from an independent source, and the mistakes people make."""

import html
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.answers.comparing import plain, right_but_coarse, rounded, same, unchanged
from course_lib.answers.formatting import show, show_both, show_call
from course_lib.answers.methods import Methods
from course_lib.answers.running import Outcome, alike, place_of, run, takes

SECONDS = 20.0
"""Computing time that an answer has for a case without its own limit. All cases are small; loading torch may
take seconds."""


@dataclass(frozen=True)
class Case:
    """An input and its expected result. ``why``: advice for a reader whose function fails here.

    ``at_most_seconds``: limit of computing time where the method matters, a thousand times what a right answer needs;
    where a slow method is not that much slower, a multiple of what our own answer has just taken on this machine.
    """

    arguments: tuple[Any, ...]
    expected: Any
    why: str
    at_most_seconds: float | None = None


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer: a function that makes the mistake, and a message for readers who make it.

    The message is shown only if the reader's function behaves the same on every case: returns the same value, or raises
    the same type of error. An exercise lists more specific mistakes first; the first that fits is shown.
    """

    function: Callable[..., Any]
    message: str


@dataclass(frozen=True)
class Exercise:
    """An exercise. ``cases`` makes inputs and results, never from the answer being checked.

    ``id``: the chapter's cell-id prefix and a name, such as ``tok-encode``. ``hint``: a few sentences of plain text.
    ``methods``: for an answer that is a class, what is called; mistakes are functions of a case's arguments even so.
    """

    id: str
    chapter: int
    cases: Callable[[], Iterable[Case]]
    hint: str
    mistakes: tuple[Mistake, ...] = ()
    methods: Methods | None = None

    def function(self, answer: Callable[..., Any]) -> Callable[..., Any]:
        """The reader's answer as a function of a case's arguments."""
        return self.methods.function(answer) if self.methods else answer

    def show_call(self, name: str, arguments: Sequence[Any]) -> str:
        """The calls of a case as Python writes them, shortened."""
        return (self.methods.show_call if self.methods else show_call)(name, arguments)


class CheckError(AssertionError):
    """An answer is not right yet; the message says where and why. Notebooks show it without a traceback."""

    def _render_traceback_(self) -> list[str]:
        lines = f"✗ {self}".splitlines()
        return ["\n".join(textwrap.fill(line, 100, subsequent_indent=_indent(line)) for line in lines)]


@dataclass(frozen=True)
class Passed:
    """An answer passed all its cases."""

    exercise_id: str
    cases: int

    def __repr__(self) -> str:
        return f"✓ {self.exercise_id}: right on all {self.cases} inputs"


@dataclass(frozen=True)
class Hint:
    """A hint that is displayed folded up, or as plain text where HTML is not available."""

    exercise_id: str
    text: str

    def __repr__(self) -> str:
        return f"Hint: {self.text}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        folded = f"<details><summary>Hint</summary><p>{html.escape(self.text)}</p></details>"
        return {"text/html": folded, "text/plain": repr(self)}


def run_check(exercise: Exercise, answer: object) -> Passed:
    """Run ``answer`` on each case; see :func:`course_lib.exercises.check`."""
    if not callable(answer):
        raise TypeError(f"answer={answer!r} must be the function you wrote, without parentheses")
    name = getattr(answer, "__name__", "answer")
    function = exercise.function(answer)
    trials = _try(exercise, name, function)
    wrong = next((trial for trial in trials if not trial.right), None)
    if wrong is None:
        return Passed(exercise.id, len(trials))
    explanation = _explanation(exercise, function, trials, wrong)
    called = exercise.show_call(name, wrong.case.arguments)
    raise CheckError("\n".join((called, *_what_happened(wrong), explanation))) from wrong.outcome.error


@dataclass(frozen=True)
class _Trial:
    case: Case
    outcome: Outcome

    @property
    def gives(self) -> bool:
        """Whether there is a value, and it is right."""
        return self.outcome.finished and same(self.outcome.value, self.case.expected)

    @property
    def right(self) -> bool:
        return self.gives and unchanged(self.outcome.arguments, self.case.arguments)


def _try(exercise: Exercise, name: str, answer: Callable[..., Any]) -> list[_Trial]:
    """Run all cases, even after a wrong one, since a mistake is recognized by all of them; stop after a timeout."""
    trials = []
    for case in exercise.cases():
        outcome = run(answer, case.arguments, case.at_most_seconds or SECONDS)
        if isinstance(outcome.error, NotImplementedError) and not outcome.error.args:
            raise CheckError(
                f'{name} is not written yet: replace "raise NotImplementedError()". '
                f'If you are stuck: exercises.hint("{exercise.id}")'
            )
        trials.append(_Trial(case, outcome))
        if outcome.stopped:
            break
    return trials


def _what_happened(trial: _Trial) -> Iterator[str]:
    case, outcome = trial.case, trial.outcome
    got, want, difference = show_both(outcome.value, case.expected)
    yield f"  should give {want}"
    if outcome.stopped:
        yield f"  but was stopped after {_count(case.at_most_seconds or SECONDS, 'second')} of computing"
    elif outcome.error:
        yield f"  but raised  {type(outcome.error).__name__}: {outcome.error}"
        yield from (f"  {place}" for place in [place_of(outcome.error)] if place)
    elif trial.gives:
        yield f"  and does, but has changed its arguments to {show(outcome.arguments)}"
        return
    else:
        yield f"  but gives   {got}"
        yield from (f"  ({line})" for line in [difference] if line)
    if not unchanged(outcome.arguments, case.arguments):
        yield f"  and changed its arguments to {show(outcome.arguments)}"


def _explanation(
    exercise: Exercise, answer: Callable[..., Any], trials: Sequence[_Trial], wrong: _Trial
) -> str:
    """Advice to the reader: the first mistake that reproduces every trial, else the advice of this one case."""
    case, outcome = wrong.case, wrong.outcome
    if outcome.stopped:
        return case.why if case.at_most_seconds else f"Does a loop never end? {case.why}"
    if wrong.gives:
        return "Whoever called the function still needs its arguments: work on a copy."
    if not takes(answer, case.arguments):
        return (
            f"Keep the first line as it was given: the check calls the function with "
            f"{_count(len(case.arguments), 'argument')}."
        )
    for mistake in exercise.mistakes:
        if all(_reproduces(mistake, trial) for trial in trials):
            return mistake.message
    if case.expected is not None and all(trial.outcome.is_none for trial in trials):
        return "Is a return missing? Without one a function gives None."
    if coarse := right_but_coarse(outcome.value, case.expected):
        return f"This is right to the precision of {coarse}, too coarse for a check: compute in float32 or float64."
    if any(all(_is_rounded(trial, digits) for trial in trials) for digits in range(7)):
        return "This is right but rounded: return the number with all its digits."
    return case.why


def _is_rounded(trial: _Trial, digits: int) -> bool:
    return trial.outcome.finished and same(trial.outcome.value, rounded(plain(trial.case.expected), digits))


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"


def _reproduces(mistake: Mistake, trial: _Trial) -> bool:
    """A trial that was stopped has nothing to reproduce."""
    return trial.outcome.stopped or alike(run(mistake.function, trial.case.arguments, SECONDS), trial.outcome)


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip()) + 2) if line.startswith((" ", "✗")) else ""
