"""Chapter 7: the right optimizer for a problem, the cost of a step, and a derivation of Adam's root."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from course_lib import optim
from course_lib.diagnostics import Snapshot, snapshot
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import SmallRun, compare, one_thread
from course_lib.model import TransformerLM
from course_lib.optim import reference

# --- a convex problem, all data at once -------------------------------------------------------------------------------


@float32_on_cpu()
def convex_race(*, evaluations: int = 100, seed: int = 0) -> pd.DataFrame:
    """Full-batch logistic regression: each optimizer's distance from the minimum after each gradient evaluation.

    500 points, 20 features of standard deviations from 3 to 0.1, labels from a random direction with noise, L2
    1e-3. The first three optimizers have the learning rate of a grid of half decades that gives the smallest final gap.

    Returns:
        One row per optimizer and evaluation: optimizer, lr, evaluation (from 1), gap (best loss so far minus the
        minimum).
    """
    loss = _logistic(seed)
    minimum = min(_lbfgs(loss, 2000))
    makers: dict[str, Callable[[nn.Parameter, float], torch.optim.Optimizer]] = {
        "gradient descent": lambda w, lr: optim.SGD([w], lr),
        "Nesterov momentum": lambda w, lr: optim.SGD([w], lr, 0.9, nesterov=True),
        "Adam": lambda w, lr: optim.Adam([w], lr),
    }
    curves = {}
    for name, make in makers.items():
        tried = {lr: _descend(loss, make, lr, evaluations) for lr in np.geomspace(1e-2, 1e1, 7)}
        curves[name] = min(tried.items(), key=lambda item: min(item[1]))
    curves["L-BFGS"] = (1.0, _lbfgs(loss, evaluations))
    frames = []
    for name, (lr, losses) in curves.items():
        gaps = np.minimum.accumulate(losses) - minimum
        labels = {"optimizer": name, "lr": lr, "evaluation": np.arange(1, len(losses) + 1)}
        frames.append(pd.DataFrame(labels | {"gap": np.maximum(gaps, 1e-16)}))
    return pd.concat(frames, ignore_index=True)


def _logistic(seed: int) -> Callable[[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(500, 20, dtype=torch.float64, generator=generator) * torch.logspace(math.log10(3), -1, 20)
    direction = torch.randn(20, dtype=torch.float64, generator=generator)
    noise = torch.randn(500, dtype=torch.float64, generator=generator)
    signs = torch.where(x @ direction + 3 * noise > 0, 1.0, -1.0)
    return lambda w: nn.functional.softplus(-signs * (x @ w)).mean() + 5e-4 * w @ w


def _descend(
    loss: Callable[[Tensor], Tensor],
    make: Callable[[nn.Parameter, float], torch.optim.Optimizer],
    lr: float,
    evaluations: int,
) -> list[float]:
    w = nn.Parameter(torch.zeros(20, dtype=torch.float64))
    optimizer, losses = make(w, lr), []
    for _ in range(evaluations):
        value = loss(w)
        losses.append(value.item())
        (w.grad,) = torch.autograd.grad(value, w)
        optimizer.step()
    return losses


def _lbfgs(loss: Callable[[Tensor], Tensor], evaluations: int) -> list[float]:
    w = nn.Parameter(torch.zeros(20, dtype=torch.float64))
    optimizer = torch.optim.LBFGS(
        [w], max_iter=evaluations, max_eval=evaluations, line_search_fn="strong_wolfe", tolerance_change=0
    )
    losses: list[float] = []

    def closure() -> Tensor:
        value = loss(w)
        losses.append(value.item())
        (w.grad,) = torch.autograd.grad(value, w)
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return losses[:evaluations]


# --- a problem that adaptive methods get wrong ------------------------------------------------------------------------


@float32_on_cpu()
def adaptive_trap(*, points: int = 200, steps: int = 500, seeds: Sequence[int] = (0, 1, 2)) -> pd.DataFrame:
    """Separable data on which gradient descent generalizes and Adam does not (Wilson et al. 2017, section 3.3).

    Point i has the label y = ±1, +1 with probability 0.7, and the features y, 1, 1, then zeros except for features that
    no other point has: one of them is 1 if y = 1, five if y = -1. Only the first feature helps on new points. Least
    squares, starting from zero.

    Returns:
        One row per optimizer and seed: optimizer, seed, train_error, test_error (shares of wrong signs).
    """
    makers: dict[str, Callable[[nn.Parameter], torch.optim.Optimizer]] = {
        "SGD + momentum": lambda w: optim.SGD([w], 0.02, 0.9),
        "Adam": lambda w: optim.Adam([w], 0.01),
    }
    rows = []
    for seed in seeds:
        x, y = _own_features(points, seed)
        new_x, new_y = _own_features(points, seed + 1000)
        new_x[:, 3:] = 0  # the private features of new points were never trained
        for name, make in makers.items():
            w = nn.Parameter(torch.zeros(x.shape[1]))
            optimizer = make(w)
            for _ in range(steps):
                w.grad = x.T @ (x @ w.detach() - y) / points
                optimizer.step()
            with torch.no_grad():
                errors = [float(((a @ w).sign() != b).float().mean()) for a, b in ((x, y), (new_x, new_y))]
            rows.append((name, seed, *errors))
    return pd.DataFrame(rows, columns=["optimizer", "seed", "train_error", "test_error"])


def _own_features(points: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.where(torch.rand(points, generator=generator) < 0.7, 1.0, -1.0)
    x = torch.zeros(points, 3 + 5 * points)
    x[:, 0], x[:, 1:3] = y, 1
    for point in range(points):
        own = 3 + 5 * point
        x[point, own : own + (1 if y[point] > 0 else 5)] = 1
    return x, y


# --- a language model -------------------------------------------------------------------------------------------------


def language_model_race(
    rates: dict[str, Sequence[float]], *, seeds: Sequence[int] = (0, 1), steps: int = 150
) -> pd.DataFrame:
    """SGD with momentum 0.9 and AdamW on the course's smallest language model, ten steps of warm-up, clipped at 1.

    Args:
        rates: Learning rates to try, by "SGD + momentum" and "AdamW".
        seeds: Seeds of weights and batches.
        steps: Number of updates.

    Returns:
        One row per run: optimizer, lr, seed, validation_loss (nats per byte), cpu_seconds.
    """
    base = SmallRun(
        steps=steps,
        clip=1.0,
        schedule=lambda step: optim.cosine(
            step + 1, max_lr=1.0, min_lr=0.1, warmup_steps=10, total_steps=steps
        ),
    )

    def settings(optimizer: str, lr: float) -> SmallRun:
        if optimizer == "AdamW":
            return replace(base, lr=lr)
        return replace(base, make_optimizers=lambda model: [optim.SGD(model.parameters(), lr, 0.9)])

    cases = [
        ({"optimizer": optimizer, "lr": lr}, settings(optimizer, lr))
        for optimizer, lrs in rates.items()
        for lr in lrs
    ]
    finals = compare(cases, seeds, description="SGD and AdamW").finals
    return finals[["optimizer", "lr", "seed", "validation_loss", "cpu_seconds"]]


def language_model_decay(
    decays: Sequence[float], *, seeds: Sequence[int] = (0, 1, 2), steps: int = 200, lr: float = 0.01
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AdamW with different decays of the matrices on the course's smallest language model.

    Returns:
        Finals, one row per run: weight_decay, seed, validation_loss, weight_rms (of the matrices). Curves, one row per
        run and step: weight_decay, seed, step, loss, gradient_norm, update_norm (of the step before), weight_rms.
    """

    def settings(decay: float) -> SmallRun:
        return SmallRun(
            steps=steps,
            schedule=lambda step: optim.cosine(
                step + 1, max_lr=1.0, min_lr=0.1, warmup_steps=10, total_steps=steps
            ),
            make_optimizers=lambda model: [
                optim.AdamW(optim.param_groups(model, weight_decay=decay), lr, (0.9, 0.95))
            ],
            watch=_Norms(),
        )

    result = compare(
        [({"weight_decay": decay}, settings(decay)) for decay in decays], seeds, description="weight decay"
    )
    last = result.curves.groupby(["weight_decay", "seed"], sort=False)["weight_rms"].last().reset_index()
    finals = result.finals[["weight_decay", "seed", "validation_loss"]].merge(last)
    return finals, result.curves


