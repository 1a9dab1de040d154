"""Chapter 4: which pairs matter? The speeds of a trained model's pairs are changed one by one, or some at a time."""

import math
from collections.abc import Iterable

import pandas as pd
from torch import Tensor

from course_lib.chapters.ch04_rope.experiments.copying import (
    STRETCHED,
    set_speeds,
    speeds,
    stretched_speeds,
    trained_on_copying,
)
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import attentions
from course_lib.lab.repeated_strings import FAR, READ_LENGTH, TRAINED_LENGTH, accuracy
from course_lib.lab.small_runs import one_thread
from course_lib.model import TransformerLM, rotary_frequencies

FACTOR = READ_LENGTH / TRAINED_LENGTH


def wavelengths(theta: float, head_dim: int) -> list[float]:
    """Tokens for a full turn of each pair."""
    radians, _ = rotary_frequencies(theta, head_dim)
    return (2 * math.pi / radians).tolist()


def partly_turned(theta: float, head_dim: int = 16) -> tuple[int, ...]:
    """The pairs that turned partly within the trained length: between a tenth of a turn and about one."""
    turns = [TRAINED_LENGTH / wavelength for wavelength in wavelengths(theta, head_dim)]
    return tuple(pair for pair, count in enumerate(turns) if 0.1 < count < 1.1)


def live_model(arm: str = "rope", *, seed: int = 0, steps: int = 600, lr: float = 0.008) -> TransformerLM:
    """A model of one of ``copying.ARMS``, trained as the stored ones but for half as long."""
    return trained_on_copying(arm, lr=lr, seed=seed, steps=steps)


@float32_on_cpu()
def reads_far(model: TransformerLM, radians: Tensor, *, sharper: float = 1.0) -> float:
    """The accuracy with far periods when a model's pairs turn at other speeds; the model stays as it was."""
    as_trained = [attention.rope for attention in attentions(model)]
    set_speeds(model, [radians, radians], sharper=sharper)
    try:
        with one_thread():
            return accuracy(model, READ_LENGTH, FAR)
    finally:
        for attention, rope in zip(attentions(model), as_trained, strict=True):
            attention.rope = rope


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


def yarn_changed(model: TransformerLM, head_dim: int = 16) -> pd.DataFrame:
    """The accuracy with far periods under YaRN, with one thing changed at a time, and under Llama 3's rule.

    "not sharper": cosines and sines without YaRN's factor. "pair 2 interpolated": the pair that is halfway
    up YaRN's ramp turns at a quarter of its speed. Columns: way, far.
    """
    radians, sharper = stretched_speeds(STRETCHED["YaRN x4"], head_dim)
    fully = radians[0].clone()
    fully[2] = slower("rope", [2], head_dim)[2]
    llama, _ = stretched_speeds(STRETCHED["Llama 3 x4"], head_dim)
    ways = {
        "YaRN x4": (radians[0], sharper),
        "not sharper": (radians[0], 1.0),
        "pair 2 interpolated": (fully, sharper),
        "Llama 3 x4": (llama[0], 1.0),
    }
    rows = [(way, reads_far(model, speed, sharper=factor)) for way, (speed, factor) in ways.items()]
    return pd.DataFrame(rows, columns=["way", "far"])
