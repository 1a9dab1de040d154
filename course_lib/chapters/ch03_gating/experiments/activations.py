"""Chapter 3: activation functions (curves, moments, gradients through depth) and what the layers using them cost."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from course_lib.diagnostics import moved_bytes
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread
from course_lib.model import ACTIVATIONS, FFN, GatedFFN, gated_width

NAMES = ("relu", "gelu", "silu", "relu2")
"""The plain activations that the chapter compares; the tanh form of GELU is visually the same as the exact one."""

LEAKY = "leaky relu"
"""z if z > 0, else z / 4: not used by language models, but like ReLU it has no scale of its own."""

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **ACTIVATIONS,
    LEAKY: lambda z: functional.leaky_relu(z, 0.25),
}


@float32_on_cpu()
def curves(
    names: Sequence[str] = NAMES, *, low: float = -4.0, high: float = 4.0, points: int = 401
) -> pd.DataFrame:
    """Values and slopes of activation functions on a grid; slopes by autograd.

    Returns:
        Columns activation, z, value, slope.
    """
    frames = []
    for name in names:
        z = torch.linspace(low, high, points, dtype=torch.float64, requires_grad=True)
        value = _FUNCTIONS[name](z)
        (slope,) = torch.autograd.grad(value.sum(), z)
        columns = {"z": z.detach(), "value": value.detach(), "slope": slope}
        frames.append(pd.DataFrame({"activation": name} | {key: x.numpy() for key, x in columns.items()}))
    return pd.concat(frames, ignore_index=True)


def moments(names: Sequence[str] = NAMES) -> pd.DataFrame:
    """Means over a standard normal input z, by the trapezoid rule on a fine grid.

    Returns:
        Columns activation, mean E[f], power E[f²], slope_power E[f'²], and gradient_factor E[f'²] / E[f²]: the
        factor of one layer on the squared norm of a gradient if weights are scaled to keep the size of activations (He
        et al. 2015, section 2.2, for any f).
    """
    grid = curves(names, low=-12.0, high=12.0, points=240_001)
    rows = []
    for name, curve in grid.groupby("activation", sort=False):
        z, f, slope = (curve[column].to_numpy() for column in ("z", "value", "slope"))
        density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        mean, power, slope_power = (float(np.trapezoid(density * g, z)) for g in (f, f**2, slope**2))
        rows.append((name, mean, power, slope_power, slope_power / power))
    return pd.DataFrame(rows, columns=["activation", "mean", "power", "slope_power", "gradient_factor"])


@float32_on_cpu()
def size_through_chain(
    names: Sequence[str] = NAMES, *, depth: int = 30, width: int = 256, seeds: Sequence[int] = range(9)
) -> pd.DataFrame:
    """Activations and gradients in a chain x → f(W x) without residual connections or norms.

    Weights are normal with variance 1 / (width · E[f²]), so that activations would keep their size if every layer's
    input were standard normal.

    Returns:
        Columns activation, seed, layer (0, the input, … depth), size (mean square, relative to the input's) and
        gradient (norm, relative to the output's).
    """
    powers = moments(names).set_index("activation")["power"]
    rows = []
    with one_thread():
        for name in names:
            for seed in seeds:
                torch.manual_seed(seed)
                power = float(powers[name])
                steps = [(math.sqrt(power) * torch.randn(16, width)).requires_grad_()]
                for _ in range(depth):
                    weight = torch.randn(width, width) / math.sqrt(width * power)
                    steps.append(_FUNCTIONS[name](steps[-1] @ weight))
                gradients = torch.autograd.grad(steps[-1], steps, torch.randn(16, width))
                last = float(gradients[-1].norm())
                for layer, (h, gradient) in enumerate(zip(steps, gradients, strict=True)):
                    size = float(h.detach().square().mean()) / power
                    rows.append((name, seed, layer, size, float(gradient.norm()) / last))
    return pd.DataFrame(rows, columns=["activation", "seed", "layer", "size", "gradient"])


def landmarks(curves: pd.DataFrame) -> pd.DataFrame:
    """Where each curve is lowest and where it is steepest.

    Args:
        curves: From :func:`curves`.

    Returns:
        One row per activation: activation, lowest (value), at (its z, the middle of the places if there are several),
        largest_slope. A value or slope at an end of the grid says nothing beyond it.
    """
    rows = []
    for name, curve in curves.groupby("activation", sort=False):
        lowest = curve["value"].min()
        at = curve.loc[curve["value"] == lowest, "z"].mean()
        rows.append((name, lowest, at, curve["slope"].max()))
    return pd.DataFrame(rows, columns=["activation", "lowest", "at", "largest_slope"])


@float32_on_cpu()
def width_costs(
    widths: Sequence[int] = (640, 683, 684, 688, 704, 768),
    *,
    d_model: int = 256,
    tokens: int = 1024,
    repeats: int = 9,
) -> pd.DataFrame:
    """Forward and backward pass of SwiGLU layers of different hidden width, on one thread, in turns.

    Returns:
        Columns width, divides (the largest power of two that divides it), parameters, cpu_seconds (median of the
        turns) and relative_time (cpu_seconds / parameters over the first width's).
    """
    torch.manual_seed(0)
    x, dy = torch.randn(tokens, d_model, requires_grad=True), torch.randn(tokens, d_model)
    layers = {width: GatedFFN(d_model, width, "swiglu") for width in widths}
    with one_thread():
        seconds = take_turns({width: _round_trip(layer, x, dy) for width, layer in layers.items()}, repeats)
    times = {width: float(np.median(turns)) for width, turns in seconds.items()}
    # All matrices have one side that is the width, so that parameters go with it.
    unit = times[widths[0]] / widths[0]
    rows = [
        (width, width & -width, 3 * d_model * width, times[width], times[width] / width / unit)
        for width in widths
    ]
    return pd.DataFrame(rows, columns=["width", "divides", "parameters", "cpu_seconds", "relative_time"])


@float32_on_cpu()
def ffn_costs(*, width: int = 256, tokens: int = 1024, repeats: int = 7) -> pd.DataFrame:
    """Forward and backward pass of feed-forward layers of about as many parameters on one thread, in turns.

    Gated layers have the width that the 2/3 rule gives, rounded up to a multiple of 64.

    Returns:
        Columns ffn, parameters, megabytes (read and written outside matrix products; the fused SwiGLU kernel is
        counted by hand) and cpu_seconds (median of the turns).
    """
    torch.manual_seed(0)
    hidden, gated = 4 * width, gated_width(width)
    layers: dict[str, FFN | GatedFFN] = {
        name: FFN(width, hidden, name) for name in ("relu", "relu2", "silu", "gelu")
    }
    layers["swiglu"] = GatedFFN(width, gated, "swiglu")
    x = torch.randn(tokens, width, requires_grad=True)
    dy = torch.randn(tokens, width)
    work: dict[str, Callable[[], object]] = {
        name: _round_trip(layer, x, dy) for name, layer in layers.items()
    }
    layers["swiglu, formula"] = layers["swiglu"]
    work["swiglu, formula"] = _round_trip(_formula(layers["swiglu"]), x, dy)
    with one_thread():
        seconds = take_turns(work, repeats)
    rows = []
    for name, layer in layers.items():
        # Forward it reads gate and up and writes their product; backward it reads three tensors and writes two.
        moved = 8 * 4 * tokens * gated if name == "swiglu" else _elementwise_bytes(work[name])
        rows.append(
            (name, sum(p.numel() for p in layer.parameters()), moved / 1e6, float(np.median(seconds[name])))
        )
    return pd.DataFrame(rows, columns=["ffn", "parameters", "megabytes", "cpu_seconds"])


def _round_trip(layer: Callable[[Tensor], Tensor], x: Tensor, dy: Tensor) -> Callable[[], object]:
    """Forward and backward pass of a layer."""
    return lambda: torch.autograd.grad(layer(x), x, dy)


def _formula(layer: FFN | GatedFFN) -> Callable[[Tensor], Tensor]:
    """SwiGLU by its formula: the product of an activated gate and a value."""
    return lambda x: layer.w2(ACTIVATIONS["silu"](layer.w1(x)) * layer.w3(x))  # type: ignore[operator]


def _elementwise_bytes(work: Callable[[], object]) -> int:
    """Bytes moved by everything that is not a matrix product."""
    with moved_bytes() as moved:
        work()
    frame = moved.frame()
    others = frame[~frame["operation"].isin(["mm", "addmm", "bmm"])]
    return int(others[["read", "written"]].to_numpy().sum())
