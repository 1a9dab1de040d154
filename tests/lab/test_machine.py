"""Limits of the machine, and functions timed in turns."""

from course_lib.lab.machine import machine_limits
from course_lib.lab.measure import take_turns


def test_limits_are_of_this_machine() -> None:
    limits = machine_limits(repeats=1)
    assert 1e8 < limits["flops"] < 1e14 and 1e8 < limits["bytes"] < 1e13


def test_everything_takes_its_turn() -> None:
    calls: list[str] = []
    take_turns({name: lambda name=name: calls.append(name) for name in "ab"}, 2)
    assert calls == ["a", "b"] * 3
