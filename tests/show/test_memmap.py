"""Chapter 10's pictures say what the data say, and its explorers answer to their controls."""

import itertools

import pandas as pd

from course_lib.lab import step_memory
from course_lib.show import memmap as pictures
from course_lib.show.memmap_explorers import loader_explorer, step_memory_explorer


def speeds() -> pd.DataFrame:
    rows = [
        (way, batch, context, 0, (place + 1) * batch * context / 10)
        for place, way in enumerate(pictures.WAYS)
        for batch, context in itertools.product((8, 64, 128), (64, 256))
    ]
    return pd.DataFrame(rows, columns=["way", "batch", "context", "repeat", "microseconds"])


def test_the_loader_explorer_names_the_fastest_way() -> None:
    explorer = loader_explorer(speeds())
    explorer.controls["batch"].value = 128
    explorer.controls["context"].value = 64
    first = next(iter(pictures.WAYS))
    assert explorer.alt == f"128 windows of 64 tokens: {first} is fastest, 819 microseconds."


def test_the_memory_explorer_shows_what_accounting_says() -> None:
    explorer = step_memory_explorer(step_memory.parts)
    explorer.controls["vocabulary"].value = 128_000
    assert "the largest part is loss" in explorer.alt
    explorer.controls["chunked"].value = True
    explorer.controls["width"].value = 4096
    explorer.controls["layers"].value = 32
    explorer.controls["batch"].value = 1
    expected = step_memory.parts(
        d_model=4096, num_layers=32, batch=1, context_length=256, vocab_size=128_000, loss_chunk=256
    )
    assert explorer.alt.startswith(
        f"{expected.sum() / 1e3:,.1f} GB at the peak; the largest part is optimizer"
    )


def test_pictures_have_alternative_texts_with_the_numbers() -> None:
    storage = pd.DataFrame({"form": ["a", "b"], "bytes_per_token": [2.0, 8.0]})
    assert pictures.storage(storage).alt == "Bytes a token: a 2.0, b 8.0"
    growth = pd.DataFrame(
        [(way, n, n * factor) for way, factor in (("mapped once", 2.0), ("mapped again", 0.0), ("read", 0.0))
         for n in (0, 50)],
        columns=["way", "batches", "megabytes"],
    )  # fmt: skip
    picture = pictures.resident_growth(growth, file_megabytes=120)
    assert "mapped once 100" in picture.alt
    assert pictures.loaders(speeds()).png().startswith(b"\x89PNG")
