"""The size of the chapters' experiments: one knob for all, the environment variable ``COURSE_SCALE``."""

import os
from typing import Any, TypeVar

from course_lib.errors import ReaderError

T = TypeVar("T")

SCALES = ("small", "reduced", "large")


def chosen_scale() -> str:
    """The value of ``COURSE_SCALE``, "small" if it is not set. Raises ReaderError if it is not one of ``SCALES``.

    ``course_lib.lab`` checks it on import, so that a wrong value fails in a chapter's first cell, not minutes later.
    """
    chosen = os.environ.get("COURSE_SCALE") or "small"
    if chosen not in SCALES:
        raise ReaderError(f"COURSE_SCALE is {chosen!r}; allowed are 'small', 'reduced' and 'large'")
    return chosen


def is_small() -> bool:
    """Whether the experiments are the small ones, the only ones that some statements of a chapter are about."""
    return chosen_scale() == "small"


def choose(*, small: T, large: T) -> T:
    """``small`` by default: two cores and a minute per chapter. ``large`` if ``COURSE_SCALE=large``: a GPU or a night.

    ``COURSE_SCALE=reduced`` lets tests try the large experiments in minutes: it gives ``large``, with every number
    (also in tuples of equal length) limited to twice the small one. Raises ReaderError for any other value.
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
