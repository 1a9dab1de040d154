"""Chapter 4: models that are trained on short strings that repeat, and the speeds at which their pairs turn."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import attentions
from course_lib.lab.repeated_strings import READ_LENGTH, TRAINED_LENGTH, copying_config, train_copying
from course_lib.model import RopeScaling, RotaryEmbedding, TransformerLM, rotary_frequencies

THETA = 10_000.0

ARMS = ("rope", "theta 100", "theta 1e6", "partial", "p-rope", "one layer", "none")
"""Which pairs turn, in training and after it.

"partial": half of the features turn, with a full range of speeds (GPT-J, GPT-NeoX). "p-rope": the slower half of the
pairs stands still (Barbero et al. 2024). "one layer": the second layer has no positions. "none": neither has.
"""


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


@float32_on_cpu()
def trained_on_copying(arm: str, *, lr: float, seed: int, steps: int) -> TransformerLM:
    """A new model of one of :data:`ARMS`, trained as ``train_copying`` does by default."""
    torch.manual_seed(seed)
    model = TransformerLM(copying_config())
    set_speeds(model, speeds(arm, model.config.head_width))
    train_copying(model, steps, lr=lr, seed=seed)
    return model.eval()
