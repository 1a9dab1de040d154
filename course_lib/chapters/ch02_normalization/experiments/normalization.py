"""Chapter 2: the effect of a norm's place on the gradients of language models, before training and after a few steps.

The setting of a theorem is in
:mod:`~course_lib.chapters.ch02_normalization.experiments.theorem`, very deep networks in
:mod:`~course_lib.chapters.ch02_normalization.experiments.deep`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from course_lib.data import get_batch
from course_lib.diagnostics import gradient_norms
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import watch_inputs
from course_lib.lab.small_runs import (
    SmallRun,
    constant_after,
    new_model,
    one_thread,
    small_config,
    story_bytes,
    train_small,
)
from course_lib.loss import cross_entropy
from course_lib.model import LayerNorm, Linear, ModelConfig, TransformerLM

# --- gradients of a language model, layer by layer --------------------------------------------------------------------

WARMUPS = {"at initialization": None, "after 40 steps, no warm-up": 0, "after 40 steps of warm-up": 40}
"""The states that :func:`gradient_by_layer` can measure, by name: steps of warm-up, or None for no training."""


@cache
@float32_on_cpu()
def gradient_by_layer(
    placement: str, depth: int, width: int, gain: float = 1.0, when: str = "at initialization", seed: int = 0
) -> pd.DataFrame:
    """Gradient norm of every layer of a language model, over all its parameters, for a batch of stories.

    Args:
        placement: Placement of the norms (LayerNorm), see :class:`ModelConfig`.
        depth: Number of layers, L.
        width: d_model; heads have 16 features, the ReLU FFN 2 d.
        gain: Factor on the standard deviation of every matrix in the layers.
        when: A key of ``WARMUPS``; training is 40 steps of AdamW at a learning rate of 0.003.
        seed: Of weights and batches.

    Returns:
        Columns layer (1 … L) and gradient_norm. The frame is cached: do not change it.
    """
    model = _language_model(placement, depth, width, gain, when, seed)
    with one_thread():
        backward(model, batch_size=2, seed=seed)
    norms = gradient_norms(model, by="layer").dropna(subset="layer")
    return pd.DataFrame({"layer": norms["layer"].astype(int) + 1, "gradient_norm": norms["gradient_norm"]})


def first_over_last(
    placement: str,
    depth: int,
    gain: float = 1.0,
    when: str = "at initialization",
    *,
    width: int = 64,
    seeds: int = 4,
) -> float:
    """Gradient norm of the first layer over that of the last, as in :func:`gradient_by_layer`: mean over the seeds.

    The mean is geometric.
    """
    layers = [gradient_by_layer(placement, depth, width, gain, when, seed) for seed in range(seeds)]
    norms = [np.log(frame["gradient_norm"].to_numpy()) for frame in layers]
    return float(np.exp(np.mean([logs[0] - logs[-1] for logs in norms])))


@float32_on_cpu()
def evenness(
    gains: Sequence[float], *, placement: str = "pre", depth: int = 16, width: int = 64, seeds: int = 4
) -> pd.DataFrame:
    """How even a new model's gradient is over its layers, and how much its stream grows, by the gain of its matrices.

    Returns:
        Columns gain, seed, first_over_last (gradient norms of the first and the last layer), growth (standard deviation
        of what the last norm reads over that of what the first one reads).
    """
    rows = []
    for gain in gains:
        for seed in range(seeds):
            model = _language_model(placement, depth, width, gain, "at initialization", seed)
            layer_norms = [module for module in model.modules() if isinstance(module, LayerNorm)]
            with one_thread(), watch_inputs(layer_norms) as read:
                backward(model, batch_size=2, seed=seed)
            norms = gradient_norms(model, by="layer").dropna(subset="layer")["gradient_norm"]
            growth = float(read[-1].std(-1).mean() / read[0].std(-1).mean())
            rows.append((gain, seed, norms.iloc[0] / norms.iloc[-1], growth))
    return pd.DataFrame(rows, columns=["gain", "seed", "first_over_last", "growth"])


def similarity(x: Tensor) -> float:
    """Mean cosine of two different rows of ``x``."""
    directions = functional.normalize(x, dim=-1)
    count = len(x)
    return (float((directions @ directions.T).sum()) - count) / (count * (count - 1))


def relu_config(placement: str, depth: int, width: int, **changes: Any) -> ModelConfig:
    """LayerNorm in ``placement``, and a ReLU FFN of twice the width."""
    fields = {"norm": "layernorm", "norm_placement": placement, "activation": "relu", "d_ff": 2 * width}
    return small_config(d_model=width, num_layers=depth, **(fields | changes))


def _language_model(
    placement: str, depth: int, width: int, gain: float, when: str, seed: int
) -> TransformerLM:
    """A model in the state ``when``."""
    config = relu_config(placement, depth, width, num_heads=width // 16, context_length=32)
    settings = SmallRun(config=config, steps=40, batch_size=2, lr=0.003, prepare=scaled_layers(gain))
    warmup = WARMUPS[when]
    if warmup is None:
        return new_model(settings, seed)
    return train_small(replace(settings, schedule=constant_after(warmup)), seed=seed).model


def scaled_layers(gain: float, *, outputs_only: bool = False) -> Callable[[TransformerLM], None]:
    """Multiply the matrices of all layers, but not those of embedding and head, by ``gain``.

    ``outputs_only``: only those that write into the stream, one in each sublayer, as GPT-2 does.
    """

    @torch.no_grad()
    def scale(model: TransformerLM) -> None:
        for layer in model.layers:
            for name, module in layer.named_modules():
                if isinstance(module, Linear) and (not outputs_only or name.endswith(("output_proj", "w2"))):
                    module.weight.mul_(gain)

    return scale


def backward(model: TransformerLM, *, batch_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Compute the gradients for one batch of stories; return its inputs and logits."""
    generator = torch.Generator().manual_seed(seed)
    x, y = get_batch(story_bytes(), batch_size, model.config.context_length, generator=generator)
    logits = model(x)
    model.zero_grad()
    cross_entropy(logits, y).backward()  # type: ignore[no-untyped-call]
    return x, logits.detach()
