"""Stored runs side by side: each schedule at its own best peak, seed by seed."""

from collections.abc import Mapping

import pandas as pd

from course_lib.chapters.ch09_schedules.experiments.runs import ENDS
from course_lib.lab import evidence

AVERAGED = "constant, averaged"
"""Name of the column with the mean weights of the constant run."""


def at_best_peaks(points: pd.DataFrame) -> pd.DataFrame:
    """Bits per byte of each schedule at its own best peak.

    Args:
        points: Columns shape, lr, seed, bits, averaged.

    Returns:
        One row per seed and one column per schedule, and a column :data:`AVERAGED`: the mean weights of the constant
        run, at the peak that is best for them.

    Raises:
        ValueError: A best peak is at the edge of its grid.
    """
    best = evidence.tuned(points, arms="shape", loss="bits")
    chosen = evidence.at_best(points, best, arms="shape")
    table = chosen.pivot(index="seed", columns="shape", values="bits")[list(best["shape"])]
    flat = points[points["shape"] == "constant"]
    mean_best = evidence.tuned(flat, arms="shape", loss="averaged")
    mean = evidence.at_best(flat, mean_best, arms="shape").set_index("seed")["averaged"]
    return table.assign(**{AVERAGED: mean})


def at_peak(points: pd.DataFrame, lr: float) -> pd.DataFrame:
    """Bits per byte of each schedule at one peak, which is not the best one of each: one row per seed."""
    return points[points["lr"] == lr].pivot(index="seed", columns="shape", values="bits")


def gains(table: pd.DataFrame, over: str = "constant") -> dict[str, evidence.Difference]:
    """By how much each column of :func:`at_best_peaks` is ahead of the column ``over``, in pairs of equal seeds."""
    return {str(name): evidence.paired(table[over], table[name]) for name in table if name != over}


def branch_gains(branches: pd.DataFrame, lr: float, kind: str) -> pd.DataFrame:
    """The gain of a decay, or of the mean of the weights, over the trunk at each length.

    Args:
        branches: Columns lr, seed, and trunk_N, decayed_N, averaged_N for each end N.
        lr: Peak.
        kind: "decayed" or "averaged".

    Returns:
        One row per end: at (step), mean, low, high (95 % interval).
    """
    here = branches[branches["lr"] == lr].set_index("seed")
    rows = []
    for end in ENDS:
        difference = evidence.paired(here[f"trunk_{end}"], here[f"{kind}_{end}"])
        rows.append((end, difference.mean, difference.low, difference.high))
    return pd.DataFrame(rows, columns=["at", "mean", "low", "high"])


def start_gains(
    warm: pd.DataFrame, start: str, *, over: str = "none", peaks: Mapping[str, float] | None = None
) -> dict[str, evidence.Difference]:
    """By how much runs with one kind of start are ahead of those with another, in pairs of equal seeds.

    Args:
        warm: Columns placement, warmup, lr, seed, bits.
        start: Kind of start.
        over: The kind that it is compared with.
        peaks: Peak of both, for each placement; default: each at its own best one.

    Returns:
        The difference for each placement of the norm.
    """
    arms = ["placement", "warmup"]
    if peaks is None:
        chosen = evidence.at_best(warm, evidence.tuned(warm, arms=arms, loss="bits"), arms=arms)
    else:
        chosen = warm[warm["lr"] == warm["placement"].map(peaks)]
    found = {}
    for placement, rows in chosen.groupby("placement", sort=False):
        by_start = rows.pivot(index="seed", columns="warmup", values="bits")
        found[str(placement)] = evidence.paired(by_start[over], by_start[start])
    return found
