"""The chapter's runs on the novels: each returns the flat record that one point of an experiment stores."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from course_lib.chapters.ch09_schedules.experiments.shapes import Factor, arm, schedule
from course_lib.diagnostics import snapshot
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.null_runs import noise_run
from course_lib.lab.small_runs import (
    SmallRun,
    compare,
    held_out_loss,
    novels_run,
    one_thread,
    small_config,
    train_small,
)
from course_lib.model import TransformerLM
from course_lib.optim import AdamW, param_groups

PIECES = 12
"""A run's training loss is kept as the mean of each twelfth of its steps."""

AVERAGED_SHARE = 0.2
"""The mean of the weights is taken over this share of a run, its end, as long as WSD's decay."""

ENDS = (150, 300, 600, 900, 1200)
"""Steps at which a decay that branched off the trunk ends."""

WARMUPS: Mapping[str, tuple[str, float]] = {
    "none": ("ramp", 0.0),
    "5 %": ("ramp", 0.05),
    "20 %": ("ramp", 0.2),
    "wait 5 %": ("wait", 0.05),
    "extra wait": ("extra wait", 0.05),
    "hold 20 %": ("hold", 0.2),
}
"""Kinds of start, and their share of the run.

A ramp; steps at rate 0 in which Adam's moments fill and no weight moves, taken from the run's or added to them; the
full peak from the first step on, held for as long as the ramp of that length takes.
"""


def shape_run(*, seed: int, shape: str, lr: float, steps: int, batch_size: int) -> dict[str, float]:
    """The default run under one of the chapter's schedules.

    Returns bits (per byte, held out), averaged (the same for the mean of the weights over the last fifth), and
    training_01 to training_12 (bits per byte, mean of each twelfth of the run).
    """
    average = _Average(first=round((1 - AVERAGED_SHARE) * steps))
    settings = novels_run(
        steps, lr=lr, batch_size=batch_size, schedule=arm(shape, steps), watch=average.watch
    )
    trained = train_small(settings, seed=seed)
    averaged = average.loss(trained.model, settings) if math.isfinite(trained.validation_loss) else math.inf
    pieces = np.array_split(trained.curve["loss"].to_numpy() / math.log(2), PIECES)
    return {
        "bits": trained.bits_per_byte,
        "averaged": settings.ids.bits_per_byte(averaged),
        **{f"training_{number:02}": float(piece.mean()) for number, piece in enumerate(pieces, 1)},
    }


def branch_run(*, seed: int, lr: float) -> dict[str, float]:
    """A trunk at a constant rate, and decays that branch off it to end at each of :data:`ENDS`.

    Runs with the same seed see the same batches, so that branch and trunk are identical until the decay begins; it
    takes the last fifth of the steps before its end.

    Returns trunk_N, averaged_N (the mean of the trunk's weights over that last fifth) and decayed_N for each end N, in
    bits per byte on held-out text.
    """
    steps = max(ENDS) + 1
    trunk = _Trunk(novels_run(steps, lr=lr, schedule=_trapezoid(steps, 0)))
    train_small(replace(trunk.settings, watch=trunk.watch), seed=seed)
    found = {name: trunk.settings.ids.bits_per_byte(loss) for name, loss in trunk.losses.items()}
    for end in ENDS:
        decayed = novels_run(end, lr=lr, schedule=_trapezoid(end, round(AVERAGED_SHARE * end)))
        found[f"decayed_{end}"] = train_small(decayed, seed=seed).bits_per_byte
    return found


def _trapezoid(steps: int, decay_steps: int) -> Factor:
    """30 steps of warm-up for every length: branches share the trunk's."""
    return schedule("WSD", steps, warmup=30 / steps, decay=decay_steps / steps)


def warmup_run(
    *, seed: int, placement: str, warmup: str, lr: float, steps: int, layers: int
) -> dict[str, float]:
    """A deeper model with the norm before or after the sublayer and one of :data:`WARMUPS`, without clipping.

    After the start the rate falls along a line to 0. Returns bits (per byte, held out) and early (the training loss
    in bits per byte, mean of steps 50 to 100).
    """
    config = small_config(num_layers=layers, norm="layernorm", norm_placement=placement)
    length, factor = start_schedule(warmup, steps)
    settings = novels_run(length, lr=lr, config=config, clip=None, schedule=factor)
    trained = train_small(settings, seed=seed)
    return {
        "bits": trained.bits_per_byte,
        "early": float(trained.curve["loss"].iloc[50:100].mean() / math.log(2)),
    }


def start_schedule(warmup: str, steps: int) -> tuple[int, Factor]:
    """The number of steps of a run with one of :data:`WARMUPS`, and its schedule as a factor on the peak rate."""
    kind, share = WARMUPS[warmup]
    length = round(share * steps)
    if kind == "extra wait":
        whole = schedule("linear", steps, warmup=0)
        return steps + length, lambda step: 0.0 if step < length else whole(step - length)
    ramp = schedule("linear", steps, warmup=share)
    early = {"wait": 0.0, "hold": 1.0}
    return steps, ramp if kind == "ramp" else lambda step: early[kind] if step < length else ramp(step)


