"""Checks of tensors, each with an error of one sentence that names the argument and what is allowed."""

import torch
from torch import Tensor


def check_features(x: Tensor, weight: Tensor, name: str = "x") -> None:
    """Raise ValueError unless the last dimension of ``x`` is that of ``weight``, on the same device and in its dtype.

    Under autocast the dtypes may differ: torch converts them.
    """
    features = weight.shape[-1]
    if not x.ndim or x.shape[-1] != features:
        raise ValueError(
            f"{name} must have {features} features in its last dimension, not shape {tuple(x.shape)}"
        )
    if x.device != weight.device:
        raise ValueError(f"{name} must be on {weight.device} like the weights, not on {x.device}")
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(f"{name} must be {weight.dtype} like the weights, not {x.dtype}")


def check_normable(x: Tensor, weight: Tensor) -> None:
    """Raise ValueError unless ``x`` is floating point, with the last dimension and on the device of ``weight``."""
    if not x.ndim or x.shape[-1] != weight.shape[0] or not x.is_floating_point():
        raise ValueError(
            f"x must hold floating-point numbers, {len(weight)} in its last dimension, "
            f"not {x.dtype} of shape {tuple(x.shape)}"
        )
    if x.device != weight.device:
        raise ValueError(f"x must be on {weight.device} like the weights, not on {x.device}")


def check_ids(ids: Tensor, name: str) -> None:
    """Raise TypeError unless ``ids`` is a tensor, ValueError unless it is one of int64 or int32."""
    if not isinstance(ids, Tensor):
        raise TypeError(f"{name} must be a tensor of int64 (or int32), not {type(ids).__name__}")
    if ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{name} must be a tensor of int64 (or int32), not {ids.dtype}")


def check_id_range(ids: Tensor, limit: int, name: str) -> None:
    """Raise ValueError, with the first offender, unless all ``ids`` are in 0 … ``limit`` - 1."""
    wrong = ids[(ids < 0) | (ids >= limit)]
    if len(wrong):
        raise ValueError(f"{name} must be in 0 … {limit - 1}, not {int(wrong[0])}")
