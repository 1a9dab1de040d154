"""How large the chapters' experiments are: one knob for all, the environment variable ``COURSE_SCALE``."""

import os
from typing import Any, TypeVar

from course_lib.errors import ReaderError

T = TypeVar("T")

SCALES = ("small", "reduced", "large")


def chosen_scale() -> str:
    """What ``COURSE_SCALE`` says, "small" if it is not set. Raises ReaderError for a value that is none of ``SCALES``.

    ``course_lib.lab`` asks once when it is imported, so that a chapter's first cell tells, not one after minutes.
    """
    chosen = os.environ.get("COURSE_SCALE") or "small"
    if chosen not in SCALES:
        raise ReaderError(f"COURSE_SCALE is {chosen!r}; allowed are 'small', 'reduced' and 'large'")
    return chosen


def is_small() -> bool:
    """Whether the experiments are the small ones, which some statements of a chapter are about."""
    return chosen_scale() == "small"


def choose(*, small: T, large: T) -> T:
    """``small`` by default: two cores and a minute a chapter. ``large`` if ``COURSE_SCALE=large``: a GPU or a night.

    With ``COURSE_SCALE=reduced``, what tests use to try the large experiments in minutes: ``large``, but numbers of at
    most twice the small ones, in tuples of equal length too. Raises ReaderError for another value of ``COURSE_SCALE``.
    """
    chosen = chosen_scale()
    if chosen == "reduced":
        return _reduced(small, large)  # type: ignore[no-any-return]
    return large if chosen == "large" else small


def _reduced(small: Any, large: Any) -> Any:
    if isinstance(small, tuple) and isinstance(large, tuple) and len(small) == len(large):
        return tuple(map(_reduced, small, large))
    if isinstance(small, int | float) and not isinstance(small, bool):
        return min(large, 2 * small)
    return large
