"""Checking answers: typical mistakes get their messages, and results come from independent sources."""

import importlib
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import exercises
from course_lib.answers import checking
from course_lib.answers.checking import run_check
from course_lib.answers.comparing import same
from course_lib.chapters.ch01_tokenizer.exercises.unigram import segmentations
from course_lib.exercises import EXERCISES, Case, CheckError, Exercise, Hint, Mistake
from course_lib.tokenizer.unigram import UnigramTokenizer

MISTAKES = [(exercise, mistake) for exercise in EXERCISES.values() for mistake in exercise.mistakes]


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda value: getattr(value, "id", None))
def test_a_typical_mistake_gets_its_message(exercise: Exercise, mistake: Mistake) -> None:
    with pytest.raises(CheckError, match=re.escape(mistake.message)):
        run_check(replace(exercise, methods=None), mistake.function)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_every_exercise_has_cases_that_decide_and_words_that_help(exercise: Exercise) -> None:
    cases = list(exercise.cases())
    assert len(cases) >= 4
    assert exercise.mistakes
    assert all(len(text) > 15 for text in (exercise.hint, *(case.why for case in cases)))
    assert all(
        same(case.expected, again.expected) for case, again in zip(cases, exercise.cases(), strict=True)
    )
    assert not same(cases[0].expected, cases[1].expected), "a constant would get far"


def test_every_exercise_has_a_table_of_answers() -> None:
    files = Path(__file__).parents[1].glob("chapters/*/test_exercises*.py")
    modules = [importlib.import_module(f"tests.chapters.{file.parent.name}.{file.stem}") for file in files]
    assert Counter(name for module in modules for name in module.ANSWERS) == Counter([*EXERCISES])


def test_what_a_reader_might_write() -> None:
    def best_pair(words: dict[tuple[bytes, ...], int]) -> tuple[bytes, bytes]:
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for word in words:
            counts.update(pairwise(word))
        return max(counts, key=lambda pair: counts[pair])

    with pytest.raises(CheckError, match=r"(?s)best_pair\(\{\(b'l'.*should give \(b's', b't'\)"):
        exercises.check("tok-best-pair", best_pair)

    def encode_word(word: bytes, merges: list[tuple[bytes, bytes]]) -> list[bytes]:
        tokens = [bytes([byte]) for byte in word]
        place = 0
        while place < len(tokens) - 1:
            if (tokens[place], tokens[place + 1]) in merges:
                tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]
                place = 0
            else:
                place += 1
        return tokens

    with pytest.raises(CheckError, match="The list is an order"):
        exercises.check("tok-encode", encode_word)


def double(cases: list[Case], *mistakes: Mistake) -> Exercise:
    return Exercise("test-double", 99, lambda: cases, "Twice.", mistakes)


CASES = [Case(([1, 2],), [2, 4], "Each number twice."), Case(([],), [], "Nothing.")]


def empty_stub(numbers: list[int]) -> list[int]:
    raise NotImplementedError


def divides(numbers: list[int]) -> list[int]:
    return [number // 0 for number in numbers]


def in_place(numbers: list[int]) -> list[int]:
    numbers[:] = [2 * number for number in numbers]
    return numbers


def wrong_in_place(numbers: list[int]) -> list[int]:
    numbers.append(0)
    return numbers


def forgets(numbers: list[int]) -> list[int] | None:
    return numbers if not numbers else None


def inside_numpy(numbers: list[int]) -> Any:
    return np.stack([])


def in_a_generator(numbers: list[int]) -> Any:
    return (number // 0 for number in numbers)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (empty_stub, r'empty_stub is not written yet.*exercises\.hint\("test-double"\)'),
        (
            divides,
            r"(?s)divides\(\[1, 2\]\)\n.*raised  ZeroDivisionError.*\n  in line \d+: return \[num.*\nEach number",
        ),
        (
            in_a_generator,
            r"(?s)raised  ZeroDivisionError.*in line \d+: return \(number // 0.*\nEach number twice\.$",
        ),
        (inside_numpy, r"(?s)raised  ValueError: .*\n  in line \d+: return np\.stack\(\[\]\)\n"),
        (
            lambda: None,
            r"raised  TypeError: .*takes 0 positional .*\nKeep the first .*: the check calls .* with 1 argument\.$",
        ),
        (lambda numbers: None, r"gives   None\n  \(the result is None, not a list\)\nIs a return missing\?"),
        (forgets, r"gives   None\n  \(the result is None, not a list\)\nEach number twice\."),
        (
            in_place,
            r"(?s)should give \[2, 4\]\n  and does, but has changed its arguments to \(\[2, 4\],\)\n.*work on a copy",
        ),
        (
            wrong_in_place,
            r"gives   \[1, 2, 0\]\n.*has 3 items.*\n  and changed its arguments to \(\[1, 2, 0\],\)\nEach",
        ),
        (lambda numbers: numbers, r"(?s)should give \[2, 4\]\n  but gives   \[1, 2\]\nEach number twice\."),
        (lambda numbers: [2.0, 4.5], "Each number twice"),
        (
            lambda numbers: 2 * np.array([numbers]),
            r"array\(\[\[2, 4\]\]\)\n  \(the result has the shape \(1, 2\), not \(2,\)",
        ),
        (lambda numbers: "2, 4", r"gives   '2, 4'\n  \(the result is a str, not a list\)\nEach"),
    ],
)
def test_messages_say_what_went_wrong(answer: Callable[..., Any], message: str) -> None:
    with pytest.raises(CheckError, match=message) as failure:
        run_check(double(CASES), answer)
    (shown,) = failure.value._render_traceback_()
    assert shown.split() == ["✗", *str(failure.value).split()]
    assert max(map(len, shown.splitlines())) <= 100


