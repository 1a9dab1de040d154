"""Schedules side by side: each at its own best peak, pairs of equal seeds."""

import pandas as pd
import pytest

from course_lib.chapters.ch09_schedules.experiments import comparison
from course_lib.chapters.ch09_schedules.experiments.runs import ENDS


def points() -> pd.DataFrame:
    """Constant is best at 0.2 (its mean weights at 0.4), WSD at 0.4 and 0.3 ahead."""
    losses = {"constant": (3.0, 2.0, 2.1, 2.5), "WSD": (3.0, 1.9, 1.7, 2.2)}
    means = {"constant": (3.1, 1.9, 1.75, 2.5), "WSD": (3.1, 2.0, 1.8, 2.3)}
    rows = [
        (shape, lr, seed, losses[shape][place] + seed, means[shape][place] + seed)
        for shape in losses
        for place, lr in enumerate((0.1, 0.2, 0.4, 0.8))
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["shape", "lr", "seed", "bits", "averaged"])


def test_each_schedule_stands_at_its_own_best_peak() -> None:
    table = comparison.at_best_peaks(points())
    assert list(table) == ["constant", "WSD", comparison.AVERAGED]
    assert table.loc[1].tolist() == pytest.approx([3.0, 2.7, 2.75])
    found = comparison.gains(table)
    assert {name: difference.mean for name, difference in found.items()} == pytest.approx(
        {"WSD": 0.3, comparison.AVERAGED: 0.25}
    )
    assert all(difference.paired and difference.n == 2 for difference in found.values())


def test_at_one_peak_schedules_are_not_tuned() -> None:
    table = comparison.at_peak(points(), 0.2)
    assert table.loc[0, ["constant", "WSD"]].tolist() == pytest.approx([2.0, 1.9])
    assert comparison.gains(table)["WSD"].mean == pytest.approx(0.1)


def test_a_best_peak_at_the_edge_is_refused() -> None:
    frame = points()
    with pytest.raises(ValueError, match="at the edge of the grid"):
        comparison.at_best_peaks(frame[frame["lr"] > 0.1])


def test_branches_are_compared_with_their_trunk() -> None:
    columns = {}
    for end in ENDS:
        columns |= {f"trunk_{end}": 3.0, f"decayed_{end}": 2.0 + end / 1000, f"averaged_{end}": 2.5}
    frame = pd.DataFrame([{"lr": lr, "seed": seed, **columns} for lr in (0.1, 0.2) for seed in (0, 1)])
    decayed = comparison.branch_gains(frame, 0.2, "decayed")
    assert decayed["at"].tolist() == list(ENDS)
    assert decayed["mean"].tolist() == pytest.approx([1 - end / 1000 for end in ENDS])
    assert comparison.branch_gains(frame, 0.1, "averaged")["mean"].tolist() == pytest.approx([0.5] * 5)


def test_starts_are_compared_at_their_best_peaks_or_at_one() -> None:
    losses = {("pre", "none"): (3.0, 2.0, 4.0), ("pre", "20 %"): (3.0, 1.9, 2.5)}
    rows = [
        (*arm, lr, seed, values[place] + seed)
        for arm, values in losses.items()
        for place, lr in enumerate((0.1, 0.2, 0.4))
        for seed in (0, 1)
    ]
    warm = pd.DataFrame(rows, columns=["placement", "warmup", "lr", "seed", "bits"])
    assert comparison.start_gains(warm, "20 %")["pre"].mean == pytest.approx(0.1)
    assert comparison.start_gains(warm, "20 %", peaks={"pre": 0.4})["pre"].mean == pytest.approx(1.5)
    assert comparison.start_gains(warm, "none", over="20 %", peaks={"pre": 0.1})["pre"].mean == pytest.approx(
        0
    )
