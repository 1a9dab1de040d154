"""Chapter 8: Muon and AdamW on the hidden matrices of a small language model, and the directions of their updates.

Only the optimizer of the hidden matrices changes. Embedding, output head and gains have the same AdamW in every run, so
that the difference between two runs comes from the hidden matrices' optimizer and its learning rate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.optim import Optimizer

from course_lib.diagnostics import Snapshot, effective_rank, singular_values, snapshot
from course_lib.files import progress
from course_lib.lab.small_runs import Comparison, SmallRun, Trained, compare, train_small
from course_lib.model import TransformerLM
from course_lib.optim import AdamW, Muon, linear, param_groups

REST_LR = 0.03
"""AdamW's learning rate for everything but the hidden matrices: the best of 0.003, 0.01 and 0.03 with either
optimizer."""

BEST_LR = {"AdamW": 0.01, "Muon": 0.03}
"""Best learning rates of the hidden matrices in 100 steps, found with ``compare_rates``."""

_BETAS = (0.9, 0.95)
_WARMUP = 0.1  # of the run


@dataclass(frozen=True)
class HiddenOptimizer:
    """The optimizer of the hidden matrices: "AdamW" or "Muon", its learning rate, and Muon's other options."""

    name: str
    lr: float
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in BEST_LR:
            raise ValueError(f"name is {self.name!r}; it must be one of {', '.join(BEST_LR)}")

    def make(self, model: TransformerLM) -> list[Optimizer]:
        """The two optimizers of a model: hidden matrices first, then the rest."""
        hidden = param_groups(model, part="muon", weight_decay=0.0)
        rest = param_groups(model, part="rest", weight_decay=0.0)
        first = (
            Muon(hidden, self.lr, **self.options)
            if self.name == "Muon"
            else AdamW(hidden, self.lr, _BETAS, weight_decay=0.0, **self.options)
        )
        return [first, AdamW(rest, REST_LR, _BETAS, weight_decay=0.0)]


def settings(hidden: HiddenOptimizer, steps: int) -> SmallRun:
    """A run with a tenth of warm-up, then a linear decay to (nearly) zero."""
    warmup = round(_WARMUP * steps)
    return SmallRun(
        steps=steps,
        make_optimizers=hidden.make,
        schedule=lambda step: linear(step + 1, max_lr=1.0, warmup_steps=warmup, total_steps=steps + 1),
    )


def best(name: str, *, lr: float | None = None, **options: Any) -> HiddenOptimizer:
    """An optimizer at its best rate in 100 steps (``BEST_LR``), or at another one."""
    return HiddenOptimizer(name, BEST_LR[name] if lr is None else lr, options)


def compare_rates(
    rates: Mapping[str, Sequence[float]], *, seeds: Sequence[int] = (0, 1, 2), steps: int = 100
) -> Comparison:
    """Every optimizer at each of its learning rates. Labels: optimizer, lr.

    Args:
        rates: Learning rates of the hidden matrices by optimizer, "AdamW" or "Muon".
        seeds: Seeds of weights and batches.
        steps: Updates per run.
    """
    cases = [
        ({"optimizer": name, "lr": lr}, settings(HiddenOptimizer(name, lr), steps))
        for name, of_optimizer in rates.items()
        for lr in of_optimizer
    ]
    return compare(cases, seeds, description="learning rates")


def compare_options(
    variants: Mapping[str, HiddenOptimizer], *, seeds: Sequence[int] = (0, 1, 2), steps: int = 100
) -> Comparison:
    """Runs that differ in the optimizer of the hidden matrices. Label: variant."""
    cases = [({"variant": name}, settings(hidden, steps)) for name, hidden in variants.items()]
    return compare(cases, seeds, description="variants")


def summary(runs: Comparison, by: Sequence[str]) -> pd.DataFrame:
    """Validation loss by label, over seeds: mean, lowest, highest, and CPU seconds per run (median)."""
    groups = runs.finals.groupby(list(by), sort=False)
    frame = groups["validation_loss"].agg(["mean", "min", "max"])
    return frame.assign(cpu_seconds=groups["cpu_seconds"].median()).reset_index()


# --- the directions of the updates ------------------------------------------------------------------------------------