def test_a_mistake_is_named_only_if_it_gives_every_result() -> None:
    cases = [Case((2,), 4, "why two"), Case((3,), 6, "why three"), Case((4,), 8, "why four")]
    squares = Mistake(lambda number: number**2, "a square")
    always_five = Mistake(lambda number: 5, "always five")
    exercise = double(cases, squares, always_five)
    for wrong, message in (
        (lambda number: number**2, "a square"),  # right for 2
        (lambda number: 5.0, "always five"),
        (lambda number: 9 if number == 3 else 2 * number, "why three"),
        (lambda number: 9 if number == 3 else 1 // (4 - number), "why two"),
        (lambda number: 5 if number < 4 else None, "why two"),
    ):
        with pytest.raises(CheckError, match=f"{message}$"):
            run_check(exercise, wrong)


def test_of_two_mistakes_that_fit_the_first_is_named() -> None:
    exercise = double([Case((3,), 6, "why")], Mistake(lambda _: 5, "first"), Mistake(lambda _: 5, "second"))
    with pytest.raises(CheckError, match=r"first$"):
        run_check(exercise, lambda number: 5)


def test_an_answer_that_raises_is_explained() -> None:
    cases = [Case((1.0,), 2.0, "one"), Case((0.0,), 0.0, "zero"), Case((3.0,), 6.0, "three")]
    over = Mistake(lambda x: 2 * x * x / x, "x must not be divided by itself")
    exercise = double(cases, over)

    def of_other_numbers(x: float) -> float:
        return 2 / (1 / x)

    def of_other_type(x: float) -> float:
        return 2 * x if x else int("x")

    def raises_too_often(x: float) -> float:
        return 2 * x / min(x, 3 - x)

    for wrong, message in (
        (of_other_numbers, "itself"),
        (of_other_type, "zero"),
        (raises_too_often, "zero"),
        (over.function, "itself"),
    ):
        with pytest.raises(CheckError, match=rf"(?s)raised  .*Error: .*\n  in line .*\n.*{message}$"):
            run_check(exercise, wrong)


@pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["array", "tensor"])
def test_arguments_of_all_kinds_are_copied_and_watched(make: Callable[[list[float]], Any]) -> None:
    given = make([1.0, 2.0])
    exercise = double([Case((given,), [2.0, 4.0], "why"), Case(({"a": given},), 3.0, "why")])

    def changes(x: Any) -> Any:
        if isinstance(x, dict):
            x["a"] *= 1.0000001
            return 3.0
        x *= 2
        return x

    with pytest.raises(
        CheckError, match=r"and does, but has changed its arguments to \((array|tensor)\(\[2\.0"
    ):
        run_check(double(list(exercise.cases())[:1]), changes)
    with pytest.raises(CheckError, match="changed its arguments"):
        run_check(double(list(exercise.cases())[1:]), changes)
    assert given.tolist() == [1.0, 2.0]


