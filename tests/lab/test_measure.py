"""CPU seconds of functions that are called in turns."""

import gc
from collections.abc import Iterator
from functools import partial

import pytest

from course_lib.lab.measure import cpu_seconds, take_turns


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


def test_the_garbage_collector_waits_and_goes_on() -> None:
    assert gc.isenabled()
    assert cpu_seconds(gc.isenabled)[1] is False
    with pytest.raises(ZeroDivisionError):
        cpu_seconds(lambda: 1 // 0)
    assert gc.isenabled()
    gc.disable()
    try:
        cpu_seconds(lambda: None)
        assert not gc.isenabled()
    finally:
        gc.enable()
