"""Chapter 10's pictures show the numbers they were given."""

import pandas as pd

from course_lib.chapters.ch10_memmap_data import pictures
from tests.chapters.ch10_memmap_data.samples import sizes


def test_pictures_have_alternative_texts_with_the_numbers() -> None:
    storage = pd.DataFrame({"form": ["a", "b"], "bytes_per_token": [2.0, 8.0]})
    assert pictures.storage(storage).alt == "Bytes per token: a 2.0, b 8.0"
    growth = pd.DataFrame(
        [
            (way, n, n * factor)
            for way, factor in (("mapped once", 2.0), ("mapped again", 0.0), ("read", 0.0))
            for n in (0, 50)
        ],
        columns=["way", "batches", "megabytes"],
    )
    picture = pictures.resident_growth(growth, file_megabytes=120)
    assert "mapped once 100" in picture.alt
    assert pictures.loaders(sizes()).png().startswith(b"\x89PNG")
