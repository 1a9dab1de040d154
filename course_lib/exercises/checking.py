"""How an exercise is checked: inputs with results from an independent source, and the mistakes people make."""

import copy
import html
import math
import reprlib
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any


@dataclass(frozen=True)
class Case:
    """An input and what it must give. ``why``: what a reader whose function fails here should think about."""

    arguments: tuple[Any, ...]
    expected: Any
    why: str


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer: a function that makes it, and what to say to a reader whose function does the same."""

    function: Callable[..., Any]
    message: str


@dataclass(frozen=True)
class Exercise:
    """An exercise. ``cases`` makes the inputs and their results, never from the answer that is checked.

    ``id``: the chapter's cell-id prefix and a name, ``tok-encode``. ``hint``: Markdown-free text of a few sentences.
    """

    id: str
    chapter: int
    cases: Callable[[], Iterable[Case]]
    hint: str
    mistakes: tuple[Mistake, ...] = ()


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
    """A hint that displays itself folded up; plain text where no HTML shows."""

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
    count = 0
    for case in exercise.cases():
        count += 1
        result = _result(exercise, name, answer, case)
        if not same(result, case.expected):
            raise CheckError(
                f"{_call(name, case)}\n  should give {_show(case.expected)}\n  but gives   {_show(result)}\n"
                f"{_reason(exercise, answer, case, result)}"
            )
    return Passed(exercise.id, count)


def _result(exercise: Exercise, name: str, answer: Callable[..., Any], case: Case) -> Any:
    arguments = copy.deepcopy(case.arguments)
    try:
        result = answer(*arguments)
    except NotImplementedError:
        raise CheckError(
            f'{name} is not written yet: replace "raise NotImplementedError()". '
            f'If you are stuck: exercises.hint("{exercise.id}")'
        ) from None
    except Exception as error:
        inside = traceback.extract_tb(error.__traceback__)[1:]  # the first entry is the call above
        place = f"\n  in line {inside[-1].lineno}: {inside[-1].line or inside[-1].name}" if inside else ""
        raise CheckError(
            f"{_call(name, case)}\n  should give {_show(case.expected)}\n"
            f"  but raised  {type(error).__name__}: {error}{place}"
        ) from error
    if result is None and case.expected is not None:
        raise CheckError(f"{_call(name, case)}\n  returned None: is a return missing?")
    if not same(arguments, case.arguments):
        raise CheckError(
            f"{_call(name, case)}\n  changed its arguments to {_show(arguments)}: whoever called {name} still needs "
            "them. Work on a copy."
        )
    return result


def _reason(exercise: Exercise, answer: Callable[..., Any], case: Case, result: Any) -> str:
    """The message of the typical mistake that gives this very result, else the case's own.

    Where several do, the other cases tell them apart.
    """
    suspects = [mistake for mistake in exercise.mistakes if _gives(mistake.function, case, result)]
    for other in exercise.cases():
        if len(suspects) < 2:
            break
        try:
            result = answer(*copy.deepcopy(other.arguments))
        except Exception:  # this input does not tell them apart
            continue
        suspects = [mistake for mistake in suspects if _gives(mistake.function, other, result)] or suspects
    return suspects[0].message if suspects else case.why


def _gives(function: Callable[..., Any], case: Case, result: Any) -> bool:
    return same(function(*copy.deepcopy(case.arguments)), result)


def same(result: Any, expected: Any) -> bool:
    """Whether a result is right: floats to 1e-6, a list is as good as a tuple, all else by ``==``.

    >>> same([0.1 + 0.2, "a"], (0.3, "a"))
    True
    """
    if isinstance(expected, float):
        return isinstance(result, Real) and math.isclose(result, expected, rel_tol=1e-6, abs_tol=1e-12)
    if isinstance(expected, list | tuple):
        return (
            isinstance(result, list | tuple)
            and len(result) == len(expected)
            and all(map(same, result, expected))
        )
    if isinstance(expected, Mapping):
        return (
            isinstance(result, Mapping)
            and result.keys() == expected.keys()
            and all(same(result[key], value) for key, value in expected.items())
        )
    return bool(result == expected)


_writer = reprlib.Repr()
_writer.maxstring = _writer.maxother = 200
_writer.maxtuple = _writer.maxlist = _writer.maxdict = 24


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip()) + 2) if line.startswith((" ", "✗")) else ""


def _show(value: Any) -> str:
    return _writer.repr(value)


def _call(name: str, case: Case) -> str:
    return f"{name}({', '.join(map(_show, case.arguments))})"
