"""Learning-rate schedules (学习率调度) as functions of the step.

All take the same keywords and return the learning rate of update number ``step``, counted from 0. They warm up
linearly, ``max_lr * step / warmup_steps``, reach ``max_lr`` at ``step == warmup_steps``, and stay where they ended
after the run. To drive a torch optimizer, set ``group["lr"]`` before each step, or use ``LambdaLR`` with
``max_lr=1.0``.
"""

import math
from typing import Literal


def cosine(step: int, *, max_lr: float, min_lr: float = 0.0, warmup_steps: int, total_steps: int) -> float:
    """Half a cosine from ``max_lr`` to ``min_lr`` (Loshchilov & Hutter 2017, SGDR, equation 5, without restarts).

    LLaMA (Touvron et al. 2023, section 2.3): 2,000 steps of warm-up, min_lr a tenth of max_lr.

    Raises:
        ValueError: A rate is negative or min_lr above max_lr, a step negative, or the warm-up longer than the run.
    """
    _check(step, max_lr, min_lr, warmup_steps, total_steps)
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    if step >= total_steps:
        return min_lr
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return min_lr + 0.5 * (1 + math.cos(math.pi * progress)) * (max_lr - min_lr)


def linear(step: int, *, max_lr: float, min_lr: float = 0.0, warmup_steps: int, total_steps: int) -> float:
    """A straight line from ``max_lr`` down to ``min_lr``. Raises what :func:`cosine` raises."""
    _check(step, max_lr, min_lr, warmup_steps, total_steps)
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    if step >= total_steps:
        return min_lr
    return max_lr + (min_lr - max_lr) * (step - warmup_steps) / (total_steps - warmup_steps)


def inverse_sqrt(
    step: int, *, max_lr: float, min_lr: float = 0.0, warmup_steps: int, total_steps: int | None = None
) -> float:
    """``max_lr * sqrt(warmup_steps / step)``, not below ``min_lr`` (Vaswani et al. 2017, equation 3).

    It needs no end of the run, only the warm-up, whose length sets the scale of the decay (at least one step).
    ``total_steps`` serves to check the warm-up against the run.

    Raises:
        ValueError: As :func:`cosine`, or there is no warm-up.
    """
    _check(step, max_lr, min_lr, warmup_steps, total_steps)
    if warmup_steps < 1:
        raise ValueError(
            f"warmup_steps is {warmup_steps}; inverse_sqrt takes its time scale from it: at least 1"
        )
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    return max(min_lr, max_lr * math.sqrt(warmup_steps / step))


def wsd(
    step: int,
    *,
    max_lr: float,
    min_lr: float = 0.0,
    warmup_steps: int,
    total_steps: int,
    decay_steps: int | None = None,
    decay: Literal["linear", "cosine", "sqrt"] = "linear",
) -> float:
    """Warm-up, stable, decay: a trapezoid (Hu et al. 2024, MiniCPM, section 4; Hägele et al. 2024, arXiv:2405.18392).

    Args:
        step: Update number, from 0.
        max_lr: Rate of the stable phase.
        min_lr: Rate at the end.
        warmup_steps: Length of the warm-up.
        total_steps: Length of the run.
        decay_steps: Length of the final decay, by default a fifth of the run; 0 keeps the rate constant to the end.
        decay: Its shape: "linear", "cosine", or "sqrt", 1 - sqrt(progress), which falls fastest at first.

    Raises:
        ValueError: As :func:`cosine`, ``decay`` is unknown, or warm-up and decay together are longer than the run.
    """
    _check(step, max_lr, min_lr, warmup_steps, total_steps)
    if decay_steps is None:
        decay_steps = min(total_steps // 5, total_steps - warmup_steps)
    if not 0 <= decay_steps <= total_steps - warmup_steps:
        raise ValueError(
            f"decay_steps is {decay_steps}; with warmup_steps {warmup_steps} of total_steps {total_steps} it must be "
            f"0 … {total_steps - warmup_steps}"
        )
    if decay not in ("linear", "cosine", "sqrt"):
        raise ValueError(f"decay is {decay!r}; it must be 'linear', 'cosine' or 'sqrt'")
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    start = total_steps - decay_steps
    if step <= start or not decay_steps:
        return max_lr
    progress = min(1.0, (step - start) / decay_steps)
    if decay == "cosine":
        left = 0.5 * (1 + math.cos(math.pi * progress))
    else:
        left = 1 - (progress if decay == "linear" else math.sqrt(progress))
    return min_lr + left * (max_lr - min_lr)


def _check(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int | None) -> None:
    if step < 0:
        raise ValueError(f"step is {step}; it must be at least 0")
    if not 0 <= max_lr < math.inf:
        raise ValueError(f"max_lr is {max_lr}; it must be a finite number, at least 0")
    if not 0 <= min_lr <= max_lr:
        raise ValueError(f"min_lr is {min_lr}; it must be between 0 and max_lr, {max_lr}")
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps is {warmup_steps}; it must be at least 0")
    if total_steps is not None and total_steps < 1:
        raise ValueError(f"total_steps is {total_steps}; it must be at least 1")
    if total_steps is not None and warmup_steps > total_steps:
        raise ValueError(f"warmup_steps is {warmup_steps}, longer than the run: total_steps is {total_steps}")
