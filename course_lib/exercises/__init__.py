"""The exercises of all chapters: checks that say what went wrong, and hints.

In a notebook an exercise is a task, a cell with the reader's function, ``check("…", function)`` and ``hint("…")``. The
solutions are in the notebooks only, between nbgrader's markers; ``course_lib.exercises.edition`` removes them.
"""

from course_lib.answers.checking import Case, CheckError, Exercise, Hint, Mistake, Passed, run_check
from course_lib.chapters.ch00_start import exercises as ch00
from course_lib.chapters.ch01_tokenizer import exercises as ch01
from course_lib.chapters.ch02_normalization import exercises as ch02
from course_lib.chapters.ch03_gating import exercises as ch03
from course_lib.chapters.ch04_rope import exercises as ch04
from course_lib.chapters.ch05_attention import exercises as ch05
from course_lib.chapters.ch06_loss import exercises as ch06
from course_lib.chapters.ch07_adamw_and_l2 import exercises as ch07
from course_lib.chapters.ch08_muon import exercises as ch08
from course_lib.chapters.ch09_schedules import exercises as ch09
from course_lib.chapters.ch10_memmap_data import exercises as ch10
from course_lib.chapters.ch11_resources import exercises as ch11
from course_lib.chapters.ch12_capstone import exercises as ch12

__all__ = ["EXERCISES", "Case", "CheckError", "Exercise", "Hint", "Mistake", "Passed", "check", "hint"]

EXERCISES: dict[str, Exercise] = {
    exercise.id: exercise
    for chapter in (ch00, ch01, ch02, ch03, ch04, ch05, ch06, ch07, ch08, ch09, ch10, ch11, ch12)
    for exercise in chapter.EXERCISES
}
"""Every exercise by its id, in the order of the chapters."""


def check(exercise_id: str, answer: object) -> Passed:
    """Try the function ``answer`` on the inputs of an exercise.

    Raises CheckError at the first input with a wrong result, which names the input, the expected and the actual result
    and the likely reason; ValueError for an unknown exercise; TypeError if ``answer`` is not a function.
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
            f"exercise_id={exercise_id!r} is not an exercise; the exercises are {', '.join(EXERCISES)}"
        ) from None
