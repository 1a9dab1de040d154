"""How the chapters measure time: in CPU seconds, which other programs on the machine disturb least."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def cpu_seconds(function: Callable[[], T]) -> tuple[float, T]:
    """Call ``function``: the CPU seconds that it took on all threads of this process together, and its result."""
    started = time.process_time()
    result = function()
    return time.process_time() - started, result
