"""Chapter 4's training runs: position encodings beyond the trained length, and stretched contexts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch.nn import functional

from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.small_runs import (
    SmallRun,
    constant_after,
    held_out_batch,
    one_thread,
    small_config,
    train_small,
    validation_loss,
)
from course_lib.model import RopeScaling, TransformerLM, interleaved_to_half, rotary_frequencies

ENCODINGS = ("rope", "learned", "sinusoidal", "none")
TRAINED_LENGTH = 64


@dataclass(frozen=True)
class EncodedModel:
    """A model trained on short sequences with one position encoding. ``train_loss``: mean of the last 50 steps."""

    encoding: str
    seed: int
    model: TransformerLM
    train_loss: float


def train_encodings(
    encodings: Sequence[str] = ENCODINGS,
    *,
    seeds: Sequence[int] = (0, 1),
    steps: int = 400,
    **changes: Any,
) -> list[EncodedModel]:
    """Train a small model on sequences of 64 bytes for each encoding and seed; the batches differ by seed only.

    ``changes``: fields of the model's configuration.
    """
    jobs = [(encoding, seed) for encoding in encodings for seed in seeds]
    trained = []
    for encoding, seed in progress(jobs, description="training"):
        config = small_config(context_length=TRAINED_LENGTH, position=encoding, **changes)
        run = train_small(SmallRun(config=config, steps=steps, schedule=constant_after(20)), seed=seed)
        trained.append(EncodedModel(encoding, seed, run.model, float(run.curve["loss"].tail(50).mean())))
    return trained


@float32_on_cpu()
def lengthened(
    model: TransformerLM,
    context_length: int,
    scaling: RopeScaling | None = None,
    *,
    window: int | None = None,
) -> TransformerLM:
    """A copy of ``model`` with the same weights that takes ``context_length`` tokens, and looks ``window`` back.

    Raises ValueError for learned positions, which have no weights beyond the trained length.
    """
    if model.config.position == "learned":
        raise ValueError("model has learned positions, and none beyond its context_length")
    config = replace(model.config, context_length=context_length, rope_scaling=scaling, window=window)
    copy = TransformerLM(config)
    copy.load_state_dict(model.state_dict())
    return copy


@float32_on_cpu()
@torch.no_grad()
def loss_by_position(
    model: TransformerLM,
    length: int,
    *,
    windows: int = 128,
    bin_size: int = 8,
    text: str = "stories_en",
) -> pd.DataFrame:
    """Loss in nats at each position of held-out text, averaged over bins of positions.

    Every model sees the same windows. Columns: position (the middle of the bin), loss.
    """
    x, y = held_out_batch(windows, length, text=text)
    losses = []
    with one_thread():
        for rows, targets in zip(torch.split(x, 32), torch.split(y, 32), strict=True):
            losses.append(functional.cross_entropy(model(rows).transpose(1, 2), targets, reduction="none"))
    by_position = torch.cat(losses).mean(0)  # (length,)
    binned = torch.unflatten(by_position, 0, (-1, bin_size)).mean(-1)
    middles = torch.unflatten(torch.arange(length).float(), 0, (-1, bin_size)).mean(-1)
    return pd.DataFrame({"position": middles.numpy(), "loss": binned.numpy()})


def beyond_training(models: Sequence[EncodedModel], length: int = 4 * TRAINED_LENGTH) -> pd.DataFrame:
    """Loss by position up to ``length``; with learned positions, only up to the trained length.

    Columns: encoding, seed, position, loss.
    """
    parts = []
    for trained in progress(models, description="reading further"):
        if trained.encoding == "learned":
            curve = loss_by_position(trained.model, TRAINED_LENGTH)
        else:
            curve = loss_by_position(lengthened(trained.model, length), length)
        parts.append(curve.assign(encoding=trained.encoding, seed=trained.seed))
    return pd.concat(parts, ignore_index=True)


@float32_on_cpu()
def other_layout(models: Sequence[EncodedModel]) -> pd.DataFrame:
    """Loss of weights trained with interleaved pairs in a model whose pairs are half a head apart.

    Columns: seed, weights ("as trained", "other layout", "other layout, reordered"), loss (held out, nats per byte).
    """
    rows = []
    for trained in models:
        config = replace(trained.model.config, rope_layout="half")
        names = {"as trained": trained.model}
        for name in ("other layout", "other layout, reordered"):
            weights = dict(trained.model.state_dict())
            for key in [key for key in weights if key.endswith(("q_proj.weight", "k_proj.weight"))]:
                if name.endswith("reordered"):
                    weights[key] = interleaved_to_half(weights[key], config.head_width)
            names[name] = TransformerLM(config)
            names[name].load_state_dict(weights)
        rows += [(trained.seed, name, validation_loss(model)) for name, model in names.items()]
    return pd.DataFrame(rows, columns=["seed", "weights", "loss"])


def scalings(factor: float, *, beta_fast: float = 8.0) -> dict[str, RopeScaling | None]:
    """The ways to stretch by ``factor`` that the chapter compares, by name.

    YaRN's thresholds count rotations within the trained length. Its default of 32 suits thousands of tokens; within 64
    tokens, no pair turns that often.
    """
    return {
        "as it is": None,
        "position interpolation": RopeScaling("linear", factor),
        "NTK-aware": RopeScaling("ntk", factor),
        "YaRN": RopeScaling("yarn", factor, TRAINED_LENGTH, beta_fast=beta_fast),
    }


def stretch(
    models: Sequence[EncodedModel], *, factor: int = 4, tuning_steps: int = 40, lr: float = 0.003
) -> pd.DataFrame:
    """Loss at ``factor`` times the trained length with each way of stretching, before and after a little tuning.

    ``models``: with rotary positions. A tuning step reads as many tokens as a training step, in fewer and longer
    sequences. Columns: method, tuned (steps), seed, position, loss.
    """
    length = factor * TRAINED_LENGTH
    jobs = [(trained, name) for trained in models for name in scalings(factor)]
    parts = []
    for trained, name in progress(jobs, description="stretching"):
        model = lengthened(trained.model, length, scalings(factor)[name])
        for tuned in (0, tuning_steps):
            if tuned:
                settings = SmallRun(config=model.config, steps=tuned, batch_size=8 // factor, lr=lr)
                train_small(settings, seed=1000 + trained.seed, model=model)
            curve = loss_by_position(model, length)
            parts.append(curve.assign(method=name, tuned=tuned, seed=trained.seed))
    return pd.concat(parts, ignore_index=True)


@float32_on_cpu()
def slowed_pairs(head_dim: int, *, factor: float = 4, theta: float = 10000.0) -> pd.DataFrame:
    """The slow-down of each pair when stretched. Columns: method, pair, wavelength (before), ratio (of speeds)."""
    plain, _ = rotary_frequencies(theta, head_dim)
    parts = []
    for name, scaling in scalings(factor).items():
        radians, _ = rotary_frequencies(theta, head_dim, scaling)
        columns = {"pair": range(head_dim // 2), "wavelength": 2 * math.pi / plain, "ratio": radians / plain}
        parts.append(pd.DataFrame(columns).assign(method=name))
    return pd.concat(parts, ignore_index=True)