class _Norms:
    """Watches a run: norms of the full gradient and of the full last update, root mean square of the matrices."""

    def __init__(self) -> None:
        self._before: Snapshot = {}

    def __call__(self, step: int, model: TransformerLM) -> dict[str, float]:
        now = snapshot(model)
        moved = [now[name] - self._before[name] for name in now] if step else []
        self._before = now
        matrices = [param for param in now.values() if param.ndim == 2]
        squares = sum(float(matrix.square().sum()) for matrix in matrices)
        return {
            "gradient_norm": float(optim.clip_grad_norm(model.parameters(), math.inf)),
            "update_norm": float(torch.nn.utils.get_total_norm(moved)) if moved else math.nan,
            "weight_rms": math.sqrt(squares / sum(matrix.numel() for matrix in matrices)),
        }


# --- the cost of a step -----------------------------------------------------------------------------------------------


@float32_on_cpu()
def step_costs(*, num_parameters: int = 4_000_000, repeats: int = 5, seed: int = 0) -> pd.DataFrame:
    """AdamW's step in three forms, on one thread: the readable one, lists of tensors, and one fused kernel.

    Returns:
        One row per form: form, state_bytes (optimizer state, bytes per parameter), cpu_ns (median CPU nanoseconds
        per parameter).
    """
    generator = torch.Generator().manual_seed(seed)
    param = nn.Parameter(torch.randn(num_parameters, generator=generator))
    param.grad = gradient = torch.randn(num_parameters, generator=generator)
    lists, fused = (optim.AdamW([param], fused=choice) for choice in (False, True))
    state: reference.State = {}
    forms: dict[str, tuple[Callable[[], object], dict[str, object]]] = {
        "readable": (lambda: reference.adamw_step(param, gradient, state), state),
        "lists of tensors": (lists.step, lists.state[param]),
        "fused kernel": (fused.step, fused.state[param]),
    }
    with one_thread():
        seconds = take_turns({name: step for name, (step, _) in forms.items()}, repeats, description="steps")
    rows = []
    for name, (_, held) in forms.items():
        size = sum(value.nbytes for value in held.values() if isinstance(value, Tensor) and value.ndim)
        rows.append((name, size / num_parameters, 1e9 * median(seconds[name]) / num_parameters))
    return pd.DataFrame(rows, columns=["form", "state_bytes", "cpu_ns"])