def decay_run(*, seed: int, lr: float, weight_decay: float, steps: int) -> dict[str, float]:
    """AdamW at a constant rate after the warm-up, with a pair of learning rate and weight decay.

    Returns bits (per byte, held out), rms (of the hidden matrices' entries at the end) and rotation (size of an update
    over the size of the weights, median of the last quarter of the run).
    """
    watcher = _Rotation()
    settings = novels_run(
        steps, lr=lr, weight_decay=weight_decay, schedule=arm("constant", steps), watch=watcher.watch
    )
    trained = train_small(settings, seed=seed)
    late = trained.curve.tail(steps // 4)
    if not math.isfinite(trained.bits_per_byte):
        return dict.fromkeys(("bits", "rms", "rotation"), math.inf)
    return {
        "bits": trained.bits_per_byte,
        "rms": float(late["rms"].iloc[-1]),
        "rotation": float(late["rotation"].median()),
    }


def curves(points: pd.DataFrame, steps: int) -> pd.DataFrame:
    """The training curves that :func:`shape_run` keeps, one row per twelfth of a run.

    ``points``: columns shape, lr, seed, training_01 to training_12. Returns the columns shape, lr, seed, step (the
    middle of the twelfth) and bits.
    """
    columns = {f"training_{number:02}": (number - 0.5) * steps / PIECES for number in range(1, PIECES + 1)}
    keys = ["shape", "lr", "seed"]
    long = points[[*keys, *columns]].melt(keys, var_name="step", value_name="bits")
    return long.assign(step=long["step"].map(columns))


# --- made live --------------------------------------------------------------------------------------------------------


def range_test(
    low: float = 1e-4, high: float = 3.0, *, seeds: Sequence[int] = (0, 1, 2), steps: int = 100
) -> pd.DataFrame:
    """Raise the learning rate by the same factor in every step and watch the loss.

    Smith 2017, section 3.3, raises it along a line; the geometric ramp, which covers orders of magnitude evenly, became
    common with the library fastai.

    Returns:
        One row per seed and step: seed, step, lr, bits (training loss in bits per byte).
    """
    growth = (high / low) ** (1 / (steps - 1))
    ramp = novels_run(steps, lr=low, schedule=lambda step: growth**step, weight_decay=0.0)
    curves = compare([({}, ramp)], seeds, description="range test").curves
    return curves.assign(lr=low * growth ** curves["step"], bits=curves["loss"] / math.log(2))[
        ["seed", "step", "lr", "bits"]
    ]


@float32_on_cpu()
def noise_table(
    pairs: Sequence[tuple[float, float]],
    *,
    size: int = 64,
    steps: int = 600,
    start: float = 0.05,
    seeds: Sequence[int] = (0, 1, 2, 3),
) -> pd.DataFrame:
    """AdamW(0.9, 0.95) at a constant rate, fed with gradients of pure noise: what the size of the weights becomes.

    Args:
        pairs: Learning rate and weight decay.
        size: Of the square matrix that is updated.
        steps: Number of updates.
        start: Root mean square of the initial weights.
        seeds: Of weights and noise.

    Returns:
        One row per pair and seed: lr, weight_decay, seed, rms (at the end), rotation (size of an update over the size
        of the weights, median of the last quarter).
    """
    rows = []
    with one_thread():
        for (lr, decay), seed in itertools.product(pairs, seeds):
            generator = torch.Generator().manual_seed(seed)
            weight = torch.nn.Parameter(start * torch.randn(size, size, generator=generator))
            optimizer = AdamW([weight], lr, (0.9, 0.95), weight_decay=decay)
            before, turns = weight.detach().clone(), []
            for _ in noise_run([weight], [optimizer], steps, seed=seed):
                turns.append(float((weight.detach() - before).norm() / before.norm()))
                before = weight.detach().clone()
            rms = float(weight.detach().square().mean().sqrt())
            rows.append((lr, decay, seed, rms, statistics.median(turns[-steps // 4 :])))
    return pd.DataFrame(rows, columns=["lr", "weight_decay", "seed", "rms", "rotation"])


# --- what is watched --------------------------------------------------------------------------------------------------


@dataclass
class _Average:
    """The mean of a run's weights from step ``first`` on."""

    first: int
    total: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0

    def watch(self, step: int, model: TransformerLM) -> Mapping[str, float]:
        if step >= self.first:
            for name, weight in snapshot(model).items():
                self.total[name] = self.total[name] + weight if self.count else weight
            self.count += 1
        return {}

    def loss(self, model: TransformerLM, settings: SmallRun) -> float:
        """Held-out loss of the mean in nats; the model gets its own weights back."""
        here = snapshot(model)
        model.load_state_dict({name: total / self.count for name, total in self.total.items()}, strict=False)
        loss = held_out_loss(model, settings)
        model.load_state_dict(here, strict=False)
        return loss


@dataclass
class _Trunk:
    """The held-out loss of a run and of the mean of its last weights, at each of :data:`ENDS`."""

    settings: SmallRun
    averages: dict[int, _Average] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.averages = {end: _Average(first=end - round(AVERAGED_SHARE * end)) for end in ENDS}

    def watch(self, step: int, model: TransformerLM) -> Mapping[str, float]:
        # Before update number `step` the weights are those after `step` updates.
        if step in self.averages:
            average = self.averages.pop(step)
            self.losses[f"trunk_{step}"] = held_out_loss(model, self.settings)
            self.losses[f"averaged_{step}"] = average.loss(model, self.settings)
        for average in self.averages.values():
            average.watch(step, model)
        return {}


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
