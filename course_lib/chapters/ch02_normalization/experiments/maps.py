"""Chapter 2: what the stored runs say, each arm at its own best rate, and which quantity orders them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from course_lib.lab import evidence

ARM = ("placement", "gain", "start")
"""The settings that make an arm of the map."""

INITIAL_BITS = 8.0
"""Bits per byte of a model that finds all bytes equally likely: where the loss of a diverged run is cut off."""

QUANTITIES = {
    "first": "stream moved by the first update",
    "largest": "largest move in the first tenth",
    "ever": "largest move of all watched",
    "logits": "logits moved by the first update",
    "worst": "worst loss in the first tenth",
    "early": "loss after the first tenth",
    "reach": "gradient of the first layer / last",
    "alike": "likeness of tokens",
}
"""What :func:`~…trainability.map_run` measures early in a run, in words."""


def tuned(points: pd.DataFrame, arms: Sequence[str] = ARM) -> pd.DataFrame:
    """Each arm at its own best rate, with its learning-rate sensitivity.

    Returns:
        A row per arm: the arms, lr, mean and sem (bits per byte, over seeds), n, sensitivity, and inside: whether the
        best rate has neighbours on both sides. An arm that is best at its smallest rate may be better still below it.
    """
    best = evidence.tuned(points, arms=arms, loss="bits", edges=True)
    spread = evidence.sensitivity(points, arms=arms, initial=INITIAL_BITS, loss="bits")
    ends = points.groupby(list(arms), sort=False)["lr"].agg(["min", "max"]).reset_index()
    rows = best.merge(spread[[*arms, "sensitivity"]], on=list(arms)).merge(ends, on=list(arms))
    inside = (rows["lr"] > rows["min"]) & (rows["lr"] < rows["max"])
    return rows.assign(inside=inside).drop(columns=["min", "max"])


def at_best(points: pd.DataFrame, arms: Sequence[str] = ARM) -> pd.DataFrame:
    """Bits per byte of each arm at its own best rate: a row per seed, a column per arm."""
    best = evidence.tuned(points, arms=arms, loss="bits", edges=True)
    chosen = evidence.at_best(points, best, arms=arms)
    return chosen.pivot(index="seed", columns=list(arms), values="bits")


def best_arms(points: pd.DataFrame) -> pd.DataFrame:
    """Bits per byte of each placement with the best of its gains, starts and rates: a row per seed, a column each."""
    runs = at_best(points)
    chosen = {name: runs[name].mean().idxmin() for name in points["placement"].unique()}
    return pd.DataFrame({name: runs[name][arm] for name, arm in chosen.items()})


def usable(
    points: pd.DataFrame, within: float, *, of: Sequence[str] = ("placement", "start")
) -> pd.DataFrame:
    """The share of settings that train well: of each group's cells, for each seed.

    A cell (an arm at one rate) is usable if its loss is at most ``within`` bits above that of its seed's best cell.

    Args:
        points: Of the map.
        within: Bits per byte.
        of: What makes a group.

    Returns:
        A row per seed, a column per group.
    """
    good = points["bits"] <= points.groupby("seed")["bits"].transform("min") + within
    shares = points.assign(good=good).groupby(["seed", *of], sort=False)["good"].mean()
    return shares.unstack(list(of))


def orderings(
    points: pd.DataFrame, *, by: Sequence[str] = tuple(QUANTITIES), within: Sequence[str] = ()
) -> "pd.Series[float]":
    """How well each quantity orders runs by their loss: Spearman's rank correlation, from -1 to 1.

    Args:
        points: Runs; those that diverged are all equally bad.
        by: Columns of quantities.
        within: Correlate among the runs that agree in these settings, and take the mean over such groups.
    """
    ranked = points[["bits", *by]].replace([np.inf, np.nan], np.finfo(float).max)
    groups = [ranked] if not within else [ranked.loc[rows.index] for _, rows in points.groupby(list(within))]
    found = [rows.corr(method="spearman")["bits"].drop("bits") for rows in groups]
    return pd.concat(found, axis=1).mean(axis=1)


def cell(points: pd.DataFrame, **settings: str | float | bool) -> pd.DataFrame:
    """The runs with these settings. Raises KeyError if there are none."""
    chosen = points
    for name, value in settings.items():
        chosen = chosen[chosen[name] == value]
    if chosen.empty:
        raise KeyError(f"no run with {settings}")
    return chosen


def best_of(points: pd.DataFrame, **settings: str | float | bool) -> "pd.Series[float]":
    """Bits per byte at the best rate of one arm, by seed."""
    chosen = cell(points, **settings)
    rate = chosen.groupby("lr")["bits"].mean().idxmin()
    return chosen[chosen["lr"] == rate].set_index("seed")["bits"]


# --- what tells whether a run gets stuck ------------------------------------------------------------------------------


def stuck(points: pd.DataFrame, level: float) -> "pd.Series[bool]":
    """Whether a run ended at ``level`` bits per byte or above, or diverged."""
    return ~(points["bits"] < level)


def cut(quantity: "pd.Series[float]", failed: "pd.Series[bool]") -> float:
    """The value that separates failed runs (above) from the others with the fewest errors.

    It is the geometric mean of two neighbouring values. Raises ValueError if all runs failed, or none.
    """
    if failed.nunique() < 2:
        raise ValueError("a cut needs runs that failed and runs that did not")
    order = quantity.to_numpy().argsort()
    values, bad = quantity.to_numpy()[order], failed.to_numpy()[order]
    # Errors of a cut behind each value: failed runs at or below it, others above it.
    errors = np.cumsum(bad) + (~bad).sum() - np.cumsum(~bad)
    place = int(errors[:-1].argmin())
    return float(np.sqrt(values[place] * values[place + 1]))


def told_apart(quantity: "pd.Series[float]", failed: "pd.Series[bool]", at: float) -> float:
    """The share of runs that a cut puts on their side: failed ones above it, the others below."""
    return float(((quantity > at) == failed).mean())
