"""Sizes of weights, gradients and updates, parameter by parameter or layer by layer."""

import math
import re
from collections.abc import Mapping
from typing import Literal

import pandas as pd
import torch
from torch import Tensor, nn

Snapshot = dict[str, Tensor]
By = Literal["parameter", "layer"]


def layer_of(name: str) -> int | None:
    """The layer that a dotted name belongs to: its first part that is a number ("layers.3.attn.q_proj.weight": 3)."""
    found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", name)
    return int(found.group(1)) if found else None


def snapshot(model: nn.Module) -> Snapshot:
    """A copy of every trainable parameter by name, for :func:`update_norms` and :func:`trajectory_projection`."""
    return {name: param.detach().clone() for name, param in model.named_parameters() if param.requires_grad}


def gradient_norms(model: nn.Module, *, by: By = "parameter") -> pd.DataFrame:
    """Norms of weights and gradients after ``backward``.

    Args:
        model: Any module.
        by: One row per "parameter", or one per "layer" (norms over all its parameters together; parameters outside
            numbered layers keep rows of their own).

    Returns:
        A frame in the model's order with the columns parameter (by layer: name), layer (<NA> outside), size
        (numbers), weight_norm, gradient_norm (Euclidean; NaN without a gradient).

    Raises:
        ValueError: ``by`` is unknown, or no parameter has a gradient.
    """
    rows = []
    for name, param in model.named_parameters():
        if param.requires_grad:
            gradient = math.nan if param.grad is None else _norm(param.grad)
            rows.append((name, layer_of(name), param.numel(), _norm(param), gradient))
    frame = _frame(rows, ["weight_norm", "gradient_norm"], by)
    if frame["gradient_norm"].isna().all() and all(param.grad is None for param in model.parameters()):
        raise ValueError("model has no gradients: call backward() first, and zero_grad() afterwards")
    return frame


def update_norms(model: nn.Module, before: Mapping[str, Tensor], *, by: By = "parameter") -> pd.DataFrame:
    """Norms of the changes that a step made.

        before = snapshot(model); optimizer.step(); update_norms(model, before)

    Args:
        model: The module after the step.
        before: The result of :func:`snapshot` before the step.
        by: As in :func:`gradient_norms`.

    Returns:
        A frame with the columns parameter, layer, size, weight_norm (before the step), update_norm, and
        relative_update, their ratio.

    Raises:
        ValueError: ``by`` is unknown, or ``before`` belongs to another model.
    """
    rows = []
    for name, param in model.named_parameters():
        if not param.requires_grad:
            continue
        if name not in before or before[name].shape != param.shape:
            raise ValueError(
                f"before does not fit the model: it has no {name!r} of shape {tuple(param.shape)}"
            )
        rows.append(
            (name, layer_of(name), param.numel(), _norm(before[name]), _norm(param.detach() - before[name]))
        )
    frame = _frame(rows, ["weight_norm", "update_norm"], by)
    frame["relative_update"] = frame["update_norm"] / frame["weight_norm"]
    return frame


def _norm(tensor: Tensor) -> float:
    return float(
        torch.linalg.vector_norm(tensor.detach(), dtype=torch.promote_types(tensor.dtype, torch.float32))
    )


def _frame(rows: list[tuple[str, int | None, int, float, float]], norms: list[str], by: By) -> pd.DataFrame:
    """Rows (name, layer, size, two norms) as a frame, by layer if asked for."""
    if by not in ("parameter", "layer"):
        raise ValueError(f"by is {by!r}; it must be 'parameter' or 'layer'")
    frame = pd.DataFrame(rows, columns=["parameter", "layer", "size", *norms]).astype({"layer": "Int64"})
    if by == "parameter":
        return frame
    names = frame["parameter"].where(frame["layer"].isna(), "layer " + frame["layer"].astype(str))
    frame[norms] = frame[norms] ** 2
    summed = frame.groupby(names, sort=False).agg(
        {"layer": "first", "size": "sum"} | dict.fromkeys(norms, "sum")
    )
    # A sum of nothing but missing gradients is missing, not zero.
    for norm in norms:
        summed[norm] = frame.groupby(names, sort=False)[norm].sum(min_count=1) ** 0.5
    return summed.rename_axis("name").reset_index()
