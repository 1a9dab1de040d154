"""Which compiled kernels a computation reached."""

from collections.abc import Callable
from typing import Any

import pytest

from course_lib import _kernels

Reached = Callable[[Callable[[], object]], set[str]]


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Reached:
    """Call a function and return the names of the compiled kernels that ran meanwhile."""
    seen: set[str] = set()

    def watched(name: str, kernel: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any, **options: Any) -> None:
            seen.add(name)
            kernel(*arguments, **options)

        return call

    for name, kernel in vars(_kernels).copy().items():
        if callable(kernel) and name != "available_isas":
            monkeypatch.setattr(_kernels, name, watched(name, kernel))

    def run(work: Callable[[], object]) -> set[str]:
        seen.clear()
        work()
        return set(seen)

    return run
