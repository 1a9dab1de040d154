"""Stored runs side by side: each activation at its own best rate, pairs of equal seeds, Shazeer's table."""

import numpy as np
import pandas as pd
import pytest

from course_lib.chapters.ch03_gating.experiments import comparison
from course_lib.lab import evidence


def points() -> pd.DataFrame:
    """ReLU is best at 0.2, SwiGLU at 0.4 and 0.3 ahead; seeds move both by 1."""
    losses = {"relu": (3.0, 2.0, 2.1, 2.5), "swiglu": (3.0, 1.9, 1.7, 2.2)}
    rows = [
        (name, lr, seed, losses[name][place] + seed + 0.01 * seed * (name == "relu"))
        for name in losses
        for place, lr in enumerate((0.1, 0.2, 0.4, 0.8))
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["activation", "lr", "seed", "bits"])


def test_each_activation_stands_at_its_own_best_rate() -> None:
    best = comparison.best_runs(points())
    assert best.loc[0].to_dict() == {"relu": 2.0, "swiglu": 1.7}
    found = comparison.against(best, "relu")
    assert list(found) == ["swiglu"] and found["swiglu"].paired
    assert found["swiglu"].mean == pytest.approx(-0.305) and found["swiglu"].n == 2


def test_a_best_rate_at_the_edge_is_refused() -> None:
    narrow = points()[lambda frame: frame["lr"] < 0.3]
    with pytest.raises(ValueError, match="relu: the best lr"):
        comparison.best_runs(narrow.replace({"activation": {"swiglu": "glu"}}))


def test_pairs_do_away_with_what_seeds_share() -> None:
    best = comparison.best_runs(points())
    in_pairs, apart = comparison.worth_of_pairing(best, "swiglu", "relu")
    assert in_pairs == pytest.approx(0.005) and apart > 0.7
    assert apart == pytest.approx(np.hypot(best["swiglu"].sem(), best["relu"].sem()))


def test_the_published_table_has_every_gate_ahead_at_its_end() -> None:
    table = comparison.published()
    assert table.groupby("steps").size().to_dict() == {65_536: 8, 524_288: 8}
    long = table[table["steps"] == 524_288].set_index("activation")["behind"]
    assert long[["glu", "bilinear", "reglu", "geglu", "swiglu"]].max() < 0 <= long[["gelu", "silu"]].min()
    assert long["geglu"] == pytest.approx(1.633 - 1.677)


def test_published_numbers_stand_beside_ours_without_an_interval() -> None:
    best = comparison.best_runs(points())
    frame = comparison.beside_published({"ours": best})
    ours = frame[frame["panel"] == "ours"].iloc[0]
    expected = evidence.paired(best["swiglu"], best["relu"])
    assert (ours["difference"], ours["low"], ours["high"]) == (expected.mean, expected.low, expected.high)
    theirs = frame[frame["panel"] != "ours"]
    assert theirs["low"].isna().all() and len(theirs) == 14 and "relu" not in set(frame["activation"])
