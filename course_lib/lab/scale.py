"""How large the chapters' experiments are: one knob for all, the environment variable ``COURSE_SCALE``."""

import os
from typing import TypeVar

T = TypeVar("T")


def choose(*, small: T, large: T) -> T:
    """``small`` by default: two cores and a minute a chapter. ``large`` if ``COURSE_SCALE=large``: a GPU or a night.

    Raises ValueError for another value of ``COURSE_SCALE``.
    """
    scale = os.environ.get("COURSE_SCALE", "small")
    if scale not in ("small", "large"):
        raise ValueError(f"COURSE_SCALE is {scale!r}; allowed are 'small' and 'large'")
    return large if scale == "large" else small
