"""The measured limits of the machine are plausible."""

from course_lib.lab.machine import machine_limits


def test_limits_are_of_this_machine() -> None:
    limits = machine_limits(repeats=1)
    assert 1e8 < limits["flops"] < 1e14 and 1e8 < limits["bytes"] < 1e13
