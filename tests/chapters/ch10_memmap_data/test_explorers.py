"""Chapter 10's explorers follow their controls."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch10_memmap_data import explorers, pictures
from course_lib.lab import step_memory
from tests.chapters.ch10_memmap_data.samples import sizes


def test_the_loader_explorer_shows_time_and_memory() -> None:
    explorer = explorers.loader_explorer(sizes(), sizes())
    explorer.controls["batch"].value = 128
    explorer.controls["context"].value = 64
    first, *_, last = pictures.WAYS
    assert explorer.alt == (
        f"128 windows of 64 tokens, at random: {first} is fastest, 819 microseconds; "
        f"{last} leaves the most in memory, 512 MB."
    )
    left, right = explorer.figure.axes
    ends = [bar.get_x() + bar.get_width() for bar in left.patches]  # type: ignore[attr-defined]
    assert ends == pytest.approx([819.2 * place for place in (4, 3, 2, 1)])
    assert [bar.get_width() for bar in right.patches] == [512, 384, 256, 128]  # type: ignore[attr-defined]
    assert "819  (10 M tokens/s)" in {text.get_text() for text in left.texts}
    explorer.controls["pattern"].value = "in order"
    assert [bar.get_width() for bar in right.patches] == [0, 0, 0, 0]  # type: ignore[attr-defined]


def test_the_timeline_explorer_shows_what_was_measured() -> None:
    asked: list[dict[str, int | None]] = []

    def measure(**shape: int | None) -> tuple[pd.DataFrame, float]:
        asked.append(shape)
        frame = pd.DataFrame(
            {
                "seconds": [0.0, 1.0, 2.0, 4.0],
                "megabytes": [50.0, 150.0, 70.0, 50.0],
                "phase": ["forward", "backward", "backward", "optimizer"],
                "fixed_megabytes": 50.0,
            }
        )
        return frame, 140.0

    explorer = explorers.timeline_explorer(measure)
    explorer.controls["chunked"].value = True
    explorer.controls["layers"].value = 8
    assert asked[-1] == {"num_layers": 8, "batch": 8, "vocab_size": 2000, "loss_chunk": 256}
    assert explorer.alt == (
        "The measured peak is 150 MB, in the backward pass; the formula says 140 MB. Permanent: 50 MB."
    )
    (axes,) = explorer.figure.axes
    line = axes.get_lines()[0]
    np.testing.assert_allclose(np.asarray(line.get_xdata(), dtype=float), [0, 0.25, 0.5, 1])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), dtype=float), [50, 150, 70, 50])
    assert axes.get_ylim() == (0, 200)
    assert {"forward", "backward", "the formula's peak, 140 MB"} <= {text.get_text() for text in axes.texts}


def test_the_memory_explorer_shows_what_accounting_says() -> None:
    explorer = explorers.step_memory_explorer(step_memory.parts)
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