@dataclass
class Directions:
    """Watches a run: spectra of gradient, momentum and update of each hidden matrix, and snapshots of all weights.

    For every ``every``-th step: the gradient before the step, the momentum after it, and the update of the matrix over
    its learning rate.
    """

    hidden: HiddenOptimizer
    every: int = 10
    rows: list[dict[str, Any]] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    matrices: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    _optimizer: Optimizer | None = None
    _before: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _lr: float = 0.0

    def make(self, model: TransformerLM) -> Sequence[Optimizer]:
        """The optimizers of the run, remembered."""
        optimizers = self.hidden.make(model)
        self._optimizer = optimizers[0]
        return optimizers

    def watch(self, step: int, model: TransformerLM) -> Mapping[str, float]:
        """To be called between backward and update of every step."""
        if self._before:
            self._measure(step - 1, model)
        if step % self.every == 0:
            assert self._optimizer is not None
            self._lr = self._optimizer.param_groups[0]["lr"]
            self.snapshots.append(snapshot(model))
            self._before = {
                name: (param.detach().clone(), param.grad.detach().clone())
                for name, param in _hidden(model).items()
                if param.grad is not None
            }
        return {}

    def _measure(self, step: int, model: TransformerLM) -> None:
        assert self._optimizer is not None
        self.matrices = {}
        for name, param in _hidden(model).items():
            weight, gradient = self._before[name]
            state = self._optimizer.state[param]
            momentum = state.get("momentum_buffer", state.get("exp_avg"))
            update = (weight - param.detach()) / self._lr
            trio = {"gradient": gradient, "momentum": momentum.clone(), "update": update}
            self.matrices[name] = trio
            self.rows += [
                {"step": step, **_name_parts(name), "direction": direction, **_spectrum(matrix)}
                for direction, matrix in trio.items()
            ]
        self._before = {}


def _hidden(model: TransformerLM) -> dict[str, torch.nn.Parameter]:
    (group,) = param_groups(model, part="muon")
    return dict(group["params"])


def _name_parts(name: str) -> dict[str, Any]:
    """The layer (1) and the matrix ("q_proj") of a name such as "layers.1.attn.q_proj.weight"."""
    parts = name.split(".")
    return {"layer": int(parts[1]), "matrix": parts[-2]}


def _spectrum(matrix: Tensor) -> dict[str, float]:
    values = singular_values(matrix)
    return {
        "condition": float(values[0] / values[-1]),
        "effective_rank": float(effective_rank(matrix)) / len(values),
        "norm": float(values.norm()),
        "rms": float(values.norm()) / matrix.numel() ** 0.5,
    }


@dataclass(frozen=True)
class Watched:
    """Watched runs.

    Attributes:
        directions: One row per run, step, matrix and direction ("gradient", "momentum", "update"): optimizer, seed,
            step, layer, matrix, direction, condition (largest over smallest singular value), effective_rank (as a share
            of the shorter side), norm (Frobenius), rms (root mean square of the entries).
        runs: The trained models, by (optimizer, seed).
        snapshots: Weights along the way, oldest first, by (optimizer, seed); the last is the final model.
        matrices: The last measured matrices of each run, by name and direction.
    """

    directions: pd.DataFrame
    runs: dict[tuple[str, int], Trained]
    snapshots: dict[tuple[str, int], list[Snapshot]]
    matrices: dict[tuple[str, int], dict[str, dict[str, Tensor]]]


def watch_directions(
    *,
    optimizers: Sequence[str] = ("AdamW", "Muon"),
    seeds: Sequence[int] = (0, 1),
    steps: int = 100,
    every: int = 5,
) -> Watched:
    """Train with each optimizer at its best learning rate and measure its directions every ``every`` steps."""
    frames, runs, snapshots, matrices = [], {}, {}, {}
    jobs = [(name, seed) for name in optimizers for seed in seeds]
    for name, seed in progress(jobs, description="watching", unit="run"):
        watcher = Directions(best(name), every)
        watched = replace(settings(watcher.hidden, steps), make_optimizers=watcher.make, watch=watcher.watch)
        trained = train_small(watched, seed=seed)
        frames.append(pd.DataFrame(watcher.rows).assign(optimizer=name, seed=seed))
        runs[name, seed] = trained
        snapshots[name, seed] = [*watcher.snapshots, snapshot(trained.model)]
        matrices[name, seed] = watcher.matrices
    return Watched(pd.concat(frames, ignore_index=True), runs, snapshots, matrices)


def spectra(matrices: Mapping[str, Tensor]) -> pd.DataFrame:
    """Singular values of matrices, relative to the largest. Columns: matrix, rank (from 1), value."""
    frames = []
    for name, matrix in matrices.items():
        values = singular_values(matrix)
        shares = (values / values[0]).numpy()
        frames.append(pd.DataFrame({"matrix": name, "rank": range(1, len(values) + 1), "value": shares}))
    return pd.concat(frames, ignore_index=True)


def shards(matrix: Tensor, number: int, orthogonalize: Callable[[Tensor], Tensor]) -> Tensor:
    """Orthogonalize ``number`` blocks of rows separately, like workers that each see only their own rows."""
    return torch.cat([orthogonalize(part) for part in matrix.chunk(number)])
