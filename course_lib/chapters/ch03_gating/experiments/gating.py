"""Chapter 3: plain and gated feed-forward layers with equally many parameters, and what their hidden units do."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib.files import progress
from course_lib.lab.hooks import hooked, watch_inputs, watch_outputs
from course_lib.lab.scale import choose
from course_lib.lab.small_runs import (
    SmallRun,
    held_out_batch,
    new_model,
    novels_run,
    one_thread,
    small_config,
    train_small,
)
from course_lib.loss import cross_entropy
from course_lib.model import FFN, GatedFFN, TransformerLM

INSIDE = ("relu", "silu", "relu2", "reglu", "swiglu")
"""The activations whose hidden units the chapter looks at."""

TEXT = "novels_en"
"""What these models read, and are looked at with (the held-out part)."""

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


def inside_run(activation: str) -> SmallRun:
    """The chapter's default run at half its length, for models that are looked into: about four seconds of CPU time."""
    config = small_config(activation=activation, d_ff=equal_width(activation))
    return novels_run(choose(small=300, large=6_000), config=config)


def inside_models(activations: Sequence[str] = INSIDE, *, seed: int = 0) -> dict[str, TransformerLM]:
    """A trained model for each activation."""
    names = progress(activations, description="models to look into", unit="run")
    return {name: train_small(inside_run(name), seed=seed).model for name in names}


def hidden_stats(model: TransformerLM) -> pd.DataFrame:
    """Statistics of each layer's units on 4,096 tokens of held-out text.

    Returns:
        Columns layer (1 … L), positive (share of the activation's inputs above 0), slope (of the curve, or of the
        gate's, where the middle one of the inputs lies), zeros (share of hidden values that are exactly 0), small
        (share below a tenth of the root mean square) and kurtosis (mean fourth power over squared mean square).
    """
    rows = []
    act = _feed_forward(model)[0].act
    for layer, (z, h) in enumerate(
        zip(units(model, "input", text=TEXT), units(model, "hidden", text=TEXT), strict=True), 1
    ):
        middle = z.median().requires_grad_()
        (slope,) = torch.autograd.grad(act(middle), middle)
        square = h.square()
        rms = square.mean().sqrt()
        shares = ((z > 0), (h == 0), (h.abs() < 0.1 * rms))
        positive, zeros, small = (float(share.float().mean()) for share in shares)
        kurtosis = float(square.square().mean() / square.mean() ** 2)
        rows.append((layer, positive, float(slope), zeros, small, kurtosis))
    return pd.DataFrame(rows, columns=["layer", "positive", "slope", "zeros", "small", "kurtosis"])


@torch.no_grad()
def keep_largest(
    models: Mapping[str, TransformerLM], shares: Iterable[float] = (0.05, 0.1, 0.2, 0.4, 1.0)
) -> pd.DataFrame:
    """Loss on held-out text when each token keeps only the largest hidden values of each FFN.

    Returns:
        Columns activation, kept (share of the hidden units), loss (nats per byte).
    """
    rows = []
    with one_thread():
        for name, model in models.items():
            x, y = held_out_batch(_WINDOWS, model.config.context_length, text=TEXT)
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
                for layer, h in enumerate(units(state, what, text=TEXT), 1):
                    values = h if what == "input" else h / h.square().mean().sqrt()
                    labels = {"activation": name, "when": when, "layer": layer, "what": what}
                    frames.append(pd.DataFrame(labels | _histogram(values, edges)))
    return pd.concat(frames, ignore_index=True)


def _histogram(values: Tensor, edges: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The middle of each bin, and its share of all values."""
    counts, _ = np.histogram(values.numpy(), edges)
    return {"x": (edges[1:] + edges[:-1]) / 2, "share": counts / values.numel()}
