"""Chapter 4: strings that repeat. Does a model that was trained on short ones read far back in long ones?

Held-out text hardly tells: most of its next bytes follow from the last few, so that a model which forgets all else does
well. A string of random symbols that repeats can only be continued by reading one period back.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import attentions
from course_lib.lab.small_runs import one_thread, small_config
from course_lib.model import (
    ModelConfig,
    RopeScaling,
    RotaryEmbedding,
    TransformerLM,
    rotary_frequencies,
)
from course_lib.optim import AdamW, clip_grad_norm, linear

SYMBOLS = 64
"""Size of the alphabet."""

TRAINED_LENGTH, READ_LENGTH = 64, 256

NEAR, FAR = (8, 32), (70, 100)
"""Shortest and longest period: of training, and beyond the trained length."""

THETA = 10_000.0

ARMS = ("rope", "theta 100", "theta 1e6", "partial", "p-rope", "one layer", "none")
"""Which pairs turn, in training and after it.

"partial": half of the features turn, with a full range of speeds (GPT-J, GPT-NeoX). "p-rope": the slower half of the
pairs stands still (Barbero et al. 2024). "one layer": the second layer has no positions. "none": neither has.
"""


def copying_config(**changes: object) -> ModelConfig:
    """The smallest model, for an alphabet of :data:`SYMBOLS` and long enough to be read at :data:`READ_LENGTH`."""
    return small_config(vocab_size=SYMBOLS, context_length=READ_LENGTH, **changes)


def repeated(
    count: int, length: int, periods: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Strings of random symbols that repeat, with periods between two bounds, both included.

    Returns ids, int64 (count, length + 1), and the period of each, (count,).
    """
    low, high = periods
    period = torch.randint(low, high + 1, (count,), generator=generator)
    symbols = torch.randint(SYMBOLS, (count, high), generator=generator)
    place = torch.arange(length + 1) % period.unsqueeze(-1)
    return symbols.gather(1, place), period


def _logits(model: TransformerLM, ids: Tensor, period: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets of the places that a reader of the whole string could know: those after the first period."""
    known = torch.arange(1, ids.shape[1]) >= period.unsqueeze(-1)
    return model(ids[:, :-1])[known], ids[:, 1:][known]


@torch.no_grad()
def accuracy(
    model: TransformerLM, length: int, periods: tuple[int, int], *, count: int = 64, seed: int = 10_000
) -> float:
    """The share of repeated symbols that the model predicts, on strings that no training run sees."""
    ids, period = repeated(count, length, periods, torch.Generator().manual_seed(seed))
    logits, targets = _logits(model, ids, period)
    return float((logits.argmax(-1) == targets).float().mean())


# --- speeds of the pairs ----------------------------------------------------------------------------------------------


def speeds(arm: str, head_dim: int) -> list[Tensor]:
    """Radians per position of each pair, (head_dim / 2,), for the two layers of one of :data:`ARMS`."""
    theta = {"theta 100": 100.0, "theta 1e6": 1e6}.get(arm, THETA)
    full, _ = rotary_frequencies(theta, head_dim)
    still = torch.zeros_like(full)
    half = len(full) // 2
    if arm == "partial":
        full = torch.cat([rotary_frequencies(theta, head_dim // 2)[0], still[half:]])
    elif arm == "p-rope":
        full = torch.cat([full[:half], still[half:]])
    elif arm == "none":
        full = still
    return [full, still if arm == "one layer" else full]


def set_speeds(model: TransformerLM, radians: Sequence[Tensor], *, sharper: float = 1.0) -> None:
    """Let the pairs of each layer of a rotary model turn at given speeds; ``sharper`` multiplies cosines and sines."""
    config = model.config
    for attention, speed in zip(attentions(model), radians, strict=True):
        rope = RotaryEmbedding(config.rope_theta, config.head_width, config.context_length)
        angles = torch.outer(torch.arange(config.context_length, dtype=torch.float32), speed)
        rope.cos.copy_(angles.cos() * sharper)
        rope.sin.copy_(angles.sin() * sharper)
        attention.rope = rope


def stretched_speeds(scaling: RopeScaling, head_dim: int) -> tuple[list[Tensor], float]:
    """Speeds of the arm "rope" under a way of stretching, for both layers, and its factor on cosines and sines."""
    radians, sharper = rotary_frequencies(THETA, head_dim, scaling)
    return [radians, radians], sharper


def one_pair_slower(pair: int, head_dim: int, factor: float = READ_LENGTH / TRAINED_LENGTH) -> list[Tensor]:
    """Speeds of the arm "rope" with one pair interpolated, all others as trained."""
    radians, _ = rotary_frequencies(THETA, head_dim)
    radians[pair] /= factor
    return [radians, radians]


STRETCHED: Mapping[str, RopeScaling] = {
    "interpolation x4": RopeScaling("linear", 4),
    "NTK x4": RopeScaling("ntk", 4),
    "NTK x8": RopeScaling("ntk", 8),
    "NTK x12": RopeScaling("ntk", 12),
    "YaRN x4": RopeScaling("yarn", 4, TRAINED_LENGTH, beta_fast=4.0),
    "Llama 3 x4": RopeScaling("llama3", 4, TRAINED_LENGTH),
}
"""Ways of stretching. YaRN's default, 32 turns within the trained length, would be beyond the fastest pair's ten."""


# --- training ---------------------------------------------------------------------------------------------------------


def train_copying(
    model: TransformerLM,
    steps: int,
    *,
    lr: float,
    seed: int,
    batch_size: int = 16,
    length: int = TRAINED_LENGTH,
    periods: tuple[int, int] = NEAR,
) -> None:
    """Train on repeated strings, on the symbols after the first period only, with a rate that falls to 0."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    with one_thread():
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = linear(step, max_lr=lr, warmup_steps=0, total_steps=steps)
            logits, targets = _logits(model, *repeated(batch_size, length, periods, generator))
            loss = functional.cross_entropy(logits, targets)
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()


@float32_on_cpu()
def trained_on_copying(arm: str, *, lr: float, seed: int, steps: int) -> TransformerLM:
    """A new model of one of :data:`ARMS`, trained on strings of :data:`TRAINED_LENGTH` with periods :data:`NEAR`."""
    torch.manual_seed(seed)
    model = TransformerLM(copying_config())
    set_speeds(model, speeds(arm, model.config.head_width))
    train_copying(model, steps, lr=lr, seed=seed)
    return model.eval()
