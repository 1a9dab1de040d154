"""Chapter 5's training runs: fewer key and value heads, trained from scratch or made from a trained model's heads."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.small_runs import SmallRun, constant_after, small_config, train_small, validation_loss
from course_lib.model import TransformerLM

WAYS = ("mean", "first", "random")
UNCHANGED = "not converted"
"""The control of :func:`uptrain`: the same further training without a conversion."""

LR = 0.005


@float32_on_cpu()
def merge_heads(weight: Tensor, heads: int, kv_heads: int, how: str, *, seed: int = 0) -> Tensor:
    """Merge ``heads`` heads into ``kv_heads``: rows of a key or value projection, (heads · d, D) → (kv_heads · d, D).

    ``how``: "mean" of a group's heads (Ainslie et al. 2023, section 2.1), its "first" head, or "random" numbers of the
    same size as the weights. Raises ValueError for another way or numbers that do not divide.
    """
    if how not in WAYS:
        raise ValueError(f"how must be one of {', '.join(map(repr, WAYS))}, not {how!r}")
    if heads % kv_heads or weight.shape[0] % heads:
        raise ValueError(
            f"kv_heads must divide heads, and heads the {weight.shape[0]} rows of weight, not {kv_heads} and {heads}"
        )
    groups = torch.unflatten(weight, 0, (kv_heads, heads // kv_heads, -1))  # (kv_heads, group, d, D)
    if how == "random":
        generator = torch.Generator().manual_seed(seed)
        return weight.std() * torch.randn(groups[:, 0].flatten(0, 1).shape, generator=generator)
    return (groups.mean(1) if how == "mean" else groups[:, 0]).flatten(0, 1)


@float32_on_cpu()
def convert(model: TransformerLM, kv_heads: int, how: str, *, seed: int = 0) -> TransformerLM:
    """A copy of a model with fewer key and value heads, made as in :func:`merge_heads`."""
    config = model.config
    weights = dict(model.state_dict())
    projections = [name for name in weights if name.endswith(("attn.k_proj.weight", "attn.v_proj.weight"))]
    for place, name in enumerate(projections):
        weights[name] = merge_heads(weights[name], config.kv_heads, kv_heads, how, seed=seed + place)
    smaller = TransformerLM(replace(config, num_kv_heads=kv_heads))
    smaller.load_state_dict(weights)
    return smaller


@float32_on_cpu()
def written_out(model: TransformerLM, kv_heads: int) -> TransformerLM:
    """The same function with more key and value heads: each is written down as often as it is shared."""
    config, weights = model.config, dict(model.state_dict())
    for name in [name for name in weights if name.endswith(("attn.k_proj.weight", "attn.v_proj.weight"))]:
        heads = torch.unflatten(weights[name], 0, (config.kv_heads, -1))
        weights[name] = heads.repeat_interleave(kv_heads // config.kv_heads, 0).flatten(0, 1)
    larger = TransformerLM(replace(config, num_kv_heads=kv_heads))
    larger.load_state_dict(weights)
    return larger


def from_scratch(
    kv_heads: Sequence[int],
    *,
    num_heads: int = 4,
    steps: int = 400,
    seeds: Sequence[int] = (0, 1, 2),
) -> dict[tuple[int, int], TransformerLM]:
    """Train a model for each number of key and value heads and seed; by (kv_heads, seed)."""
    jobs = [(number, seed) for number in kv_heads for seed in seeds]
    models = {}
    for number, seed in progress(jobs, description="training"):
        config = small_config(num_heads=num_heads, num_kv_heads=number)
        settings = SmallRun(config=config, steps=steps, lr=LR, schedule=constant_after(20))
        models[number, seed] = train_small(settings, seed=seed).model
    return models


def uptrain(
    models: Sequence[TransformerLM],
    kv_heads: int,
    *,
    ways: Sequence[str] = (*WAYS, UNCHANGED),
    tuning_steps: Sequence[int] = (10, 40),
    lr: float = 0.6 * LR,
) -> pd.DataFrame:
    """Validation losses while training continues after converting each model to ``kv_heads`` in each of ``ways``.

    :data:`UNCHANGED` is one of them: further training alone lowers the loss as well.

    Columns: how, model (its place in ``models``), tuned (steps so far, from 0), loss (nats per byte).
    """
    jobs = [(how, place) for how in ways for place in range(len(models))]
    rows = []
    for how, place in progress(jobs, description="uptraining"):
        before = models[place]
        model = deepcopy(before) if how == UNCHANGED else convert(before, kv_heads, how, seed=place)
        rows.append((how, place, 0, validation_loss(model)))
        done = 0
        for steps in tuning_steps:
            settings = SmallRun(config=model.config, steps=steps - done, lr=lr)
            train_small(settings, seed=1000 + 10 * steps + place, model=model)
            done = steps
            rows.append((how, place, done, validation_loss(model)))
    return pd.DataFrame(rows, columns=["how", "model", "tuned", "loss"])
