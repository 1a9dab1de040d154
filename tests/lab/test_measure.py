"""CPU seconds of functions that are called in turns."""

from collections.abc import Iterator
from functools import partial

from course_lib.lab.measure import take_turns


def test_everything_takes_its_turn() -> None:
    calls: list[str] = []
    seconds = take_turns({name: lambda name=name: calls.append(name) for name in "ab"}, 2)
    assert calls == ["a", "b"] * 3  # once to warm up
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


def test_every_turn_is_timed_by_itself() -> None:
    def work(rounds: Iterator[int]) -> None:
        sum(range(next(rounds)))

    seconds = take_turns({"work": partial(work, iter([1, 3_000_000, 1, 1]))}, 3)
    first, *others = seconds["work"]
    assert first > 5 * max(others)