# --- Adam as a filter -------------------------------------------------------------------------------------------------


def filter_rates(
    gradient_sizes: Sequence[float], *, drift: float = 1e-6, shrink: float = 0.0
) -> pd.DataFrame:
    """The step size of a Kalman filter that tracks one weight, by the size of its gradients.

    Aitchison 2020, "Bayesian filtering unifies adaptive and non-adaptive neural network optimization methods", in
    one dimension: the best value of the weight drifts, z ← (1 - shrink) · z + noise of variance ``drift``; a
    gradient of mean square g² is an observation of precision g². The filter keeps a mean and a variance s²; the mean
    first shrinks by the drift's factor, independently of the gradient (decoupled decay), then moves by s² times the
    gradient.

    Returns:
        One row per size: gradient_size, rate (s² once it no longer changes), law (sqrt(drift) / gradient_size: Adam's
        root).
    """
    rows = []
    for size in gradient_sizes:
        variance, before = drift, 0.0
        while abs(variance - before) > 1e-12 * variance:
            before = variance
            predicted = (1 - shrink) ** 2 * variance + drift
            variance = 1 / (1 / predicted + size**2)
        rows.append((size, variance, math.sqrt(drift) / size))
    return pd.DataFrame(rows, columns=["gradient_size", "rate", "law"])
