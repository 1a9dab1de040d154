"""Answers that are classes: made anew for each input, and shown as the calls that were tried."""

import pytest

from course_lib.answers.checking import Case, CheckError, Exercise, Mistake, run_check
from course_lib.answers.methods import Methods

COUNTER = Exercise(
    id="x-counter",
    chapter=1,
    cases=lambda: [
        Case(((3,), 2, [1, 2]), {"add": 5, "twice": [2, 4]}, "add gives the sum."),
        Case(((0, "unused"), 2, []), {"add": 2, "twice": []}, "add gives the sum."),
    ],
    hint="Add.",
    methods=Methods(("add", "twice")),
    mistakes=(
        Mistake(
            lambda made_of, number, numbers: {"add": number, "twice": [2 * n for n in numbers]},
            "The start is forgotten.",
        ),
    ),
)


class Right:
    def __init__(self, start: int, name: str = "") -> None:
        self.start = start

    def add(self, number: int) -> int:
        self.start += number  # the next case begins with a new object
        return self.start

    def twice(self, numbers: list[int]) -> object:
        return (2 * number for number in numbers)


class Forgets(Right):
    def add(self, number: int) -> int:
        return number


class Silent(Right):
    def add(self, number: int) -> None:  # type: ignore[override]
        self.start += number


class Fails(Right):
    def twice(self, numbers: list[int]) -> object:
        return numbers[7]


class Changes(Right):
    def twice(self, numbers: list[int]) -> object:
        doubled = [2 * number for number in numbers]
        numbers.clear()
        return doubled


class NotWritten(Right):
    def twice(self, numbers: list[int]) -> object:
        raise NotImplementedError


class NoName(Right):
    def __init__(self, start: int) -> None:
        super().__init__(start)


def test_a_right_class_passes() -> None:
    assert run_check(COUNTER, Right).cases == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            Forgets,
            "made = Forgets(3)\nmade.add(2)\nmade.twice([1, 2])\n  should give {'add': 5, 'twice': [2, 4]}\n",
        ),
        (Silent, "Is a return missing?"),
        (Fails, "but raised  IndexError: list index out of range\n  in line "),
        (Changes, "Whoever called the function still needs its arguments"),
        (NotWritten, "NotWritten is not written yet"),
        (NoName, "NoName.__init__() takes 2 positional arguments but 3 were given"),
    ],
)
def test_a_wrong_class_is_explained(answer: type[Right], message: str) -> None:
    with pytest.raises(CheckError) as told:
        run_check(COUNTER, answer)
    assert message in str(told.value)


def test_a_method_may_take_several_arguments() -> None:
    adding = Exercise(
        id="x-adding",
        chapter=1,
        cases=lambda: [Case(((3,), (2, 4)), {"add": 9}, "add gives the sum of all three.")],
        hint="Add.",
        methods=Methods(("add",), several=True),
    )

    class Adds:
        def __init__(self, start: int) -> None:
            self.start = start

        def add(self, number: int, other: int) -> int:
            return self.start + number + other

    class AddsOne(Adds):
        def add(self, number: int, other: int) -> int:
            return self.start + number

    assert run_check(adding, Adds).cases == 1
    with pytest.raises(CheckError, match=r"made\.add\(2, 4\)\n  should give"):
        run_check(adding, AddsOne)
