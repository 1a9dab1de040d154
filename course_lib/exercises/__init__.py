"""The exercises of all chapters: checks that say what went wrong, and hints.

In a notebook an exercise is a task, a cell with the reader's function, ``check("…", function)`` and ``hint("…")``. The
solutions stand in the notebooks only, between nbgrader's markers; ``course_lib.exercises.edition`` takes them out.
"""

from course_lib.exercises import (
    attention,
    capstone,
    encoding,
    gating,
    loss,
    memmap,
    muon,
    normalization,
    resources,
    rope,
    schedules,
    start,
    tokenizer,
    unigram,
    weight_decay,
)
from course_lib.exercises.checking import Case, CheckError, Exercise, Hint, Mistake, Passed, run_check

__all__ = ["EXERCISES", "Case", "CheckError", "Exercise", "Hint", "Mistake", "Passed", "check", "hint"]

EXERCISES: dict[str, Exercise] = {
    exercise.id: exercise
    for chapter in (
        start,
        tokenizer,
        encoding,
        unigram,
        normalization,
        gating,
        rope,
        attention,
        loss,
        weight_decay,
        muon,
        schedules,
        memmap,
        resources,
        capstone,
    )
    for exercise in chapter.EXERCISES
}
"""Every exercise by its id, in the order of the chapters."""


def check(exercise_id: str, answer: object) -> Passed:
    """Try the function ``answer`` on the inputs of an exercise.

    Raises CheckError at the first input where it gives a wrong result, with the input, what was expected, what came,
    and why; ValueError for an unknown exercise; TypeError if ``answer`` is no function.
    """
    return run_check(_exercise(exercise_id), answer)


def hint(exercise_id: str) -> Hint:
    """A hint, folded up until the reader opens it. Raises ValueError for an unknown exercise."""
    exercise = _exercise(exercise_id)
    return Hint(exercise.id, exercise.hint)


def _exercise(exercise_id: str) -> Exercise:
    try:
        return EXERCISES[exercise_id]
    except (KeyError, TypeError):
        raise ValueError(
            f"exercise_id={exercise_id!r} is no exercise; there are {', '.join(EXERCISES)}"
        ) from None
