"""Chapter 3: plain and gated feed-forward layers in training, their hidden units, and layers that learn products."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import hooked, watch_inputs, watch_outputs
from course_lib.lab.scale import choose
from course_lib.lab.small_runs import (
    Comparison,
    SmallRun,
    compare,
    constant_after,
    held_out_batch,
    new_model,
    one_thread,
    small_config,
)
from course_lib.loss import cross_entropy
from course_lib.model import FFN, GatedFFN, ModelConfig, TransformerLM
from course_lib.optim import linear

ACTIVATIONS = ("relu", "gelu", "silu", "relu2", "glu", "reglu", "geglu", "swiglu")
"""Plain ones first, then gated linear units, in the order of the chapter's tables."""

D_MODEL = 64

_WINDOWS = 64  # of held-out text, to look at hidden units


def equal_width(activation: str, d_model: int = D_MODEL) -> int:
    """The hidden width with the parameters of a plain layer of width 4 d: 4 d, or 8/3 d if gated.

    Rounded to a whole number, not to a multiple of 64, which at d = 64 would give the gated layer an eighth more.
    """
    plain = 4 * d_model
    return plain if not _is_gated(activation) else round(2 * plain / 3)


def _is_gated(activation: str) -> bool:
    return small_config(activation=activation).is_gated


def gating_config(activation: str) -> ModelConfig:
    """The model of the chapter's comparison: two layers of width 64, T = 32, hidden widths for equal parameters."""
    return small_config(
        activation=activation, d_model=D_MODEL, d_ff=equal_width(activation), context_length=32
    )


def gating_run(activation: str, *, lr: float = 0.01) -> SmallRun:
    """300 steps with a learning rate that falls linearly to 0: less than two seconds of CPU time."""
    steps = choose(small=300, large=10_000)
    return SmallRun(
        config=gating_config(activation),
        steps=steps,
        lr=lr,
        schedule=lambda step: linear(step, max_lr=1.0, warmup_steps=0, total_steps=steps),
    )


def gating_runs(
    activations: Sequence[str] = ACTIVATIONS, lrs: Sequence[float] = (0.01,), seeds: Sequence[int] = (0, 1, 2)
) -> Comparison:
    """Every activation at every learning rate with every seed; labels activation, lr."""
    cases = [
        ({"activation": activation, "lr": lr}, gating_run(activation, lr=lr))
        for lr in lrs
        for activation in activations
    ]
    return compare(cases, seeds, description="activations")


def differences(finals: pd.DataFrame, *, reference: str = "relu") -> pd.DataFrame:
    """Validation loss minus the reference's, of runs with the same seed (weights and batches) and learning rate.

    Returns:
        Columns activation, lr, seed, difference; without the reference itself.
    """
    keys = ["lr", "seed"]
    base = finals[finals["activation"] == reference].set_index(keys)["validation_loss"]
    others = finals[finals["activation"] != reference]
    paired = others.join(base.rename("base"), on=keys)
    difference = paired["validation_loss"] - paired["base"]
    return paired[["activation", "lr", "seed"]].assign(difference=difference).reset_index(drop=True)


# --- hidden units -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def units(model: TransformerLM, what: str, *, text: str = "stories_en") -> list[Tensor]:
    """The units of each layer on held-out text, (tokens, units): the activation's "input" or its "hidden" values."""
    x, _ = held_out_batch(_WINDOWS, model.config.context_length, text=text)
    layers = _feed_forward(model)
    watched = (
        watch_outputs(layer.w1 for layer in layers)
        if what == "input"
        else watch_inputs(layer.w2 for layer in layers)
    )
    with one_thread(), watched as seen:
        model(x)
    return [h.flatten(0, -2) for h in seen]


def _feed_forward(model: TransformerLM) -> list[FFN | GatedFFN]:
    return [module for module in model.modules() if isinstance(module, FFN | GatedFFN)]


def hidden_stats(model: TransformerLM) -> pd.DataFrame:
    """Statistics of each layer's hidden units on 2,048 tokens of held-out stories.

    Returns:
        Columns layer (1 … L), zeros (share of hidden values that are exactly 0), small (share below a tenth of the root
        mean square), dead (share of units that are 0 for every token).
    """
    rows = []
    for layer, h in enumerate(units(model, "hidden"), 1):
        rms = h.square().mean().sqrt()
        shares = ((h == 0), (h.abs() < 0.1 * rms), (h == 0).all(0))
        rows.append((layer, *(float(share.float().mean()) for share in shares)))
    return pd.DataFrame(rows, columns=["layer", "zeros", "small", "dead"])


def dead_units(
    activations: Sequence[str] = ("relu", "relu2", "silu"),
    lrs: Sequence[float] = (0.003, 0.01, 0.03, 0.1),
    seeds: Sequence[int] = (0, 1),
) -> pd.DataFrame:
    """The share of dead units in the last layer after 60 steps at a constant learning rate.

    Returns:
        Columns activation, lr, seed, dead.
    """
    cases = [
        (
            {"activation": activation, "lr": lr},
            SmallRun(config=gating_config(activation), steps=60, lr=lr, schedule=constant_after()),
        )
        for activation in activations
        for lr in lrs
    ]
    runs = compare(cases, seeds, description="dead units")
    dead = [hidden_stats(model)["dead"].iloc[-1] for model in runs.models]
    return runs.finals[["activation", "lr", "seed"]].assign(dead=dead)


