"""Chapter 4's pictures show the numbers they were given, and its explorers what they say."""

import math

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch04_rope import explorers, pictures


def test_precision_has_a_line_a_format() -> None:
    rows = [(name, shift, 1e-3 * (shift + 1)) for name in ("float32", "bfloat16") for shift in (0, 64, 1024)]
    picture = pictures.precision(pd.DataFrame(rows, columns=["dtype", "shift", "error"]))
    lines = [line for line in picture.figure.axes[0].get_lines() if len(np.asarray(line.get_xdata()))]
    assert [list(np.asarray(line.get_ydata())) for line in lines] == [[1e-3, 0.065, 1.025]] * 2
    assert {text.get_text() for text in picture.figure.axes[0].texts} >= {"float32", "bfloat16"}


def test_positions_beyond_training_are_marked() -> None:
    rows = [(name, seed, p, p / 10) for name in ("rope", "learned") for seed in (0, 1) for p in (3.5, 11.5)]
    results = pd.DataFrame(rows, columns=["encoding", "seed", "position", "loss"])
    picture = pictures.beyond_training(results, trained=8)
    axes = picture.figure.axes[0]
    assert [8.0, 8.0] in [[float(x) for x in np.asarray(line.get_xdata())] for line in axes.get_lines()]
    assert {text.get_text() for text in axes.texts} == {"RoPE", "learned", "trained up to here"}
    assert "rope 1.15" in picture.alt
    assert picture.png().startswith(b"\x89PNG")


def test_stretched_has_a_panel_before_and_after() -> None:
    rows = [(m, t, 0, p, p / 10) for m in pictures.METHODS for t in (0, 40) for p in (3.5, 11.5, 19.5)]
    results = pd.DataFrame(rows, columns=["method", "tuned", "seed", "position", "loss"])
    left, right = pictures.stretched(results, trained=8).figure.axes
    assert left.get_title(loc="left") + left.get_title() == "without further training"
    assert "40 steps" in right.get_title(loc="left") + right.get_title()
    assert left.get_ylim() == right.get_ylim()


@pytest.mark.parametrize("theta", [100.0, 10_000.0])
def test_similarity_is_the_cosine_of_turned_vectors(theta: float) -> None:
    radians = explorers.frequencies(theta, 8)
    assert radians == pytest.approx(theta ** (-np.arange(4) / 4), rel=1e-6)
    turned = np.exp(1j * 37 * radians)
    assert explorers.similarity(np.array([37]), radians)[0] == pytest.approx(turned.real.mean())


def test_the_dial_keeps_its_angles_under_a_shift() -> None:
    dial = explorers.rotation_dial()
    dial.controls["m"].value, dial.controls["n"].value = 20, 23
    angles = dial.alt.partition("angles")[2]
    dial.controls["shift"].value = 500
    assert dial.alt.partition("angles")[2] == angles
    assert "Query at 520, key at 523" in dial.alt
    (query, key), *_ = [
        [line for line in axes.get_lines() if len(np.asarray(line.get_xdata())) == 2]
        for axes in dial.figure.axes
    ]
    turned = [complex(*np.array(line.get_xydata())[1]) for line in (query, key)]
    assert turned[0] == pytest.approx(complex(math.cos(520), math.sin(520)))
    assert turned[1] / turned[0] == pytest.approx(complex(math.cos(3), math.sin(3)))


def test_the_similarity_explorer_shows_both_curves() -> None:
    explorer = explorers.similarity_explorer()
    left = explorer.figure.axes[0]
    before, after = (np.asarray(line.get_ydata(), dtype=float) for line in left.get_lines()[1:3])
    assert np.array_equal(before, after)
    explorer.controls["scaling"].value = "linear"
    explorer.controls["factor"].value = 8
    offsets, after = (np.asarray(d, dtype=float) for d in left.get_lines()[2].get_data())
    assert after == pytest.approx(
        explorers.similarity(offsets.astype(int), explorers.frequencies(10_000, 128) / 8), abs=1e-6
    )
    assert "linear by 8" in explorer.alt
    for name in ("ntk", "yarn"):
        explorer.controls["scaling"].value = name
        assert explorer.error is None
