"""Chapter 2: very deep new networks: what reaches the first layer, and how far one step moves the output."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from course_lib.chapters.ch02_normalization.experiments.normalization import backward, relu_config
from course_lib.diagnostics import gradient_norms, snapshot
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.small_runs import SmallRun, new_model, one_thread
from course_lib.model import TransformerBlock, TransformerLM, deepnorm_constants

Constants = Callable[[int], tuple[float, float]]
"""Number of layers M → (alpha, beta) in x ← LN(alpha x + f(x)), where beta multiplies f's initial matrices."""

ARMS: dict[str, Constants | None] = {
    "pre": None,
    "post": lambda depth: (1.0, 1.0),
    "deepnorm": deepnorm_constants,
    "its alpha": lambda depth: (deepnorm_constants(depth)[0], 1.0),
    "its beta": lambda depth: (1.0, deepnorm_constants(depth)[1]),
    "all in alpha": lambda depth: ((4 * depth) ** 0.5, 1.0),
    "all in beta": lambda depth: (1.0, (4 * depth) ** -0.5),
}
"""Networks by name: pre-norm (None), or the constants of a post-norm one.

The last two solve DeepNorm's equation 4 M beta² = alpha² with one constant left at 1.
"""

PROBES = (("sgd", "all"), ("adam", "all"))
"""Default steps: rule and moved part, as in :func:`one_step`."""

BY_PART = tuple((rule, part) for rule in ("sgd", "adam") for part in ("matrices", "norms"))
"""Steps that move only the matrices or only the norms' weights."""

_STEP = 1e-6  # in float64: small enough for a derivative, large enough for its digits
_ADAM_EPS = 1e-8


@float32_on_cpu()
def one_step(
    arms: Sequence[str],
    seeds: Mapping[int, Sequence[int]],
    *,
    probes: Sequence[tuple[str, str]] = PROBES,
    width: int = 32,
) -> pd.DataFrame:
    """Gradients and the effect of one small step on new language models of bytes, in float64.

    All arms of a depth and seed share their random numbers: they differ in norms, alpha and beta only.

    Args:
        arms: Keys of :data:`ARMS`.
        seeds: Seeds for each number of layers.
        probes: Steps to try, each from the same weights: a rule, "sgd" or "adam" (first step), and what it moves:
            "all" parameters, the "matrices" of the layers, or the weights of the layers' "norms".
        width: d_model.

    Returns:
        Columns arm, depth, seed, first_over_last (gradient norms of the second FFN matrix), rule, part, and change:
        how far the step moves the logits, relative to their norm, for each unit of the learning rate.
    """
    jobs = [(depth, seed) for depth, several in seeds.items() for seed in several]
    rows = []
    with one_thread():
        for depth, seed in progress(jobs, description="one step of deep networks"):
            config = relu_config("pre", depth, width, num_heads=2, context_length=16, position="none")
            model = new_model(SmallRun(config=config), seed).double()
            drawn, final = snapshot(model), model.ln_final
            for arm in arms:
                _restore(model, drawn)
                model.ln_final = final if ARMS[arm] is None else None
                for layer in model.layers:
                    arrange(layer, ARMS[arm], depth)
                x, before = backward(model, batch_size=2, seed=seed)
                ratio = _first_over_last(model)
                start = snapshot(model)
                for rule, part in probes:
                    _move(model, rule, part)
                    with torch.no_grad():
                        change = float((model(x) - before).norm() / before.norm()) / _STEP
                    _restore(model, start)
                    rows.append((arm, depth, seed, ratio, rule, part, change))
    columns = ["arm", "depth", "seed", "first_over_last", "rule", "part", "change"]
    return pd.DataFrame(rows, columns=columns)


@torch.no_grad()
def arrange(layer: nn.Module, constants: Constants | None, depth: int) -> None:
    """Turn a new pre-norm layer into one of post-norm's form with these constants, in place; None leaves it alone."""
    assert isinstance(layer, TransformerBlock)
    layer.placement = "pre" if constants is None else "deepnorm"
    if constants is not None:
        layer.alpha, beta = constants(depth)
        for linear in (layer.attn.v_proj, layer.attn.output_proj, *layer.ffn.children()):
            linear.weight.mul_(beta)  # type: ignore[operator]


def _first_over_last(model: TransformerLM) -> float:
    norms = gradient_norms(model).set_index("parameter")["gradient_norm"]
    first, last = (norms[f"layers.{layer}.ffn.w2.weight"] for layer in (0, len(model.layers) - 1))
    return float(first / last)


@torch.no_grad()
def _move(model: TransformerLM, rule: str, part: str) -> None:
    """A step of SGD, or the first step of Adam, which divides each gradient by its size."""
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and part in ("all", _part(name)):
            gradient = parameter.grad
            step = gradient if rule == "sgd" else gradient / (gradient.abs() + _ADAM_EPS)
            parameter.sub_(step, alpha=_STEP)


def _part(name: str) -> str:
    """The part of the network that a parameter belongs to."""
    if not name.startswith("layers."):
        return "ends"
    return "norms" if ".ln" in name else "matrices"


@torch.no_grad()
def _restore(model: TransformerLM, weights: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        if name in weights:
            parameter.copy_(weights[name])


def growth(results: pd.DataFrame, column: str = "change") -> pd.DataFrame:
    """The exponent b of column ≈ a · depth^b between the smallest and the largest depth, for each seed that has both.

    Args:
        results: From :func:`one_step`.
        column: "change" or "first_over_last".

    Returns:
        Columns arm, rule, part, seed, exponent.
    """
    rows = []
    for key, runs in results.groupby(["arm", "rule", "part", "seed"], sort=False):
        ends = runs.sort_values("depth").iloc[[0, -1]]
        if ends["depth"].nunique() == 2:
            rise = np.log(ends[["depth", column]].to_numpy())
            rows.append((*key, float((rise[1, 1] - rise[0, 1]) / (rise[1, 0] - rise[0, 0]))))
    return pd.DataFrame(rows, columns=["arm", "rule", "part", "seed", "exponent"])
