"""Chapter 7: weight decay inside Adam (L2) and beside it (AdamW).

The problems are small enough to know the answer: a quadratic in two dimensions, the propositions of Loshchilov &
Hutter, weights under pure noise, and a small noisy classification for a whole grid of hyperparameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import optim
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.small_runs import one_thread
from course_lib.optim import reference

OPTIMIZERS = ("SGD", "SGD + momentum", "Adam + L2", "AdamW")

# --- paths in two dimensions ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """The path of one optimizer over a quadratic in two dimensions.

    ``points`` (steps + 1, 2); ``gradient_norms`` and ``update_norms`` (steps,).
    """

    points: np.ndarray
    gradient_norms: np.ndarray
    update_norms: np.ndarray


@dataclass(frozen=True)
class Bowl:
    """f(w) = (w - minimum)ᵀ H (w - minimum) / 2, where H has the eigenvalues 1 and 1 / condition.

    ``angle``: degrees from the first axis to the steep direction.
    """

    condition: float
    angle: float = 0.0
    minimum: tuple[float, float] = (1.0, 1.0)

    @property
    def hessian(self) -> np.ndarray:
        """H, (2, 2)."""
        turn = np.radians(self.angle)
        steep = np.array([np.cos(turn), np.sin(turn)])
        return np.outer(steep, steep) + (np.eye(2) - np.outer(steep, steep)) / self.condition

    def minimum_with_l2(self, l2: float) -> np.ndarray:
        """The minimum of f(w) + l2 · |w|² / 2, (2,)."""
        hessian = self.hessian
        return np.asarray(np.linalg.solve(hessian + l2 * np.eye(2), hessian @ np.array(self.minimum)))


@float32_on_cpu()
def path(
    optimizer: str,
    bowl: Bowl,
    *,
    lr: float,
    decay: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    noise: float = 0.0,
    steps: int = 400,
    start: tuple[float, float] = (0.0, 2.0),
    seed: int = 0,
) -> Path:
    """Walk over a bowl with one of ``OPTIMIZERS``.

    Args:
        optimizer: Its name.
        bowl: The loss.
        lr: Learning rate.
        decay: L2 factor of the first three optimizers, or AdamW's weight decay.
        beta1: Momentum, or Adam's first beta.
        beta2: Adam's second beta.
        noise: Size of the noise in each gradient, with covariance noise² · H, like sampling noise near a good fit.
            Every optimizer gets the same noise.
        steps: Number of updates.
        start: First point.
        seed: Seed of the noise.
    """
    w = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    make: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "SGD": lambda: optim.SGD([w], lr, weight_decay=decay),
        "SGD + momentum": lambda: optim.SGD([w], lr, beta1, decay),
        "Adam + L2": lambda: optim.Adam([w], lr, (beta1, beta2), l2=decay),
        "AdamW": lambda: optim.AdamW([w], lr, (beta1, beta2), weight_decay=decay),
    }
    if optimizer not in make:
        raise ValueError(f"optimizer is {optimizer!r}; it must be one of {', '.join(OPTIMIZERS)}")
    walker = make[optimizer]()
    hessian, minimum = torch.tensor(bowl.hessian), torch.tensor(bowl.minimum, dtype=torch.float64)
    values, axes = torch.linalg.eigh(hessian)
    disturbance = torch.randn(steps, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    disturbance = noise * disturbance @ (axes * values.sqrt() @ axes.T)
    points, sizes = [w.detach().clone()], []
    for step in range(steps):
        w.grad = hessian @ (w.detach() - minimum) + disturbance[step]
        sizes.append(w.grad.norm().item())
        walker.step()
        points.append(w.detach().clone())
    way = torch.stack(points)
    return Path(way.numpy(), np.array(sizes), way.diff(dim=0).norm(dim=1).numpy())


# --- the propositions -------------------------------------------------------------------------------------------------


def best_l2_for_decay(preconditioner: Sequence[float]) -> tuple[float, float]:
    """The best imitation of decoupled decay by L2 under a diagonal preconditioner M (Loshchilov & Hutter, prop. 2).

    A step decays by λ·w if decoupled, and by λ'·M·w with L2. The λ' with the smallest mismatch |λ·w - λ'·M·w|² for
    weights w of equal size is a least-squares problem.

    Returns:
        λ' / λ, and the remaining mismatch |1 - (λ'/λ)·diag(M)| / |1|.
    """
    m = np.asarray(preconditioner, dtype=float)
    factor = m.sum() / (m @ m)
    return float(factor), float(np.linalg.norm(1 - factor * m) / np.sqrt(len(m)))


# --- which weights decay ----------------------------------------------------------------------------------------------


@float32_on_cpu()
def decay_under_noise(
    gradient_sizes: Sequence[float], *, lr: float = 1e-3, decay: float = 1.0, steps: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """The mean of weights that start at 1 and get pure noise of different sizes as gradients.

    256 weights per size; ``decay`` is AdamW's weight decay and also Adam's L2 factor.

    Returns:
        One row per optimizer, size and step (every twentieth): optimizer, gradient_size, step, weight (mean).
    """
    sizes = torch.tensor(gradient_sizes, dtype=torch.float64).unsqueeze(1)
    rows = []
    steps_by_name: dict[str, Callable[..., None]] = {
        "Adam + L2": partial(reference.adam_step, l2=decay),
        "AdamW": partial(reference.adamw_step, weight_decay=decay),
    }
    for optimizer, step_function in steps_by_name.items():
        generator = torch.Generator().manual_seed(seed)
        weights = torch.ones(len(sizes), 256, dtype=torch.float64)
        state: reference.State = {}
        for step in range(steps + 1):
            if step % 20 == 0:
                rows += [
                    (optimizer, size, step, float(mean))
                    for size, mean in zip(gradient_sizes, weights.mean(1), strict=True)
                ]
            grad = sizes * torch.randn(weights.shape, dtype=torch.float64, generator=generator)
            step_function(weights, grad, state, lr=lr)
    return pd.DataFrame(rows, columns=["optimizer", "gradient_size", "step", "weight"])


# --- the balance of noise and decay -----------------------------------------------------------------------------------


@float32_on_cpu()
def rotation(
    starts: Sequence[float],
    *,
    lr: float = 0.01,
    weight_decay: float = 0.5,
    beta1: float = 0.9,
    size: int = 1024,
    steps: int = 1200,
    seed: int = 0,
) -> pd.DataFrame:
    """AdamW on a vector whose length does not affect the loss, as before a norm; gradients are pure noise.

    The gradient of such a loss is orthogonal to w and shrinks as 1 / |w|. Noise makes w longer, decay shorter,
    until |w|² = lr · size / (2 · weight_decay); then each step turns w by sqrt(2 · lr · weight_decay · (1 - beta1)
    / (1 + beta1)) radians (Kosson et al. 2024, arXiv:2305.17212, table 1).

    Args:
        starts: Root mean squares of w to start from.
        lr: Learning rate.
        weight_decay: 0 for none.
        beta1: Adam's first beta.
        size: Numbers in w.
        steps: Number of updates.
        seed: Seed of the noise.

    Returns:
        One row per start and step (every tenth): start, weight_decay, step, rms, angle (radians turned in this step).
    """
    rows = []
    for start in starts:
        generator = torch.Generator().manual_seed(seed)
        w = torch.randn(size, dtype=torch.float64, generator=generator)
        w *= start / w.square().mean().sqrt()
        state: reference.State = {}
        for step in range(steps):
            noise = torch.randn(size, dtype=torch.float64, generator=generator)
            gradient = (noise - (noise @ w) / (w @ w) * w) / w.norm()
            before = w.clone()
            reference.adamw_step(w, gradient, state, lr=lr, betas=(beta1, 0.99), weight_decay=weight_decay)
            if step % 10 == 9:
                cosine = (w @ before / (w.norm() * before.norm())).clamp(max=1)
                rows.append(
                    (start, weight_decay, step + 1, w.square().mean().sqrt().item(), cosine.acos().item())
                )
    return pd.DataFrame(rows, columns=["start", "weight_decay", "step", "rms", "angle"])


@float32_on_cpu()
def lost_in_bfloat16(weight_rms: Sequence[float], *, lr: float = 1e-3, seed: int = 0) -> pd.DataFrame:
    """The share of updates of size ``lr`` that are lost in bfloat16 weights because w + update rounds to w.

    Returns:
        One row per size: weight_rms, lost (share of 100,000 normal weights with normal updates).
    """
    generator = torch.Generator().manual_seed(seed)
    weights, updates = torch.randn(2, 100_000, generator=generator)
    rows = []
    for rms in weight_rms:
        stored = (rms * weights).bfloat16()
        rows.append((rms, float((stored.float() + lr * updates).bfloat16().eq(stored).float().mean())))
    return pd.DataFrame(rows, columns=["weight_rms", "lost"])


# --- the grid of learning rate and decay ------------------------------------------------------------------------------

FORMS = ("Adam + L2", "AdamW", "AdamW, decay not times lr")
_FEATURES, _HIDDEN, _CLASSES, _TRAIN, _HELD_OUT = 32, 64, 4, 400, 2000
_FLIPPED = 0.25


@float32_on_cpu()
def noisy_data(seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """A small classification: "train" (400 points), "validation" and "test" (2,000 each), as (x, y).

    The 32 features have standard deviations that fall geometrically from 3 to 0.1; a random network with one hidden
    layer chooses one of four classes; in all three parts, a quarter of the labels are replaced by random classes.
    """
    generator = torch.Generator().manual_seed(seed)
    count = _TRAIN + 2 * _HELD_OUT
    x = torch.randn(count, _FEATURES, generator=generator) * torch.logspace(np.log10(3), -1, _FEATURES)
    inner = torch.randn(_FEATURES, 16, generator=generator) / _FEATURES**0.5
    outer = torch.randn(16, _CLASSES, generator=generator)
    y = ((x @ inner).tanh() @ outer).argmax(1)
    noise = torch.rand(count, generator=generator) < _FLIPPED
    y = torch.where(noise, torch.randint(_CLASSES, (count,), generator=generator), y)
    sizes = [_TRAIN, _HELD_OUT, _HELD_OUT]
    parts = zip(torch.split(x, sizes), torch.split(y, sizes), strict=True)
    return dict(zip(("train", "validation", "test"), parts, strict=True))


@float32_on_cpu()
def grid(
    form: str,
    rates: Sequence[float],
    decays: Sequence[float],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 600,
    batch_size: int | None = 32,
) -> pd.DataFrame:
    """Train a small network with every pair of learning rate and decay, all pairs at once.

    All networks of a grid are computed at once: three-dimensional weights, multiplied with ``bmm``, updated with the
    readable steps of ``course_lib.optim.reference``, in which ``lr`` may be a tensor. They see the same batches; the
    learning rate falls to zero along a cosine.

    Args:
        form: One of ``FORMS``, the form of the decay.
        rates: Peak learning rates.
        decays: L2 factors, AdamW's weight decays, or the decays of a step itself (at the peak of the schedule).
        seeds: Seeds of data and initial weights.
        steps: Number of updates.
        batch_size: Number of points in each batch, drawn at random; None for all of them.

    Returns:
        One row per pair and seed: form, lr, decay, seed, train, validation, test (cross-entropy, nats), weight_rms.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; it must be one of {', '.join(FORMS)}")
    axes = [torch.tensor(list(values), dtype=torch.float32) for values in (rates, decays)]
    lr, decay = (t.reshape(-1, 1, 1) for t in torch.meshgrid(*axes, indexing="ij"))
    frames = []
    with one_thread():
        for seed in progress(seeds, description=form, unit="grid"):
            losses = _train_batch(form, lr, decay, seed, steps, batch_size)
            labels = {
                "form": form,
                "lr": lr.flatten().numpy(),
                "decay": decay.flatten().numpy(),
                "seed": seed,
            }
            frames.append(pd.DataFrame(labels | losses))
    return pd.concat(frames, ignore_index=True)


