"""The kit for claims: tuned comparisons, intervals, learning-rate sensitivity, and controls that could fail.

Losses are lower-is-better throughout. A claim is made from ``CLAIM`` standard errors on, and only if the t-interval
excludes zero; below that the effect is "not shown", and a comparison says how large an effect would have been.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from course_lib.lab.reference_runs import Experiment

CLAIM = 3.0
"""Standard errors from which on a difference is claimed."""


# --- tuning -----------------------------------------------------------------------------------------------------------


def tuned(
    points: pd.DataFrame,
    *,
    arms: Sequence[str] | str,
    over: str = "lr",
    loss: str = "loss",
    edges: bool = False,
) -> pd.DataFrame:
    """The best value of a nuisance hyperparameter for each arm of a comparison, by the mean over seeds.

    Args:
        points: One row per run.
        arms: Columns whose values are compared, each tuned for itself.
        over: Column that is tuned.
        loss: Column that is minimized.
        edges: Accept a best value at an end of its grid, where a better one may lie outside.

    Returns:
        One row per arm, in the order of ``points``: the arms, ``over`` (its best value), mean, sem (standard error of
        the mean over seeds) and n.

    Raises:
        ValueError: The best value is the first or last of the grid that was tried for an arm: the grid does not
            bracket.
    """
    arms = [arms] if isinstance(arms, str) else list(arms)
    means = points.groupby([*arms, over], sort=False)[loss].agg(["mean", "sem", "count"]).reset_index()
    rows = []
    for _, tried in means.groupby(arms, sort=False):
        best = tried.iloc[int(tried["mean"].argmin())]
        if not edges and best[over] in (tried[over].min(), tried[over].max()):
            arm = ", ".join(f"{name}={best[name]}" for name in arms)
            raise ValueError(
                f"{arm}: the best {over}, {best[over]:g}, is at the edge of the grid "
                f"{', '.join(f'{value:g}' for value in sorted(tried[over]))}"
            )
        rows.append(best)
    return pd.DataFrame(rows).rename(columns={"count": "n"}).reset_index(drop=True)


def at_best(
    points: pd.DataFrame, best: pd.DataFrame, *, arms: Sequence[str] | str, over: str = "lr"
) -> pd.DataFrame:
    """The runs of each arm at its best value: the rows of ``points`` that :func:`tuned` chose."""
    arms = [arms] if isinstance(arms, str) else list(arms)
    return points.merge(best[[*arms, over]], on=[*arms, over])


def at_scales(experiment: Experiment, *, arms: str, over: str = "lr", loss: str = "loss") -> pd.DataFrame:
    """Best loss of each arm at the stored scale, and at the larger one if somebody has made all of its points.

    Returns:
        One row per scale and arm: scale (the fixed settings), arm, best (value of ``over``; it may be at the edge of
        the grid at the larger scale), mean, sem and behind (the mean less the best arm's).
    """
    rows = []
    for one in (experiment, experiment.larger):
        if one is not None and one.state() == "complete":
            best = tuned(one.load(), arms=arms, over=over, loss=loss, edges=one is not experiment)
            scale = ", ".join(f"{name} {value}" for name, value in one.fixed.items())
            ranked = best.assign(scale=scale, behind=best["mean"] - best["mean"].min())
            rows.append(ranked.rename(columns={arms: "arm", over: "best"}))
    return pd.concat(rows, ignore_index=True)[["scale", "arm", "best", "mean", "sem", "behind"]]


def fitted_best(
    points: pd.DataFrame,
    *,
    arms: Sequence[str] | str,
    over: str = "lr",
    loss: str = "loss",
    seed: str = "seed",
) -> pd.DataFrame:
    """The best value of a nuisance hyperparameter between the points of its grid, for each arm and seed.

    The vertex of the parabola through the best point of the grid and its two neighbours, on a logarithmic scale: grids
    of factors of two tell optima apart that differ by less.

    Args:
        points: One row per run.
        arms: Columns whose values are compared.
        over: Column that is tuned.
        loss: Column that is minimized.
        seed: Column with the seed.

    Returns:
        One row per arm and seed: the arms, seed, ``over`` and ``loss`` (at the vertex).

    Raises:
        ValueError: The best point of an arm and seed has no neighbour on one side, or a neighbour diverged.
    """
    arms = [arms] if isinstance(arms, str) else list(arms)
    rows = []
    for key, tried in points.groupby([*arms, seed], sort=False):
        tried = tried.sort_values(over)
        at = int(tried[loss].argmin())
        near = tried.iloc[max(at - 1, 0) : at + 2]
        if at in (0, len(tried) - 1) or not np.isfinite(near[loss]).all():
            arm = ", ".join(f"{name}={value}" for name, value in zip([*arms, seed], key, strict=True))
            raise ValueError(f"{arm}: the best {over} has no finite neighbours on both sides")
        shift = np.log(near[over].to_numpy() / near[over].iloc[1])
        curve = np.polynomial.Polynomial.fit(shift, near[loss].to_numpy(), 2).convert()
        vertex = -curve.coef[1] / (2 * curve.coef[2])
        rows.append((*key, near[over].iloc[1] * np.exp(vertex), float(curve(vertex))))
    return pd.DataFrame(rows, columns=[*arms, seed, over, loss])


def sensitivity(
    points: pd.DataFrame,
    *,
    arms: Sequence[str] | str,
    initial: float,
    over: str = "lr",
    loss: str = "loss",
    between: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Learning-rate sensitivity: how much is lost on average by a rate that is not the best one.

    The mean over the rates of min(loss, loss at initialization), less the loss at the best rate (Wortsman et al.
    2023, section 2.2), of the mean loss over seeds. Rates should be evenly spaced on a logarithmic scale.

    Args:
        points: One row per run.
        arms: Columns whose values are compared.
        initial: Loss at initialization, where the loss of a diverged run is cut off.
        over: Column with the rate.
        loss: Column with the loss.
        between: Range of rates, both included; default: all that were tried.

    Returns:
        One row per arm: the arms, sensitivity, best (loss), low and high (rates).
    """
    arms = [arms] if isinstance(arms, str) else list(arms)
    low, high = between or (points[over].min(), points[over].max())
    inside = points[points[over].between(low, high)].assign(
        **{loss: lambda frame: frame[loss].clip(upper=initial)}
    )
    means = inside.groupby([*arms, over], sort=False)[loss].mean().reset_index()
    summary = means.groupby(arms, sort=False)[loss].agg(["mean", "min"]).reset_index()
    return summary.assign(
        sensitivity=summary["mean"] - summary["min"], best=summary["min"], low=low, high=high
    ).drop(columns=["mean", "min"])


# --- comparing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A difference of means with its uncertainty.

    ``mean``: first less second. ``se``: its standard error. ``low`` and ``high``: the 95 % t-interval. ``n``: pairs,
    or the smaller number of runs. ``paired``: whether runs were compared seed by seed.
    """

    mean: float
    se: float
    low: float
    high: float
    n: int
    paired: bool

    @property
    def standard_errors(self) -> float:
        """The difference in standard errors, with its sign."""
        return self.mean / self.se if self.se else float(np.copysign(np.inf, self.mean)) if self.mean else 0.0

    @property
    def shown(self) -> bool:
        """Whether the difference is large enough to be claimed: with few runs the t-interval must exclude 0 as well."""
        return abs(self.standard_errors) >= CLAIM and self.low * self.high > 0

    @property
    def detectable(self) -> float:
        """The smallest difference that would have been claimed."""
        return max(CLAIM * self.se, (self.high - self.low) / 2)

    def __str__(self) -> str:
        verdict = "" if self.shown else f"; not shown: from {self.detectable:.2g} on it would have been"
        kind = "pairs" if self.paired else "runs each"
        interval = f"95 %: {self.low:+.3g} to {self.high:+.3g}"
        return f"{self.mean:+.3g} ± {self.se:.2g} ({interval}, {self.n} {kind}){verdict}"


def paired(first: "pd.Series[float]", second: "pd.Series[float]") -> Difference:
    """The mean of first - second over seeds, for runs that share weights and batches; both are indexed by seed.

    Raises ValueError if the seeds differ, or there are fewer than two.
    """
    if set(first.index) != set(second.index) or first.index.has_duplicates or second.index.has_duplicates:
        raise ValueError(
            f"pairs need the same seeds, once each: {sorted(first.index)} and {sorted(second.index)}"
        )
    differences = (first - second).to_numpy()
    n = _enough(len(differences))
    se = float(differences.std(ddof=1) / np.sqrt(n))
    return _difference(float(differences.mean()), se, n - 1.0, n, paired=True)


def unpaired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The difference of two means, for runs that share nothing (Welch's t-interval).

    Raises ValueError if a side has fewer than two runs.
    """
    sides = [np.asarray(side, dtype=float) for side in (first, second)]
    n = _enough(min(len(side) for side in sides))
    parts = [float(side.var(ddof=1) / len(side)) for side in sides]
    se = float(np.sqrt(sum(parts)))
    spread = sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    freedom = sum(parts) ** 2 / spread if spread else float(sum(map(len, sides)) - 2)
    return _difference(float(sides[0].mean() - sides[1].mean()), se, freedom, n, paired=False)


def differences(found: Mapping[str, Difference]) -> pd.DataFrame:
    """Differences as a table, with the smallest effect that would have shown where none was.

    Columns: comparison, difference, se, low, high (95 %), n, verdict.
    """
    rows = [
        (
            name,
            one.mean,
            one.se,
            one.low,
            one.high,
            one.n,
            "shown" if one.shown else f"not shown (from {one.detectable:.2g} on)",
        )
        for name, one in found.items()
    ]
    return pd.DataFrame(rows, columns=["comparison", "difference", "se", "low", "high", "n", "verdict"])


def _enough(n: int) -> int:
    if n < 2:
        raise ValueError(f"{n} run is not enough for an interval; at least 2 are needed")
    return n


def _difference(mean: float, se: float, freedom: float, n: int, *, paired: bool) -> Difference:
    half = float(stdtrit(freedom, 0.975)) * se
    return Difference(mean, se, mean - half, mean + half, n, paired)


# --- controls ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Control:
    """An explanation and the experiment that could have refuted it.

    ``because``: the explanation, as a clause. ``change``: what was taken away or changed, all else equal. ``then``:
    what the explanation predicts. ``measured``: what happened, with numbers. ``where``: the section that shows it.
    ``stands``: whether the prediction came true.
    """

    because: str
    change: str
    then: str
    measured: str
    where: str
    stands: bool

    @property
    def verdict(self) -> str:
        """In a word: "stands" or "refuted"."""
        return "stands" if self.stands else "refuted"

    def __repr__(self) -> str:
        return (
            f"Because {self.because}?\n  changed:   {self.change}\n  predicted: {self.then}\n"
            f"  measured:  {self.measured}\n  → {self.verdict}"
        )


def control(
    *,
    because: str,
    change: str,
    then: str,
    measured: str,
    where: str,
    stands: bool | None = None,
    refuted: bool | None = None,
) -> Control:
    """State an explanation's control and assert how it came out: the one way in which chapters say "because".

    Exactly one of ``stands`` and ``refuted`` is given, as the condition on the measurements that decides::

        evidence.control(
            because="the weights rattle at a constant rate",
            change="weights averaged over the last fifth, no decay",
            then="averaging wins most of the gain",
            measured=f"{share:.0%} of it",
            where="section 4",
            stands=share > 0.6,
        )

    Raises:
        AssertionError: The condition does not hold: the chapter says something that this machine did not measure.
        ValueError: Both or neither of ``stands`` and ``refuted`` are given, or a text is empty.
    """
    if (stands is None) == (refuted is None):
        raise ValueError("give one of stands= and refuted=, the condition that decides")
    texts = {"because": because, "change": change, "then": then, "measured": measured, "where": where}
    for name, text in texts.items():
        if not text.strip():
            raise ValueError(f"{name} is empty")
    holds = stands if refuted is None else refuted
    result = Control(**texts, stands=refuted is None)
    if not holds:
        raise AssertionError(
            f"The chapter says that this {result.verdict}, but it was measured otherwise.\n{result!r}"
        )
    return result


def summary(*controls: Control) -> pd.DataFrame:
    """The controls of a chapter as the table at its end. Columns: because, control, measured, verdict, where."""
    rows = [(one.because, one.change, one.measured, one.verdict, one.where) for one in controls]
    return pd.DataFrame(rows, columns=["because", "control", "measured", "verdict", "where"])


@dataclass(frozen=True)
class Answer:
    """The answer to a prediction, displayed as a sentence below the picture."""

    text: str

    def __repr__(self) -> str:
        return f"Answer: {self.text}"

    def _repr_markdown_(self) -> str:
        return f"**Answer:** {self.text}"


def answer(text: str) -> Answer:
    """Answer a "**Predict:**" of the chapter with what was measured here.

    Args:
        text: One or two sentences with the computed number in them.

    Raises ValueError if there is no number in ``text``.
    """
    if not any(letter.isdigit() for letter in text):
        raise ValueError(f"an answer needs its number, computed in this cell: {text!r}")
    return Answer(text)
