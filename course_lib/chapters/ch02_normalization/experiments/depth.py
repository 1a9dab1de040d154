"""Chapter 2: whether the layers of trained networks are used: one at a time left out, or run beside the next one."""

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
import torch
from torch import Tensor, nn

from course_lib.chapters.ch02_normalization.experiments.trainability import map_settings
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import watch_inputs, watch_outputs
from course_lib.lab.small_runs import held_out_batch, one_thread, train_small
from course_lib.loss import cross_entropy
from course_lib.model import TransformerLM

_WINDOWS = 64  # of held-out text, to look at a trained network


@float32_on_cpu()
def depth_run(
    *, seed: int, placement: str, gain: float, start: str, lr: float, layers: int, steps: int
) -> dict[str, float]:
    """Train as :func:`~…trainability.map_run` does, then take layers out.

    Returns:
        bits: per byte, held out.
        left_out_early, left_out_late: nats per byte that are lost on held-out text without one layer, mean over the
        layers of the first and of the second half.
        beside_early, beside_late: the same with two neighbours of a half run in parallel on the same input.
        step_early, step_late: norm of a layer's increment relative to the stream that it reads, mean of a half.
    """
    settings = map_settings(placement=placement, gain=gain, start=start, lr=lr, layers=layers, steps=steps)
    trained = train_small(settings, seed=seed)
    surgery, steps_taken = layer_surgery(trained.model), layer_contributions(trained.model)["increment"]
    found = {"bits": trained.bits_per_byte}
    lost = surgery["left_out"] - surgery["intact"]
    beside = surgery["side_by_side"] - surgery["intact"]
    half = layers // 2
    for name, part in (("early", slice(None, half)), ("late", slice(half, None))):
        found[f"left_out_{name}"] = float(lost.iloc[part].mean())
        # The pair that crosses the middle belongs to neither half.
        pairs = beside.iloc[: half - 1] if name == "early" else beside.iloc[half:-1]
        found[f"beside_{name}"] = float(pairs.mean())
        found[f"step_{name}"] = float(steps_taken.iloc[part].mean())
    return found


@torch.no_grad()
def layer_contributions(model: TransformerLM) -> pd.DataFrame:
    """The size of each layer's increment to the residual stream, and how far it turns the stream.

    Returns:
        One row per layer: layer (1 … L), increment, the norm of output minus input relative to the input's, and cosine
        between output and input, both means over tokens of held-out novels.
    """
    x, _ = held_out_batch(_WINDOWS, model.config.context_length, text="novels_en")
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
        One row per layer: layer (1 … L) and the loss on held-out novels, in nats per byte: intact, left_out (without
        this layer), side_by_side (this layer and the next in parallel; missing for the last one).
    """
    with one_thread():
        x, y = held_out_batch(_WINDOWS, model.config.context_length, text="novels_en")
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
