"""Chapter 2: training with norms in different places, and the contribution of each layer of a trained network."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from course_lib.lab.hooks import watch_inputs, watch_outputs
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
from course_lib.model import ModelConfig, TransformerLM

_WINDOWS = 32  # of held-out text, to look at a trained network


def placement_config(placement: str, **changes: Any) -> ModelConfig:
    """A decoder as in the papers on placement: LayerNorm and a ReLU FFN without a gate."""
    fields = {"norm": "layernorm", "activation": "relu", "norm_placement": placement}
    return small_config(**(fields | changes))


def placement_run(
    placement: str, *, lr: float, warmup: int = 0, qk_norm: bool = False, norm: str = "layernorm"
) -> SmallRun:
    """Six layers of width 48 (large: twelve) on stories: about a second of CPU time.

    ``warmup``: steps, of 120; the learning rate stays constant afterwards, and gradients are not clipped.
    """
    config = placement_config(
        placement,
        norm=norm,
        qk_norm=qk_norm,
        num_layers=choose(small=6, large=12),
        d_model=48,
        context_length=16,
    )
    steps = choose(small=120, large=1_000)
    return SmallRun(config=config, steps=steps, lr=lr, schedule=constant_after(warmup * steps // 120))


def warmup_runs(
    placements: Sequence[str] = ("post", "pre"),
    lrs: Sequence[float] = (0.003,),
    *,
    warmups: Sequence[int] = (0, 60),
    seeds: Sequence[int] = (0, 1, 2),
) -> Comparison:
    """Every placement at every learning rate, without and with warm-up; labels placement, lr, warmup."""
    cases = [
        ({"placement": placement, "lr": lr, "warmup": warmup}, placement_run(placement, lr=lr, warmup=warmup))
        for placement in placements
        for lr in lrs
        for warmup in warmups
    ]
    return compare(cases, seeds, description="warm-up or none")


def placement_runs(cases: Iterable[tuple[str, float, bool]], seeds: Sequence[int] = (0, 1)) -> Comparison:
    """Placements at the same budget, without warm-up; labels placement, lr, qk_norm.

    ``cases``: placement, learning rate, and whether queries and keys are normalized.
    """
    labelled = [
        (
            {"placement": placement, "lr": lr, "qk_norm": qk_norm},
            placement_run(placement, lr=lr, qk_norm=qk_norm),
        )
        for placement, lr, qk_norm in cases
    ]
    return compare(labelled, seeds, description="placements")


def norm_runs(norms: Sequence[str] = ("rmsnorm",), seeds: Sequence[int] = (0, 1, 2)) -> Comparison:
    """Pre-norm with another kind of norm, at a learning rate of 0.003 without warm-up; label norm."""
    cases = [({"norm": norm}, placement_run("pre", lr=0.003, norm=norm)) for norm in norms]
    return compare(cases, seeds, description="LayerNorm or RMSNorm")


def deep_runs(
    cases: Iterable[tuple[str, int]] = (("post", 60), ("deepnorm", 0), ("pre", 0)),
    seeds: Sequence[int] = (0, 1),
) -> Comparison:
    """Sixteen layers (large: 96) of width 32 at a learning rate of 0.003; labels placement, warmup.

    ``cases``: pairs of placement and steps of warm-up (of 120).
    """
    return compare([_deep_run(*case) for case in cases], seeds, description="deep networks")


def _deep_run(placement: str, warmup: int) -> tuple[dict[str, Any], SmallRun]:
    steps = choose(small=120, large=1_000)
    config = _narrow_config(placement, choose(small=16, large=96))
    settings = SmallRun(config=config, steps=steps, lr=0.003, schedule=constant_after(warmup * steps // 120))
    return {"placement": placement, "warmup": warmup}, settings


def _narrow_config(placement: str, depth: int) -> ModelConfig:
    shape = {"num_layers": depth, "d_model": 32, "num_heads": 2, "d_ff": 64, "context_length": 16}
    return placement_config(placement, **shape)


# --- contributions of the layers --------------------------------------------------------------------------------------


@torch.no_grad()
def layer_contributions(model: TransformerLM) -> pd.DataFrame:
    """The size of each layer's increment to the residual stream, and how far it turns the stream.

    Returns:
        One row per layer: layer (1 … L), increment, the norm of output minus input relative to the input's, and cosine
        between output and input, both means over tokens of held-out stories.
    """
    x, _ = held_out_batch(_WINDOWS, model.config.context_length)
    with one_thread(), watch_inputs(model.layers[:1]) as first, watch_outputs(model.layers) as others:
        model(x)
    rows = []
    for layer, (before, after) in enumerate(pairwise([*first, *others]), 1):
        increment = (after - before).norm(dim=-1) / before.norm(dim=-1)
        rows.append(
            (layer, float(increment.mean()), float(torch.cosine_similarity(before, after, dim=-1).mean()))
        )
    return pd.DataFrame(rows, columns=["layer", "increment", "cosine"])


@torch.no_grad()
def layer_surgery(model: TransformerLM) -> pd.DataFrame:
    """The loss of a trained network without one of its layers, or with two neighbours in parallel.

    In parallel, both layers read the same input x and both increments are added to it: one wider layer instead of two.

    Returns:
        One row per layer: layer (1 … L) and the loss on held-out stories, in nats per byte: intact, left_out (without
        this layer), side_by_side (this layer and the next in parallel; missing for the last one).
    """
    with one_thread():
        x, y = held_out_batch(_WINDOWS, model.config.context_length)
        blocks = list(model.layers)
        intact = _loss_of(model, blocks, x, y)
        rows = []
        for place in range(len(blocks)):
            left_out = _loss_of(model, [*blocks[:place], *blocks[place + 1 :]], x, y)
            pair = blocks[place : place + 2]
            side_by_side = (
                _loss_of(model, [*blocks[:place], _SideBySide(pair), *blocks[place + 2 :]], x, y)
                if len(pair) == 2
                else float("nan")
            )
            rows.append((place + 1, intact, left_out, side_by_side))
    return pd.DataFrame(rows, columns=["layer", "intact", "left_out", "side_by_side"])


class _SideBySide(nn.Module):
    """Layers in parallel: they read the same input, and their increments are summed."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + sum((layer(x) - x for layer in self.layers), torch.zeros_like(x))


def _loss_of(model: TransformerLM, blocks: Sequence[nn.Module], x: Tensor, y: Tensor) -> float:
    """Loss of the model with its blocks replaced by ``blocks``."""
    h = model.token_embeddings(x)
    for block in blocks:
        h = block(h)
    if model.ln_final is not None:
        h = model.ln_final(h)
    return float(cross_entropy(model.lm_head(h), y))


def stream_at_init(
    depth: int = 16, placements: Sequence[str] = ("pre", "post"), seeds: Sequence[int] = (0, 1, 2)
) -> pd.DataFrame:
    """``layer_contributions`` of new models, mean over ``seeds``; columns placement, layer, increment, cosine."""
    frames = []
    for placement in placements:
        for seed in seeds:
            model = new_model(SmallRun(config=_narrow_config(placement, depth)), seed)
            frames.append(layer_contributions(model).assign(placement=placement))
    means = pd.concat(frames).groupby(["placement", "layer"], sort=False).mean()
    return means.reset_index()
