"""Made-up results that the chapter's pictures and explorers draw."""

import itertools

import pandas as pd

from course_lib.chapters.ch10_memmap_data import pictures


def sizes() -> pd.DataFrame:
    rows = [
        (way, pattern, batch, context, (place + 1) * batch * context / 10, (place + 1.0) * batch * slow)
        for place, way in enumerate(pictures.WAYS)
        for pattern, slow in (("at random", 1), ("in order", 0))
        for batch, context in itertools.product((8, 64, 128), (64, 256))
    ]
    return pd.DataFrame(rows, columns=["way", "pattern", "batch", "context", "microseconds", "megabytes"])