def test_two_bytes_a_number_are_too_coarse_and_said_to_be() -> None:
    exercise = double([Case((1 / 3,), [1 / 3, 2 / 3], "why")])
    for dtype in (torch.float64, torch.float32):
        run_check(exercise, lambda x, dtype=dtype: torch.tensor([x, 2 * x], dtype=dtype, requires_grad=True))
    for dtype in (torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        with pytest.raises(CheckError, match=f"right to the precision of {name}.*float32"):
            run_check(exercise, lambda x, dtype=dtype: torch.tensor([x, 2 * x], dtype=dtype))
        with pytest.raises(CheckError, match="why"):
            run_check(exercise, lambda x, dtype=dtype: torch.tensor([x, 1.1 * x], dtype=dtype))


def test_long_results_are_shown_where_they_differ() -> None:
    expected = [[float(i), float(i * i)] for i in range(100)]
    exercise = double([Case((3,), expected, "why")])

    def nearly(_: int) -> Any:
        result = torch.tensor(expected)
        result[70, 1] = 5.0
        return result

    with pytest.raises(CheckError, match=r"first differ at \[70\]\[1\]") as failure:
        run_check(exercise, nearly)
    assert len(str(failure.value)) < 700
    assert "[70.0, 4900.0]" in str(failure.value)
    assert "[70.0, 5.0]" in str(failure.value)


def test_an_answer_that_takes_too_long_is_stopped() -> None:
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    def stubborn(n: int) -> int:
        while n > 3:
            try:
                n += 1
            except Exception:
                n = 5
        return n

    wrong_first = Case((3,), 2, "three")
    long = Case((200,), 280571172992510140037611932413038677189525, "Each number once.", at_most_seconds=0.2)
    doubled = Mistake(lambda n: 3, "three for ever")
    before = signal.getsignal(signal.SIGPROF)
    for answer in (fibonacci, stubborn):
        cases = [long] if answer is stubborn else [wrong_first, long]
        with pytest.raises(CheckError, match=r"stopped after 0\.2 seconds of computing\nEach number once\.$"):
            run_check(double(cases, doubled), answer)
    with pytest.raises(CheckError, match=r"three for ever$"):  # what was stopped has no result
        run_check(double([wrong_first, long], doubled), stubborn)
    assert signal.getsignal(signal.SIGPROF) is before
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_an_endless_loop_is_stopped_without_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "SECONDS", 0.2)

    calls = []

    def endless(numbers: list[int]) -> Any:
        calls.append(numbers)
        while True:
            try:
                numbers = numbers[:]
            except Exception:
                return numbers

    with pytest.raises(
        CheckError, match=r"stopped after 0\.2 seconds of computing\nDoes a loop never end\? Each"
    ):
        run_check(double(CASES), endless)
    assert len(calls) == 1  # it would not end on the other inputs either


def test_an_answer_is_stopped_without_a_report_from_a_destructor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python swallows an exception in a destructor, reports it on the error stream, and goes on."""
    monkeypatch.setattr(checking, "SECONDS", 0.2)
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)

    class Slow:
        def __del__(self) -> None:
            while True:
                pass

    class Broken:
        def __del__(self) -> None:
            raise KeyError

    def waits_in_a_destructor(numbers: list[int]) -> Any:
        Broken()
        Slow()
        while True:
            numbers = numbers[:]

    with pytest.raises(CheckError, match=r"stopped after 0\.2 seconds of computing"):
        run_check(double(CASES), waits_in_a_destructor)
    assert [report.exc_type for report in reports] == [KeyError]
    assert sys.unraisablehook == reports.append


def test_checks_work_where_nothing_can_be_stopped() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert (
            pool.submit(run_check, double(CASES), lambda numbers: [2 * x for x in numbers]).result().cases
            == 2
        )


def test_a_right_answer_passes_and_says_on_how_much() -> None:
    passed = run_check(double(CASES), lambda numbers: tuple(2 * number for number in numbers))
    assert repr(passed) == "✓ test-double: right on all 2 inputs"


def test_hints_are_folded_up() -> None:
    assert "<details>" in exercises.hint("tok-encode")._repr_mimebundle_()["text/html"]
    assert "&lt;b&gt;" in Hint("x-y", "<b>")._repr_mimebundle_()["text/html"]
    assert repr(Hint("x-y", "<b>")) == "Hint: <b>"


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(
        ValueError, match="exercise_id='tok-nothing' is not an exercise; the exercises are start-"
    ):
        exercises.check("tok-nothing", len)
    with pytest.raises(ValueError, match="exercise_id="):
        exercises.hint("tok-nothing")
    with pytest.raises(TypeError, match="answer=3 must be the function"):
        exercises.check("tok-encode", 3)


def test_half_of_the_parameters_is_half_of_the_parameters() -> None:
    for case in EXERCISES["tok-half-embedding"].cases():
        d_model, num_layers, tied = case.arguments
        tables = (1 if tied else 2) * case.expected * d_model
        assert tables / (tables + 12 * num_layers * d_model**2) == 0.5


def test_viterbi_cases_have_one_best_way_and_it_is_unigrams() -> None:
    for case in EXERCISES["tok-viterbi"].cases():
        word, scores = case.arguments
        for part in word.split("-"):  # no piece reaches over a hyphen
            ways = segmentations(part, scores)
            totals = sorted((sum(scores[piece] for piece in way) for way in ways), reverse=True)
            assert len(totals) == 1 or totals[0] - totals[1] > 0.01
        tokenizer = UnigramTokenizer(scores)
        assert [tokenizer.decode([token]) for token in tokenizer.encode(word)] == case.expected
