"""Running an answer on one input: what it gave, what it raised, or that it had to be stopped."""

import copy
import inspect
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from course_lib.answers import comparing
from course_lib.answers.comparing import same, settle


class _Stopped(BaseException):
    """An answer has used up its time. No Exception, so that an answer's own ``except Exception`` lets it through."""


@dataclass(frozen=True)
class Outcome:
    """What became of one call. ``arguments``: what they were after it."""

    arguments: tuple[Any, ...]
    value: Any = None
    error: Exception | None = None
    stopped: bool = False

    @property
    def finished(self) -> bool:
        """Whether there is a value."""
        return not self.error and not self.stopped

    @property
    def is_none(self) -> bool:
        """Whether the function finished without a value."""
        return self.finished and self.value is None


def run(function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> Outcome:
    """Call ``function`` on a copy of ``arguments``, for at most ``seconds`` of the process's computing time.

    Computing time, not the clock's: a busy machine, or a reader who sits at a breakpoint, costs the answer nothing.
    A loop inside a compiled function ends before it is stopped, and outside the main thread, where Python has no
    signals, nothing is.
    """
    copied = copy.deepcopy(arguments)
    try:
        with _at_most(seconds):
            value = settle(function(*copied))
    except _Stopped:
        return Outcome(copied, stopped=True)
    except Exception as error:
        return Outcome(copied, error=error)
    return Outcome(copied, value)


def alike(first: Outcome, second: Outcome) -> bool:
    """Whether two functions did the same: gave the same value, or raised the same type of error."""
    if first.error or second.error:
        return type(first.error) is type(second.error)
    return first.finished and second.finished and same(first.value, second.value)


def takes(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    """Whether ``function`` can be called with so many arguments; True if that cannot be known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a compiled function without a signature
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def place_of(error: Exception) -> str:
    """The line of the answer that an error went through last, "" if it did not get that far."""
    entries = [entry for entry in traceback.extract_tb(error.__traceback__) if entry.filename not in _OURS]
    if not entries:
        return ""
    own = [entry for entry in entries if entry.filename == entries[0].filename][-1]  # not a line of NumPy's
    return f"in line {own.lineno}: {own.line or own.name}"


_OURS = (__file__, comparing.__file__)  # what calls an answer, and what reads its iterators


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = [True]

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if armed:
            raise _Stopped

    # SIGPROF: pytest-timeout and others use SIGALRM. Again every second, for an answer that catches everything.
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        try:
            yield
        finally:
            armed.clear()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before or signal.SIG_DFL)
