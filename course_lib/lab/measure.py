"""Timing for chapters and benchmarks: in CPU seconds, which other programs on the machine disturb least."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from course_lib.files import progress

T = TypeVar("T")
Key = TypeVar("Key")


def cpu_seconds(function: Callable[[], T]) -> tuple[float, T]:
    """Call ``function``; return the CPU seconds of all threads of this process, and the result.

    Python's garbage collector waits, as in ``timeit``: one pass over a notebook's objects can take 0.2 s.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        started = time.process_time()
        result = function()
        return time.process_time() - started, result
    finally:
        if collecting:
            gc.enable()


def take_turns(
    work: Mapping[Key, Callable[[], object]], repeats: int, *, description: str = ""
) -> dict[Key, list[float]]:
    """CPU seconds of each function in each of ``repeats`` turns, after one turn to warm up.

    Every function is called once per turn, so that a busy machine slows all of them alike. The minimum is the least
    disturbed time; the median is the usual one.

    Args:
        work: Functions by name.
        repeats: Number of turns that are timed.
        description: Label of the progress bar; by default there is none.
    """
    seconds: dict[Key, list[float]] = {name: [] for name in work}
    for turn in progress(range(repeats + 1), description=description, enabled=bool(description)):
        for name, function in work.items():
            spent, _ = cpu_seconds(function)
            if turn:
                seconds[name].append(spent)
    return seconds
