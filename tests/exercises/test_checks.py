"""The checks themselves: typical mistakes get the message made for them, and results come from elsewhere."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from course_lib import exercises
from course_lib.exercises import EXERCISES, Case, CheckError, Exercise, Hint, Mistake
from course_lib.exercises.checking import run_check, same
from course_lib.exercises.unigram import segmentations
from course_lib.tokenizer.unigram import UnigramTokenizer

MISTAKES = [(exercise, mistake) for exercise in EXERCISES.values() for mistake in exercise.mistakes]


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda value: getattr(value, "id", None))
def test_a_typical_mistake_gets_its_message(exercise: Exercise, mistake: Mistake) -> None:
    with pytest.raises(CheckError, match=re.escape(mistake.message)):
        exercises.check(exercise.id, mistake.function)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_every_exercise_has_cases_that_decide_and_words_that_help(exercise: Exercise) -> None:
    cases = list(exercise.cases())
    assert len(cases) >= 4
    assert exercise.mistakes
    assert all(len(text) > 15 for text in (exercise.hint, *(case.why for case in cases)))
    assert [case.expected for case in cases] == [case.expected for case in exercise.cases()]
    assert not same(cases[0].expected, cases[1].expected), "a constant would get far"


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


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (empty_stub, r'empty_stub is not written yet.*exercises\.hint\("test-double"\)'),
        (divides, r"(?s)divides\(\[1, 2\]\).*raised  ZeroDivisionError.*in line \d+: return \[number // 0"),
        (lambda: None, r"raised  TypeError: .*takes 0 positional arguments but 1 was given$"),
        (lambda numbers: None, "returned None: is a return missing"),
        (in_place, r"changed its arguments to \(\[2, 4\],\)"),
        (lambda numbers: numbers, r"(?s)should give \[2, 4\]\n  but gives   \[1, 2\]\nEach number twice\."),
        (lambda numbers: [2.0, 4.5], "Each number twice"),
    ],
)
def test_messages_say_what_went_wrong(answer: Callable[..., Any], message: str) -> None:
    with pytest.raises(CheckError, match=message) as failure:
        run_check(double(CASES), answer)
    (shown,) = failure.value._render_traceback_()
    assert shown.split() == ["✗", *str(failure.value).split()]
    assert max(map(len, shown.splitlines())) <= 100


def test_mistakes_that_look_alike_are_told_apart_by_the_other_cases() -> None:
    cases = [Case((3,), 6, "why"), Case((4,), 8, "why")]
    plus_two = Mistake(lambda number: number + 2, "plus two")
    always_five = Mistake(lambda number: 5, "always five")
    exercise = double(cases, plus_two, always_five)
    with pytest.raises(CheckError, match="always five"):
        run_check(exercise, lambda number: 5)
    with pytest.raises(CheckError, match="plus two"):
        run_check(exercise, lambda number: number + 2)
    with pytest.raises(CheckError, match="why"):
        run_check(exercise, lambda number: 7)


def test_a_right_answer_passes_and_says_on_how_much() -> None:
    passed = run_check(double(CASES), lambda numbers: tuple(2 * number for number in numbers))
    assert repr(passed) == "✓ test-double: right on all 2 inputs"


def test_hints_are_folded_up() -> None:
    assert "<details>" in exercises.hint("tok-encode")._repr_mimebundle_()["text/html"]
    assert "&lt;b&gt;" in Hint("x-y", "<b>")._repr_mimebundle_()["text/html"]
    assert repr(Hint("x-y", "<b>")) == "Hint: <b>"


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="exercise_id='tok-nothing' is no exercise; there are start-"):
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
        totals = sorted(
            (sum(scores[piece] for piece in way) for way in segmentations(word, scores)), reverse=True
        )
        assert len(totals) == 1 or totals[0] - totals[1] > 0.01
        tokenizer = UnigramTokenizer(scores)
        assert [tokenizer.decode([token]) for token in tokenizer.encode(word)] == case.expected
