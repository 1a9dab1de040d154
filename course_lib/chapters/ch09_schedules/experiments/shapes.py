"""Schedules as factors on the peak learning rate."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from course_lib.checks import check_choice
from course_lib.optim import cosine, inverse_sqrt, linear, wsd

Factor = Callable[[int], float]

ARMS: Mapping[str, Mapping[str, Any]] = {
    "constant": {"shape": "constant"},
    "linear to 0": {"shape": "linear", "final": 0.0},
    "linear to 10 %": {"shape": "linear", "final": 0.1},
    "cosine to 0": {"shape": "cosine", "final": 0.0},
    "cosine to 10 %": {"shape": "cosine", "final": 0.1},
    "WSD": {"shape": "WSD", "final": 0.0},
    "WSD, 1 - sqrt": {"shape": "WSD", "final": 0.0, "cooldown": "sqrt"},
    "inverse sqrt": {"shape": "inverse sqrt"},
    "one restart": {"shape": "one restart", "final": 0.1},
}
"""The schedules that the chapter compares, as arguments of :func:`schedule`: shapes, each with its end stated."""

SHAPES = ("constant", "linear", "cosine", "one restart", "inverse sqrt", "WSD")


def schedule(
    shape: str,
    steps: int,
    *,
    warmup: float = 0.05,
    final: float = 0.0,
    decay: float = 0.2,
    cooldown: str = "linear",
) -> Factor:
    """A schedule as a factor on the peak learning rate, for updates 0 to ``steps`` - 1.

    Uses the library's functions from their step 1 on: their step 0 has rate 0, which would waste an update.

    Args:
        shape: One of ``SHAPES``. "one restart": two cosines of equal length.
        steps: Length of the run.
        warmup: Length of the linear warm-up, as a share of the run.
        final: Factor at the end of linear, cosine, restart and WSD.
        decay: Length of WSD's decay, as a share of the run.
        cooldown: Form of WSD's decay: "linear", "cosine" or "sqrt" (1 - sqrt, Hägele et al. 2024).

    Raises:
        ValueError: The shape is unknown, or the library's function rejects the arguments.
    """
    check_choice("shape", shape, SHAPES)
    warmup_steps, total = round(warmup * steps), steps + 1
    common: dict[str, Any] = {
        "max_lr": 1.0,
        "min_lr": final,
        "warmup_steps": warmup_steps,
        "total_steps": total,
    }
    match shape:
        case "linear":
            return lambda step: linear(step + 1, **common)
        case "cosine":
            return lambda step: cosine(step + 1, **common)
        case "one restart":
            return lambda step: _restart(step + 1, final, warmup_steps, total)
        case "inverse sqrt":
            # Without a warm-up the decay has no time scale: take a twentieth of the run.
            scale = warmup_steps or max(1, round(0.05 * steps))
            shift = 0 if warmup_steps else scale - 1
            return lambda step: inverse_sqrt(step + 1 + shift, max_lr=1.0, warmup_steps=scale)
        case "WSD":
            length = round(decay * steps)
            return lambda step: wsd(step + 1, **common, decay_steps=length, decay=cooldown)  # type: ignore[arg-type]
    return lambda step: wsd(step + 1, **common, decay_steps=0)


def arm(name: str, steps: int, *, warmup: float = 0.05) -> Factor:
    """One of :data:`ARMS` as a schedule of ``steps`` steps."""
    check_choice("name", name, ARMS)
    return schedule(steps=steps, warmup=warmup, **ARMS[name])


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