def _train_batch(
    form: str, lr: Tensor, decay: Tensor, seed: int, steps: int, batch_size: int | None
) -> dict[str, np.ndarray]:
    """Final losses of a batch of networks; lr and decay (R, 1, 1)."""
    data = noisy_data(seed)
    generator = torch.Generator().manual_seed(seed)
    runs = len(lr)
    weights = [
        (torch.randn(1, rows, cols, generator=generator) / rows**0.5).repeat(runs, 1, 1)
        for rows, cols in ((_FEATURES, _HIDDEN), (_HIDDEN, _CLASSES))
    ]
    states: list[reference.State] = [{}, {}]
    for step in range(steps):
        for weight in weights:
            weight.requires_grad_()
        x, y = data["train"]
        if batch_size is not None:
            chosen = torch.randint(_TRAIN, (batch_size,), generator=generator)
            x, y = x[chosen], y[chosen]
        gradients = torch.autograd.grad(_losses(weights, x, y).sum(), weights)
        rate = lr * optim.cosine(step, max_lr=1.0, warmup_steps=0, total_steps=steps)
        for weight, gradient, state in zip(weights, gradients, states, strict=True):
            weight.requires_grad_(False)
            if form == "Adam + L2":
                reference.adam_step(weight, gradient, state, lr=rate, l2=decay)
            else:
                # AdamW multiplies the decay by the learning rate; dividing by the peak rate first cancels that.
                factor = decay if form == "AdamW" else decay / lr
                reference.adamw_step(weight, gradient, state, lr=rate, weight_decay=factor)
    with torch.no_grad():
        results = {part: _losses(weights, *pair).numpy() for part, pair in data.items()}
    squares = sum(weight.square().sum((1, 2)) for weight in weights)
    count = sum(weight[0].numel() for weight in weights)
    return results | {"weight_rms": (squares / count).sqrt().numpy()}


def _losses(weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each network of the batch, (R,)."""
    hidden = torch.bmm(x.expand(len(weights[0]), -1, -1), weights[0]).relu()
    logits = torch.bmm(hidden, weights[1])  # (R, N, classes)
    return F.cross_entropy(logits.transpose(1, 2), y.expand(len(logits), -1), reduction="none").mean(1)


def best_cells(results: pd.DataFrame) -> pd.DataFrame:
    """The decay with the best validation loss for each form and learning rate, and its test loss (means over seeds)."""
    means = results.groupby(["form", "lr", "decay"], sort=False)[["validation", "test"]].mean().reset_index()
    best = means.loc[means.groupby(["form", "lr"], sort=False)["validation"].idxmin()]
    return best.reset_index(drop=True)
