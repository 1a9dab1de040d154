"""Tables of right and wrong answers, and the tests that run them: ``tests/chapters/*/test_exercises*.py``.

Each exercise has at least three right answers of different style and five plausible wrong ones, with the explanation
that each must get: the beginning of the last line that the check prints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from course_lib import exercises
from course_lib.exercises import CheckError

Answer = Callable[..., Any]


@dataclass(frozen=True)
class Answers:
    """Answers that readers might write. ``wrong``: pairs of an answer and the beginning of its explanation."""

    right: tuple[Answer, ...]
    wrong: tuple[tuple[Answer, str], ...]


def run_tables(
    tables: Mapping[str, Answers],
) -> tuple[Callable[..., None], Callable[..., None], Callable[..., None]]:
    """The three tests of a file's tables: right answers pass, wrong ones are explained, there are enough of both."""
    right = [(name, answer) for name, table in tables.items() for answer in table.right]
    wrong = [(name, answer, why) for name, table in tables.items() for answer, why in table.wrong]

    @pytest.mark.parametrize(("exercise_id", "answer"), right, ids=[f"{i}-{f.__name__}" for i, f in right])
    def right_passes(exercise_id: str, answer: Answer) -> None:
        assert exercises.check(exercise_id, answer).cases >= 4

    @pytest.mark.parametrize(
        ("exercise_id", "answer", "why"), wrong, ids=[f"{i}-{f.__name__}" for i, f, _ in wrong]
    )
    def wrong_is_explained(exercise_id: str, answer: Answer, why: str) -> None:
        with pytest.raises(CheckError) as failure:
            exercises.check(exercise_id, answer)
        explanation = str(failure.value).splitlines()[-1]
        assert explanation.startswith(why), str(failure.value)

    @pytest.mark.parametrize("exercise_id", tables)
    def there_are_enough(exercise_id: str) -> None:
        table = tables[exercise_id]
        assert len(table.right) >= 3
        assert len({answer for answer, _ in table.wrong}) >= 5
        assert all(why for _, why in table.wrong)

    return right_passes, wrong_is_explained, there_are_enough
