"""Chapter 4's explorers show the angles and similarities that they describe."""

import math

import numpy as np
import pytest

from course_lib.chapters.ch04_rope import explorers


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
    assert not np.allclose(before, after)  # it starts stretched, so that its factor moves something
    alt = explorer.alt
    explorer.controls["factor"].value = 16
    assert explorer.alt != alt
    explorer.controls["scaling"].value = "none"
    before, after = (np.asarray(line.get_ydata(), dtype=float) for line in left.get_lines()[1:3])
    assert np.array_equal(before, after) and "not stretched" in explorer.alt
    explorer.controls["scaling"].value = "linear"
    explorer.controls["factor"].value = 8
    offsets, after = (np.asarray(d, dtype=float) for d in left.get_lines()[2].get_data())
    assert after == pytest.approx(
        explorers.similarity(offsets.astype(int), explorers.frequencies(10_000, 128) / 8), abs=1e-6
    )
    assert "position interpolation x8" in explorer.alt
    for name in ("ntk", "yarn", "llama3"):
        explorer.controls["scaling"].value = name
        assert explorer.error is None


def test_the_dial_writes_angles_within_half_a_turn() -> None:
    assert explorers.wrapped(math.radians(-688)) == pytest.approx(32)
    assert explorers.wrapped(math.radians(200)) == pytest.approx(-160)
    dial = explorers.rotation_dial()
    dial.controls["m"].value, dial.controls["n"].value = 0, 100
    assert f"{round(math.degrees(100) - 5760)}°" in dial.alt
    written = [text.get_text() for axes in dial.figure.axes for text in axes.texts]
    assert "query at 0, key at 100, theta 10,000" in written
