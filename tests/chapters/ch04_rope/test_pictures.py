"""Chapter 4's pictures show the numbers they were given."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch04_rope import pictures


def written(axes: object) -> set[str]:
    return {text.get_text() for text in axes.texts}  # type: ignore[attr-defined]


def test_precision_has_one_line_per_format() -> None:
    names = ("float32 angles", "bfloat16 angles")
    rows = [(name, shift, 1e-3 * (shift + 1)) for name in names for shift in (0, 64, 1024)]
    picture = pictures.precision(pd.DataFrame(rows, columns=["rounded", "shift", "error"]))
    lines = [line for line in picture.figure.axes[0].get_lines() if len(np.asarray(line.get_xdata()))]
    assert [list(np.asarray(line.get_ydata())) for line in lines] == [[1e-3, 0.065, 1.025]] * 2
    assert written(picture.figure.axes[0]) >= set(names)


def test_the_spectrum_has_no_tick_beyond_its_last_pair() -> None:
    rows = [(theta, pair, theta**pair, 1.0) for theta in (2.0, 3.0) for pair in range(64)]
    picture = pictures.spectrum(
        pd.DataFrame(rows, columns=["theta", "pair", "wavelength", "turns"]), length=4
    )
    assert list(picture.figure.axes[0].get_xticks()) == [0, 16, 32, 48, 63]


def test_near_and_far_have_a_row_per_arm_and_a_colour_per_way() -> None:
    rows = [
        (arm, seed, way, 0.9, far)
        for arm in ("rope", "none")
        for seed in (0, 1)
        for way, far in (("as it is", 0.3), ("window 64", 0.01))
    ]
    picture = pictures.near_and_far(
        pd.DataFrame(rows, columns=["arm", "seed", "way", "near", "far"]), chance=0.02
    )
    near, far = picture.figure.axes
    dots = [line for line in far.get_lines() if line.get_marker() == "o"]
    assert [list(np.asarray(line.get_xdata())) for line in dots] == [[0.3] * 4, [0.01] * 4]
    assert [label.get_text() for label in near.get_yticklabels()] == ["rope", "none"]
    assert "rope, as it is: near 0.90, far 0.30" in picture.alt and "chance" in written(far)


def test_one_pair_marks_the_wavelengths_between_the_lengths() -> None:
    rows = [(pair, 10.0 * 4**pair, seed, 0.9, 0.1 * pair) for pair in range(4) for seed in (0, 1)]
    results = pd.DataFrame(rows, columns=["pair", "wavelength", "seed", "near", "far"])
    picture = pictures.one_pair(results, plain=0.05, trained=64, read=256)
    axes = picture.figure.axes[0]
    assert written(axes) == {"0", "1", "2", "3", "a turn in 64\nto 256 tokens", "all pairs as trained"}
    assert picture.alt == "As trained 0.05; most with pairs 2, 3: 0.20, 0.30."
    means = next(line for line in axes.get_lines() if len(np.asarray(line.get_xdata())) == 4)
    assert np.asarray(means.get_ydata()) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_each_way_of_stretching_has_a_panel_that_says_what_it_reads() -> None:
    ways = list(pictures.METHODS)[2:]
    read = pd.DataFrame(
        [(way, 0, 0.9, place / 10) for place, way in enumerate(ways)], columns=["way", "seed", "near", "far"]
    )
    slowed = pd.DataFrame(
        [(way, 10.0**pair, 1 / (place + 1)) for place, way in enumerate(ways) for pair in range(3)],
        columns=["way", "wavelength", "ratio"],
    )
    picture = pictures.ways_to_stretch(read, slowed, plain=0.2)
    for place, (axes, way) in enumerate(zip(picture.figure.axes, ways, strict=True)):
        assert axes.get_title(loc="left") + axes.get_title() == way
        assert written(axes) == {f"far {place / 10:.2f}, near 0.90"}
        assert list(np.asarray(axes.get_lines()[-1].get_ydata())) == [1 / (place + 1)] * 3


def test_novels_are_ordered_by_their_bits() -> None:
    rows = [("rope", "as it is", 0, 3.0), ("rope", "window 64", 0, 2.5), ("none", "as it is", 0, 2.7)]
    picture = pictures.novels_beyond(pd.DataFrame(rows, columns=["encoding", "way", "seed", "bits"]))
    labels = [label.get_text() for label in picture.figure.axes[0].get_yticklabels()]
    assert labels == ["rope, window 64", "none, as it is", "rope, as it is"]
    assert picture.png().startswith(b"\x89PNG")
