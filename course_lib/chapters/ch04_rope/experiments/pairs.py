"""Chapter 4: which pairs matter? The speeds of a trained model's pairs are changed one by one, or some at a time."""

import math
from collections.abc import Iterable

import pandas as pd
import torch
from torch import Tensor

from course_lib.chapters.ch04_rope.experiments.copying import (
    FAR,
    READ_LENGTH,
    TRAINED_LENGTH,
    accuracy,
    copying_config,
    set_speeds,
    speeds,
    stretched_speeds,
    train_copying,
)
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.small_runs import one_thread
from course_lib.model import RopeScaling, TransformerLM, rotary_frequencies

FACTOR = READ_LENGTH / TRAINED_LENGTH


def wavelengths(theta: float, head_dim: int) -> list[float]:
    """Tokens for a full turn of each pair."""
    radians, _ = rotary_frequencies(theta, head_dim)
    return (2 * math.pi / radians).tolist()  # type: ignore[no-any-return]


@float32_on_cpu()
def live_model(arm: str = "rope", *, seed: int = 0, steps: int = 600, lr: float = 0.008) -> TransformerLM:
    """A model of one of ``copying.ARMS``, trained as the stored ones but for half as long."""
    torch.manual_seed(seed)
    model = TransformerLM(copying_config())
    set_speeds(model, speeds(arm, model.config.head_width))
    train_copying(model, steps, lr=lr, seed=seed)
    return model.eval()


@float32_on_cpu()
def reads_far(model: TransformerLM, radians: Tensor, *, sharper: float = 1.0) -> float:
    """The accuracy with far periods of a model whose pairs turn at other speeds; the model stays changed."""
    set_speeds(model, [radians, radians], sharper=sharper)
    with one_thread():
        return accuracy(model, READ_LENGTH, FAR)


def slower(arm: str, pairs: Iterable[int], head_dim: int = 16) -> Tensor:
    """Radians per position of each pair of an arm, (head_dim / 2,), some of the pairs interpolated."""
    radians = speeds(arm, head_dim)[0].clone()
    radians[list(pairs)] /= FACTOR
    return radians


def some_pairs_slower(
    model: TransformerLM, arm: str, sets: Iterable[tuple[int, ...]], head_dim: int = 16
) -> pd.DataFrame:
    """The accuracy with far periods when some pairs are interpolated, the others as trained.

    Columns: pairs (the numbers as a tuple; empty: as it is), far.
    """
    rows = [(pairs, reads_far(model, slower(arm, pairs, head_dim))) for pairs in sets]
    return pd.DataFrame(rows, columns=["pairs", "far"])


def without_sharpening(model: TransformerLM, scaling: RopeScaling, head_dim: int = 16) -> pd.DataFrame:
    """The accuracy with far periods of a way of stretching, with and without its factor on cosines and sines.

    Columns: factor, far.
    """
    radians, sharper = stretched_speeds(scaling, head_dim)
    rows = [(factor, reads_far(model, radians[0], sharper=factor)) for factor in (sharper, 1.0)]
    return pd.DataFrame(rows, columns=["factor", "far"])
