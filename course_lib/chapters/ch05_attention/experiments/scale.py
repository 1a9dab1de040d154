"""Chapter 5's runs with the factor 1/√d and without it, and with only one of the two things that it changes."""

import math
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from course_lib.chapters.ch05_attention.experiments.attention import attention_weights
from course_lib.lab import evidence
from course_lib.lab.hooks import attentions
from course_lib.lab.small_runs import (
    SmallRun,
    held_out_batch,
    new_model,
    novels_run,
    small_config,
    train_small,
)
from course_lib.model import TransformerLM
from course_lib.optim import AdamW

ARMS = {
    "with 1/√d": (False, False),
    "without": (True, True),
    "without, flat start": (False, True),
    "with, sharp start": (True, False),
}
"""For each arm, whether scores start √d times as large, and whether they move √d times as fast."""

WITH_FACTOR, WITHOUT, FLAT_START, SHARP_START = ARMS

WEIGHT_DECAY = 0.1


@torch.no_grad()
def enlarge_queries(model: TransformerLM, factor: float) -> None:
    """Multiply the query weights of every layer."""
    for attention in attentions(model):
        attention.q_proj.weight.mul_(factor)


def optimizer(model: TransformerLM, *, lr: float, factor: float) -> list[AdamW]:
    """AdamW whose steps on the query weights are ``factor`` times as large, with the same decay per step."""
    queries = [attention.q_proj.weight for attention in attentions(model)]
    chosen = set(map(id, queries))
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    groups = [
        {"params": others},
        {"params": queries, "lr": factor * lr, "weight_decay": WEIGHT_DECAY / factor},
    ]
    return [AdamW(groups, lr, (0.9, 0.95), weight_decay=WEIGHT_DECAY)]


def settings_of(arm: str, *, lr: float, steps: int, head_dim: int) -> SmallRun:
    """The settings of a run.

    The course's layers divide scores by √d. Taking the factor away is the same as multiplying the query weights by √d
    at the start, and every step of them as well, since the size of Adam's steps does not follow that of the gradient.
    """
    large_start, large_steps = ARMS[arm]
    factor = math.sqrt(head_dim)
    return novels_run(
        steps,
        config=small_config(d_model=head_dim, num_heads=1),
        lr=lr,
        clip=None,
        prepare=partial(enlarge_queries, factor=factor if large_start else 1.0),
        make_optimizers=partial(optimizer, lr=lr, factor=factor if large_steps else 1.0),
        validation_windows=256,
    )


def largest_weight(model: TransformerLM) -> float:
    """The mean of the largest attention weight over layers and queries on held-out text.

    The first quarter of the queries, which see few keys, is left out.
    """
    length = model.config.context_length
    ids: Tensor = held_out_batch(16, length, text="novels_en")[0]
    return float(attention_weights(model, ids)[..., length // 4 :, :].amax(-1).mean())


def scale_run(*, seed: int, head_dim: int, arm: str, lr: float, steps: int) -> dict[str, float]:
    """Train on novels with one of :data:`ARMS`, one head of ``head_dim`` features per layer.

    Returns bits (per byte, held out), and the mean largest weight of a query: sharp, before training, and sharp_end.
    """
    settings = settings_of(arm, lr=lr, steps=steps, head_dim=head_dim)
    sharp = largest_weight(new_model(settings, seed))
    trained = train_small(settings, seed=seed)
    return {"bits": trained.bits_per_byte, "sharp": sharp, "sharp_end": largest_weight(trained.model)}


def at_own_best(points: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """For each head size the bits per byte of every arm at its own best rate: a row per seed, a column per arm.

    Raises ValueError if a best rate is at an edge of its grid.
    """
    arms = ["head_dim", "arm"]
    at_best = evidence.at_best(points, evidence.tuned(points, arms=arms, loss="bits"), arms=arms)
    return {
        int(size): at_best[at_best["head_dim"] == size].pivot(index="seed", columns="arm", values="bits")[
            [*ARMS]
        ]
        for size in at_best["head_dim"].unique()
    }
