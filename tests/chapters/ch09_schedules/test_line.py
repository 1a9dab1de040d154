"""Losses along lines end at the runs' own losses, and a barrier is what rises above both ends."""

import pandas as pd
import pytest

from course_lib.chapters.ch09_schedules.experiments import line, runs


def test_the_ends_of_the_lines_are_the_runs() -> None:
    frame = line.lines(lr=0.01, steps=20, places=3)
    assert list(frame["line"].unique()) == [line.SAME_RUN, line.OTHER_RUN]
    by_line = frame.set_index(["line", "at"])["bits"]
    records = {
        (shape, seed): runs.shape_run(seed=seed, shape=shape, lr=0.01, steps=20, batch_size=8)
        for shape, seed in (("constant", 0), ("WSD", 0), ("WSD", 1))
    }
    assert by_line[line.SAME_RUN, 0.0] == pytest.approx(records["constant", 0]["averaged"], rel=1e-5)
    assert by_line[line.SAME_RUN, 1.0] == pytest.approx(records["WSD", 0]["bits"], rel=1e-5)
    assert by_line[line.OTHER_RUN, 0.0] == pytest.approx(records["WSD", 0]["bits"], rel=1e-5)
    assert by_line[line.OTHER_RUN, 1.0] == pytest.approx(records["WSD", 1]["bits"], rel=1e-5)


def test_a_barrier_rises_above_both_ends() -> None:
    rows = {"flat": (2.0, 1.9, 1.8), "high": (2.0, 3.5, 1.0)}
    frame = pd.DataFrame(
        [
            (name, at, bits)
            for name, values in rows.items()
            for at, bits in zip((0, 0.5, 1), values, strict=True)
        ],
        columns=["line", "at", "bits"],
    )
    assert line.barriers(frame) == {"flat": 0.0, "high": 1.5}
