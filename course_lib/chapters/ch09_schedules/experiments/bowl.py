"""A quadratic bowl with noise in its gradients, where the expected loss under a schedule is known exactly."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from course_lib.chapters.ch09_schedules.experiments.shapes import ARMS, arm, schedule


def noisy_bowl(
    rates: np.ndarray, *, curvatures: Sequence[float] = (1.0, 0.01), noise: float = 1.0, start: float = 3.0
) -> pd.DataFrame:
    """The exact expected loss of SGD on f(w) = Σ h·w²/2 with noise in every gradient.

    E[w²] ← (1 - lr·h)²·E[w²] + lr²·noise². Far from the minimum of a direction, its loss falls; once there, it stays at
    the noise floor, lr·noise² / (4 - 2·lr·h) at a constant rate.

    Args:
        rates: Learning rate of each step.
        curvatures: h of each direction.
        noise: Standard deviation of each gradient component.
        start: Initial w in each direction is this over the root of its curvature: equal shares of the initial loss.

    Returns:
        One row per step, from 0 (the start) to ``len(rates)``: step, total, and h=… for each direction.
    """
    losses = list(_losses(np.asarray(rates), np.asarray(curvatures, dtype=float), noise, start))
    frame = pd.DataFrame(losses, columns=[f"h={value:g}" for value in curvatures])
    frame.insert(0, "total", frame.sum(axis=1))
    return frame.rename_axis("step").reset_index()


def _losses(rates: np.ndarray, h: np.ndarray, noise: float, start: float) -> Iterator[np.ndarray]:
    """Expected loss in each direction (..., D) before the first and after each step, for rates (T, ...) and h (D,)."""
    square = np.broadcast_to(start**2 / h, (*rates.shape[1:], len(h)))
    yield h * square / 2
    for rate in rates[..., None]:
        square = (1 - rate * h) ** 2 * square + rate**2 * noise**2
        yield h * square / 2


def bowl_under(
    shape: str,
    *,
    lr: float,
    warmup: float,
    final: float,
    decay: float,
    noise: float,
    flat: float,
    steps: int = 400,
) -> tuple[np.ndarray, pd.DataFrame]:
    """A schedule's learning rates and the expected loss on a bowl with one steep (h = 1) and one flat direction.

    Arguments are those of :func:`~.shapes.schedule`, the peak ``lr``, the ``noise`` and the curvature ``flat``.
    """
    factor = schedule(shape, steps, warmup=warmup, final=final, decay=min(decay, 1 - warmup))
    rates = lr * np.array([factor(step) for step in range(steps)])
    return rates, noisy_bowl(rates, curvatures=(1.0, flat), noise=noise)


def winners(
    lengths: Sequence[int], curvatures: Sequence[float], *, noise: float = 1.0, rates: Sequence[float]
) -> pd.DataFrame:
    """Which of the chapter's schedules ends lowest on the bowl, each at its best peak.

    Args:
        lengths: Of the runs, in steps.
        curvatures: Of the flat direction; the steep one has 1.
        noise: Standard deviation of each gradient component.
        rates: Peaks to be tried, rising; from 2 on, the steep direction diverges.

    Returns:
        One row per length and curvature: steps, flat, winner, lr (its best peak), loss, margin (of the second best, as
        a share of the loss), gain (constant rate over the winner) and at_edge (schedules whose best peak is the first
        or last of ``rates``).
    """
    rows = []
    for steps, flat in itertools.product(lengths, curvatures):
        schedules = [arm(name, steps) for name in ARMS]
        factors = np.array([[factor(step) for factor in schedules] for step in range(steps)])  # (T, arms)
        *_, final = _losses(factors[:, :, None] * np.asarray(rates), np.array([1.0, flat]), noise, start=3.0)
        losses = pd.DataFrame(final.sum(-1), index=list(ARMS), columns=list(rates))
        best = losses.min(axis=1).sort_values()
        peaks = losses.idxmin(axis=1)
        edges = int(peaks.isin([rates[0], rates[-1]]).sum())
        margin, gain = best.iloc[1] / best.iloc[0] - 1, best["constant"] / best.iloc[0]
        rows.append((steps, flat, best.index[0], peaks[best.index[0]], best.iloc[0], margin, gain, edges))
    columns = ["steps", "flat", "winner", "lr", "loss", "margin", "gain", "at_edge"]
    return pd.DataFrame(rows, columns=columns)
