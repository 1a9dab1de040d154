"""Muon: momentum, orthogonalized."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from course_lib.optim.base import (
    CourseOptimizer,
    cache_sized,
    check_at_least_zero,
    check_decay_rate,
    gradients_of,
    name_of,
)
from course_lib.optim.newton_schulz import (
    MUON_COEFFICIENTS,
    Coefficients,
    coefficients_by_step,
    newton_schulz,
    update_scale,
)

# Matrices of one shape are orthogonalized together while the batch has at most this many elements: for small
# matrices the number of calls matters, for large ones the memory of the copies.
BATCH_ELEMENTS = 1 << 22


class Muon(CourseOptimizer):
    """Muon for the hidden matrices of a network; everything else belongs to :class:`AdamW` (see ``param_groups``).

    The step is spelled out in :func:`course_lib.optim.reference.muon_step` (Jordan et al. 2024; Liu et al. 2025,
    algorithm 1). Same-shaped matrices are orthogonalized in one batch. Equals :class:`torch.optim.Muon` where that
    iterates in the same dtype: torch's always uses bfloat16, ours float32 on a CPU.

    Args:
        params: Matrices, (name, matrix) pairs, or dicts of them with their own options.
        lr: Learning rate; with ``scale="moonlight"`` in the range of AdamW's.
        momentum: Factor of the running average of the gradient, at least 0 and less than 1.
        nesterov: Orthogonalize the average moved once more towards itself from the gradient.
        ns_steps: Newton-Schulz iterations.
        weight_decay: Decoupled: every step multiplies the matrices by 1 - lr * weight_decay.
        scale: "moonlight", 0.2·sqrt(max(rows, cols)), or "jordan", sqrt(max(1, rows / cols)).
        ns_coefficients: (a, b, c) of the iteration, or one triple per step.
        ns_dtype: Dtype of the iteration; see :func:`newton_schulz`.

    Raises:
        ValueError: An option is out of range, or a parameter is not a matrix.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        weight_decay: float = 0.0,
        scale: Literal["moonlight", "jordan"] = "moonlight",
        *,
        ns_coefficients: Coefficients = MUON_COEFFICIENTS,
        ns_dtype: torch.dtype | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": ns_steps,
            "weight_decay": weight_decay,
            "scale": scale,
            "ns_coefficients": ns_coefficients,
            # As a name: groups are saved in checkpoints, which may be JSON.
            "ns_dtype": None if ns_dtype is None else str(ns_dtype).removeprefix("torch."),
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, "lr", "weight_decay")
        check_decay_rate("momentum", group["momentum"])
        if group["ns_steps"] < 1:
            raise ValueError(f"ns_steps is {group['ns_steps']}; it must be at least 1")
        coefficients_by_step(group["ns_coefficients"], group["ns_steps"])
        for index, param in enumerate(group["params"]):
            if param.ndim != 2:
                shape = tuple(param.shape)
                raise ValueError(
                    f"{name_of(group, index)} has {param.ndim} dimension(s), shape {shape}; Muon's params must be "
                    "matrices (2 dimensions), give the others to AdamW"
                )
            update_scale(param.shape, group["scale"])

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        directions = self._directions(group, params)
        shapes: dict[torch.Size, list[int]] = {}
        for index, param in enumerate(params):
            shapes.setdefault(param.shape, []).append(index)
        for shape, members in shapes.items():
            batch = max(1, BATCH_ELEMENTS // shape.numel())
            for start in range(0, len(members), batch):
                chosen = members[start : start + batch]
                self._move(group, [params[i] for i in chosen], [directions[i] for i in chosen])

    def _directions(self, group: dict[str, Any], params: list[Tensor]) -> list[Tensor]:
        """Update the momentum of all matrices; return the matrices to orthogonalize."""
        momentum = group["momentum"]
        averages = [self._average(param) for param in params]
        if not group["nesterov"]:
            for moments, grads in cache_sized(averages, gradients_of(params)):
                torch._foreach_lerp_(moments, grads, 1 - momentum)
            return averages
        directions = [torch.empty_like(param) for param in params]
        for moments, grads, ahead in cache_sized(averages, gradients_of(params), directions):
            torch._foreach_lerp_(moments, grads, 1 - momentum)
            torch._foreach_copy_(ahead, torch._foreach_lerp(grads, moments, momentum))
        return directions

    def _move(self, group: dict[str, Any], params: list[Tensor], directions: list[Tensor]) -> None:
        """Decay matrices of one shape and move them along their orthogonalized directions."""
        lr, coefficients = float(group["lr"]), group["ns_coefficients"]
        stacked = directions[0] if len(directions) == 1 else torch.stack(directions)
        dtype = None if group["ns_dtype"] is None else getattr(torch, group["ns_dtype"])
        updates = newton_schulz(stacked, group["ns_steps"], coefficients, dtype=dtype)
        pieces = [updates] if len(directions) == 1 else list(updates.unbind())
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        torch._foreach_add_(params, pieces, alpha=-lr * update_scale(params[0].shape, group["scale"]))

    def _average(self, param: Tensor) -> Tensor:
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(param)
        average: Tensor = state["momentum_buffer"]
        return average
