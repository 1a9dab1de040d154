"""Chapter 9: learning-rate schedules on small language models, and on a noisy bowl with a known answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from course_lib.diagnostics import Snapshot, snapshot
from course_lib.files import progress
from course_lib.lab.small_runs import (
    Comparison,
    SmallRun,
    compare,
    small_config,
    train_small,
    validation_loss,
)
from course_lib.model import TransformerLM
from course_lib.optim import cosine, inverse_sqrt, linear, param_groups, wsd

Factor = Callable[[int], float]

SHAPES = ("constant", "linear", "cosine", "one restart", "inverse sqrt", "WSD")
"""The schedules that the chapter compares."""

TINY = small_config(d_model=32, num_heads=2, context_length=32)
"""The chapter's model: half the width and context of the usual small one, since it is trained many times."""

# --- shapes -----------------------------------------------------------------------------------------------------------


def schedule(
    shape: str, steps: int, *, warmup: float = 0.1, final: float | None = None, decay: float = 0.2
) -> Factor:
    """A schedule as a factor on the peak learning rate, for updates 0 to ``steps`` - 1.

    Uses the library's functions from their step 1 on: their step 0 has rate 0, which would waste an update.

    Args:
        shape: One of ``SHAPES``. "one restart": two cosines of equal length.
        steps: Length of the run.
        warmup: Length of the linear warm-up, as a share of the run.
        final: Factor at the end of linear, cosine and WSD; default 0, for cosine 0.1 as in LLaMA.
        decay: Length of WSD's decay, as a share of the run.

    Raises:
        ValueError: The shape is unknown, or the library's function rejects the arguments.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape is {shape!r}; it must be one of {', '.join(SHAPES)}")
    warmup_steps, total = round(warmup * steps), steps + 1
    low = (0.1 if shape in ("cosine", "one restart") else 0.0) if final is None else final
    common = {"max_lr": 1.0, "min_lr": low, "warmup_steps": warmup_steps, "total_steps": total}
    match shape:
        case "linear":
            return lambda step: linear(step + 1, **common)  # type: ignore[arg-type]
        case "cosine":
            return lambda step: cosine(step + 1, **common)  # type: ignore[arg-type]
        case "one restart":
            return lambda step: _restart(step + 1, low, warmup_steps, total)
        case "inverse sqrt":
            # Without a warm-up the decay has no time scale: take a twentieth of the run.
            scale = warmup_steps or max(1, round(0.05 * steps))
            shift = 0 if warmup_steps else scale - 1
            return lambda step: inverse_sqrt(step + 1 + shift, max_lr=1.0, warmup_steps=scale)
        case "WSD":
            length = round(decay * steps)
            return lambda step: wsd(step + 1, **common, decay_steps=length)  # type: ignore[arg-type]
    return lambda step: wsd(step + 1, **common, decay_steps=0)  # type: ignore[arg-type]


def _restart(step: int, low: float, warmup_steps: int, total: int) -> float:
    """Two half-cosines in a row (Loshchilov & Hutter 2017, SGDR, with periods of equal length)."""
    half = (total + warmup_steps) // 2
    if step < half:
        return cosine(step, max_lr=1.0, min_lr=low, warmup_steps=warmup_steps, total_steps=half)
    return cosine(step - half, max_lr=1.0, min_lr=low, warmup_steps=0, total_steps=total - half)


def table(shapes: Mapping[str, Factor], steps: int) -> pd.DataFrame:
    """Factors of schedules at every step. Columns: shape, step, factor."""
    frames = [
        pd.DataFrame({"shape": name, "step": range(steps), "factor": [factor(step) for step in range(steps)]})
        for name, factor in shapes.items()
    ]
    return pd.concat(frames, ignore_index=True)


# --- real runs --------------------------------------------------------------------------------------------------------


def run(factor: Factor, *, lr: float, steps: int, **changes: Any) -> SmallRun:
    """A run of this chapter: the tiny model, AdamW(0.9, 0.95), clipping at 1. ``changes``: other settings."""
    return replace(SmallRun(config=TINY, steps=steps, lr=lr, schedule=factor, clip=1.0), **changes)


def compare_schedules(
    rates: Sequence[float] = (0.003, 0.01, 0.03),
    *,
    shapes: Sequence[str] = SHAPES,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 120,
) -> Comparison:
    """Every shape at every peak rate, with a tenth of warm-up. Labels: shape, lr."""
    cases = [
        ({"shape": shape, "lr": lr}, run(schedule(shape, steps), lr=lr, steps=steps))
        for shape in shapes
        for lr in rates
    ]
    return compare(cases, seeds, description="schedules")


def best_rates(finals: pd.DataFrame, by: str = "shape") -> pd.DataFrame:
    """The best learning rate for each value of ``by``, by mean validation loss, and the losses of its runs.

    Returns:
        One row per value: by, lr, mean, min, max; in the order of the runs.
    """
    losses = (
        finals.groupby([by, "lr"], sort=False)["validation_loss"].agg(["mean", "min", "max"]).reset_index()
    )
    best = losses.loc[losses.groupby(by, sort=False)["mean"].idxmin()]
    return best.reset_index(drop=True)


def range_test(
    low: float = 1e-4, high: float = 3.0, *, seeds: Sequence[int] = (0, 1, 2), steps: int = 100
) -> pd.DataFrame:
    """Raise the learning rate by the same factor every step and watch the loss (Smith 2017, the LR range test).

    Returns:
        One row per seed and step: seed, step, lr, loss.
    """
    growth = (high / low) ** (1 / (steps - 1))
    ramp = run(lambda step: growth**step, lr=low, steps=steps)
    runs = compare([({}, ramp)], seeds, description="range test")
    return runs.curves.assign(lr=low * growth ** runs.curves["step"])


# --- the drop of the loss at the end of the decay ---------------------------------------------------------------------


@dataclass
class _Trunk:
    """Watches a run at a constant rate: its validation loss, and that of the mean of the last ``window`` weights."""

    every: int
    window: int
    last: list[Snapshot] = field(default_factory=list)

    def watch(self, step: int, model: TransformerLM) -> Mapping[str, float]:
        self.last = [*self.last, snapshot(model)][-self.window :]
        if step % self.every or step == 0:
            return {}
        here = snapshot(model)
        found = {"validation": validation_loss(model)}
        model.load_state_dict(_mean(self.last), strict=False)
        found["averaged"] = validation_loss(model)
        model.load_state_dict(here, strict=False)
        model.train()
        return found


def _mean(snapshots: Sequence[Snapshot]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in snapshots]).mean(0) for name in snapshots[0]}


def branches(
    lr: float = 0.01,
    *,
    ends: Sequence[int] = (60, 90, 120, 150),
    seeds: Sequence[int] = (0, 1),
    decay_steps: int = 20,
    window: int = 20,
) -> pd.DataFrame:
    """A trunk at a constant rate, and decays that branch off it to end after each of ``ends`` steps.

    Runs with the same seed see the same batches, so that branch and trunk are identical until the decay begins.

    Returns:
        One row per seed and end: seed, step, trunk (validation loss there, nats/byte), averaged (of the mean of the
        trunk's last ``window`` weights), decayed (of the branch).
    """
    rows = []
    warmup = 10
    jobs = [(seed, end) for seed in seeds for end in [0, *ends]]
    trunks: dict[int, pd.DataFrame] = {}
    for seed, end in progress(jobs, description="branches", unit="run"):
        if not end:
            watcher = _Trunk(min(np.diff([0, *ends])), window)
            constant = run(
                _trapezoid(warmup, max(ends) + 1, 0), lr=lr, steps=max(ends) + 1, watch=watcher.watch
            )
            trunks[seed] = train_small(constant, seed=seed).curve.set_index("step")
            continue
        decayed = train_small(run(_trapezoid(warmup, end, decay_steps), lr=lr, steps=end), seed=seed)
        trunk = trunks[seed].loc[end]
        rows.append((seed, end, trunk["validation"], trunk["averaged"], decayed.validation_loss))
    return pd.DataFrame(rows, columns=["seed", "step", "trunk", "averaged", "decayed"])


def _trapezoid(warmup: int, steps: int, decay: int) -> Factor:
    return lambda step: wsd(
        step + 1, max_lr=1.0, warmup_steps=warmup, total_steps=steps + 1, decay_steps=decay
    )


# --- the noisy bowl ---------------------------------------------------------------------------------------------------


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
    h = np.asarray(curvatures, dtype=float)
    square = start**2 / h
    losses = [h * square / 2]
    for rate in rates:
        square = (1 - rate * h) ** 2 * square + rate**2 * noise**2
        losses.append(h * square / 2)
    frame = pd.DataFrame(losses, columns=[f"h={value:g}" for value in h])
    frame.insert(0, "total", frame.sum(axis=1))
    return frame.rename_axis("step").reset_index()


def bowl_under(
    shape: str, *, lr: float, warmup: float, decay: float, noise: float, flat: float, steps: int = 400
) -> tuple[np.ndarray, pd.DataFrame]:
    """A schedule's learning rates and the expected loss on a bowl with one steep (h = 1) and one flat direction."""
    factor = schedule(shape, steps, warmup=warmup, decay=min(decay, 1 - warmup))
    rates = lr * np.array([factor(step) for step in range(steps)])
    return rates, noisy_bowl(rates, curvatures=(1.0, flat), noise=noise)


def tuned_on_bowl(
    lengths: Sequence[int], *, shapes: Sequence[str] = SHAPES, noise: float = 1.0, flat: float = 0.01
) -> pd.DataFrame:
    """The best peak rate of each shape, and the expected loss at the end, for runs of different lengths.

    Returns:
        One row per shape and length: shape, steps, lr, loss.
    """
    rows = []
    for steps in lengths:
        for shape in shapes:
            factor = schedule(shape, steps)
            factors = np.array([factor(step) for step in range(steps)])
            losses = {}
            for lr in np.geomspace(0.02, 1.9, 25):
                descent = noisy_bowl(lr * factors, curvatures=(1.0, flat), noise=noise)
                losses[float(lr)] = float(descent["total"].iloc[-1])
            best_rate = min(losses, key=lambda lr: losses[lr])
            rows.append((shape, steps, best_rate, losses[best_rate]))
    return pd.DataFrame(rows, columns=["shape", "steps", "lr", "loss"])


# --- warm-up, decay and batch -----------------------------------------------------------------------------------------


def compare_warmup(
    *,
    lr: float = 0.02,
    placements: Sequence[str] = ("pre", "post"),
    warmups: Sequence[int] = (0, 30),
    layers: int = 4,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 100,
) -> Comparison:
    """Chapter 2's question again: the norm before or after the sublayer, with and without warm-up, no clipping.

    Labels: placement, warmup (steps).
    """
    config = replace(TINY, num_layers=layers, norm="layernorm")
    cases = [
        (
            {"placement": placement, "warmup": warmup},
            run(
                schedule("constant", steps, warmup=warmup / steps),
                lr=lr,
                steps=steps,
                clip=None,
                config=replace(config, norm_placement=placement),
            ),
        )
        for placement in placements
        for warmup in warmups
    ]
    return compare(cases, seeds, description="warm-up")


def compare_decay(
    pairs: Sequence[tuple[float, float]],
    *,
    seeds: Sequence[int] = (0, 1),
    steps: int = 150,
) -> pd.DataFrame:
    """AdamW at a constant rate with pairs of learning rate and weight decay: size of weights and relative updates.

    Returns:
        One row per pair and seed: lr, weight_decay, seed, rms (of the hidden matrices' entries at the end), rotation
        (|update| / |weights| of a step, median of the last quarter), validation_loss.
    """
    rows = []
    jobs = [(lr, decay, seed) for lr, decay in pairs for seed in seeds]
    for lr, decay, seed in progress(jobs, description="lr and decay", unit="run"):
        watcher = _Rotation()
        settings = run(
            schedule("constant", steps), lr=lr, steps=steps, weight_decay=decay, watch=watcher.watch
        )
        trained = train_small(settings, seed=seed)
        late = trained.curve.tail(steps // 4)
        rows.append(
            (lr, decay, seed, late["rms"].iloc[-1], late["rotation"].median(), trained.validation_loss)
        )
    return pd.DataFrame(rows, columns=["lr", "weight_decay", "seed", "rms", "rotation", "validation_loss"])


@dataclass
class _Rotation:
    before: Tensor | None = None

    def watch(self, step: int, model: TransformerLM) -> Mapping[str, float]:
        (group,) = param_groups(model, part="muon")
        now = torch.cat([param.detach().flatten() for _, param in group["params"]])
        before, self.before = self.before, now
        found = {"rms": float(now.square().mean().sqrt())}
        if before is not None:
            found["rotation"] = float((now - before).norm() / before.norm())
        return found


def compare_batches(
    batches: Sequence[int] = (4, 16, 64),
    rates: Sequence[float] = (0.003, 0.01, 0.03),
    *,
    sequences: int = 1600,
    seeds: Sequence[int] = (0, 1),
) -> Comparison:
    """The same number of sequences in batches of different sizes, linear decay. Labels: batch, lr."""
    cases = [
        (
            {"batch": batch, "lr": lr},
            run(schedule("linear", sequences // batch), lr=lr, steps=sequences // batch, batch_size=batch),
        )
        for batch in batches
        for lr in rates
    ]
    return compare(cases, seeds, description="batch sizes")