@torch.no_grad()
def keep_largest(
    models: Mapping[str, TransformerLM], shares: Iterable[float] = (0.05, 0.1, 0.2, 0.4, 1.0)
) -> pd.DataFrame:
    """Loss on held-out stories when each token keeps only the largest hidden values of each FFN.

    Returns:
        Columns activation, kept (share of the hidden units), loss (nats per byte).
    """
    rows = []
    with one_thread():
        for name, model in models.items():
            x, y = held_out_batch(_WINDOWS, model.config.context_length)
            for share in shares:
                keep = _Keep(share)
                with hooked(layer.w2.register_forward_pre_hook(keep) for layer in _feed_forward(model)):
                    rows.append((name, share, float(cross_entropy(model(x), y))))
    return pd.DataFrame(rows, columns=["activation", "kept", "loss"])


class _Keep:
    """A hook that keeps the largest values of every row, at least one, and sets the rest to 0."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        h = inputs[0]
        count = max(1, round(self.share * h.shape[-1]))
        largest = h.abs().topk(count, dim=-1).indices
        return torch.zeros_like(h).scatter(-1, largest, h.gather(-1, largest))


def histograms(models: Mapping[str, TransformerLM], *, bins: int = 80) -> pd.DataFrame:
    """Distributions of the activation's inputs and of the hidden values, before and after training.

    Inputs are counted between -6 and 6, hidden values in units of their root mean square between -3 and 6; shares
    are of all values, including those outside this range.

    Args:
        models: Trained models by activation; the state before training is made from seed 0.
        bins: Number of bins.

    Returns:
        Columns activation, when ("before training", "after training"), layer (1 … L), what ("input", "hidden"), x (the
        middle of the bin) and share.
    """
    frames = []
    for name, model in models.items():
        fresh = new_model(SmallRun(config=model.config), 0)
        for when, state in (("before training", fresh), ("after training", model)):
            for what, low, high in (("input", -6.0, 6.0), ("hidden", -3.0, 6.0)):
                edges = np.linspace(low, high, bins + 1)
                for layer, h in enumerate(units(state, what), 1):
                    values = h if what == "input" else h / h.square().mean().sqrt()
                    labels = {"activation": name, "when": when, "layer": layer, "what": what}
                    frames.append(pd.DataFrame(labels | _histogram(values, edges)))
    return pd.concat(frames, ignore_index=True)


def _histogram(values: Tensor, edges: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The middle of each bin, and its share of all values."""
    counts, _ = np.histogram(values.numpy(), edges)
    return {"x": (edges[1:] + edges[:-1]) / 2, "share": counts / values.numel()}


# --- products ---------------------------------------------------------------------------------------------------------


@float32_on_cpu()
def multiplier() -> GatedFFN:
    """A ReGLU of two units that multiplies: (x1, x2) → (x1 · x2, 0), exactly.

    relu(x1) x2 + relu(-x1) (-x2) = x1 x2: the gate chooses the sign, the value brings the factor.
    """
    layer = GatedFFN(2, 2, "reglu")
    with torch.no_grad():
        layer.w1.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        layer.w3.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        layer.w2.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    return layer


@float32_on_cpu()
def learn_product(
    widths: Mapping[str, int], *, seeds: int = 5, steps: int = 500, lr: float = 0.03
) -> pd.DataFrame:
    """Teach small layers the product of two numbers in [-1, 1], all seeds side by side.

    Args:
        widths: Hidden width by activation.
        seeds: Number of initializations.
        steps: Of Adam on 256 points, with a linearly falling learning rate.
        lr: Initial learning rate.

    Returns:
        Columns activation, seed, error: root mean square on a grid, relative to the product's own.
    """
    rows = []
    side = torch.linspace(-1, 1, 21)
    grid = torch.cartesian_prod(side, side)
    truth = grid.prod(-1)
    for name, width in widths.items():
        torch.manual_seed(0)
        layers = nn.ModuleList(_layer(name, width) for _ in range(seeds))
        optimizer = torch.optim.Adam(layers.parameters(), lr=lr)
        with one_thread():
            for step in range(steps):
                for group in optimizer.param_groups:
                    group["lr"] = linear(step, max_lr=lr, warmup_steps=0, total_steps=steps)
                x = 2 * torch.rand(256, 2) - 1
                losses = [(layer(x)[:, 0] - x.prod(-1)).square().mean() for layer in layers]
                optimizer.zero_grad()
                torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            with torch.no_grad():
                for seed, layer in enumerate(layers):
                    error = (layer(grid)[:, 0] - truth).square().mean().sqrt() / truth.square().mean().sqrt()
                    rows.append((name, seed, float(error)))
    return pd.DataFrame(rows, columns=["activation", "seed", "error"])


def _layer(activation: str, width: int) -> FFN | GatedFFN:
    return (GatedFFN if _is_gated(activation) else FFN)(2, width, activation)
