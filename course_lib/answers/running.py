"""Running an answer on one input: its result, its error, or that it had to be stopped."""

import copy
import inspect
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from course_lib.answers import comparing, methods
from course_lib.answers.comparing import same, settle


class _Stopped(BaseException):
    """An answer has used up its time. Not an Exception, so that an answer's own ``except Exception`` lets it pass."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one call. ``arguments``: their values after the call."""

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
        """Whether the function, or one of the methods of a class, finished without a value."""
        return self.finished and (
            self.value is None or (isinstance(self.value, dict) and None in self.value.values())
        )


def run(function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> Outcome:
    """Call ``function`` on a copy of ``arguments``, for at most ``seconds`` of the process's computing time.

    Computing time, not wall time: a busy machine, or a reader who waits at a breakpoint, costs the answer nothing.
    A compiled function is stopped only once it returns, and outside the main thread, where Python has no signals,
    nothing is stopped.
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
    """Whether two functions behaved alike: returned the same value, or raised the same type of error."""
    if first.error or second.error:
        return type(first.error) is type(second.error)
    return first.finished and second.finished and same(first.value, second.value)


def takes(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    """Whether ``function`` accepts that many arguments; True if that cannot be known."""
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
    """The answer's last line in an error's traceback, "" if there is none."""
    entries = [entry for entry in traceback.extract_tb(error.__traceback__) if entry.filename not in _OURS]
    if not entries:
        return ""
    own = [entry for entry in entries if entry.filename == entries[0].filename][-1]  # not a line inside NumPy
    return f"in line {own.lineno}: {own.line or own.name}"


_OURS = (__file__, comparing.__file__, methods.__file__)  # what calls an answer, and what reads its iterators


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = [True]

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if armed:
            raise _Stopped

    # In a destructor or a weak reference's callback, Python reports the exception and goes on. No reader can make
    # anything of such a report, and the next signal stops the answer.
    report = sys.unraisablehook

    def report_others(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, _Stopped):
            report(unraisable)

    # SIGPROF: pytest-timeout and others use SIGALRM. Again every second, for an answer that catches everything.
    before = signal.signal(signal.SIGPROF, stop)
    sys.unraisablehook = report_others
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        try:
            yield
        finally:
            armed.clear()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before or signal.SIG_DFL)
        sys.unraisablehook = report
