"""How the chapters measure time: in CPU seconds, which other programs on the machine disturb least."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")
Key = TypeVar("Key")


def cpu_seconds(function: Callable[[], T]) -> tuple[float, T]:
    """Call ``function``: the CPU seconds that it took on all threads of this process together, and its result."""
    started = time.process_time()
    result = function()
    return time.process_time() - started, result


def take_turns(work: Mapping[Key, Callable[[], object]], repeats: int) -> dict[Key, float]:
    """Least CPU seconds of each function, over ``repeats`` turns after one to warm up.

    All are called in turn, so that a busy machine treats them alike; the least time is the least disturbed one.
    """
    seconds: dict[Key, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, function in work.items():
            started = time.process_time()
            function()
            if turn:
                seconds[name].append(time.process_time() - started)
    return {name: min(times) for name, times in seconds.items()}
