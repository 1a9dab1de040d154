"""Adam with L2 regularization and AdamW: the same moments, two places for the decay."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from course_lib.optim.base import (
    CourseOptimizer,
    cache_sized,
    check_at_least_zero,
    check_decay_rate,
    gradients_of,
)


class _AdamBase(CourseOptimizer):
    """The moments and the update; subclasses say where the decay enters."""

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, "lr", "eps")
        if len(group["betas"]) != 2:
            raise ValueError(f"betas is {group['betas']}; two numbers are needed")
        for index, beta in enumerate(group["betas"]):
            check_decay_rate(f"betas[{index}]", beta)

    def _moments(self, param: Tensor) -> dict[str, Tensor]:
        """The parameter's state, made at its first step; torch's names and types, so that states can be exchanged."""
        state: dict[str, Tensor] = self.state[param]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(param)
            state["exp_avg_sq"] = torch.zeros_like(param)
        return state

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        by_step: dict[int, list[Tensor]] = {}
        for param in params:
            state = self._moments(param)
            state["step"] += 1
            # Parameters that joined later, or had no gradient for a while, have another bias correction.
            by_step.setdefault(int(state["step"]), []).append(param)
        for step, members in by_step.items():
            self._update_at(step, group, members)

    def _update_at(self, step: int, group: dict[str, Any], params: list[Tensor]) -> None:
        """Update parameters that are all at the same ``step``, counted from 1."""
        lr, eps, (beta1, beta2) = float(group["lr"]), group["eps"], group["betas"]
        # m̂ / (√v̂ + eps) with both bias corrections moved out of the tensors (Kingma & Ba 2015, end of section 2).
        root = math.sqrt(1 - beta2**step)
        step_size = lr * root / (1 - beta1**step)
        states = [self.state[param] for param in params]
        for weights, grads, means, squares in cache_sized(
            params,
            gradients_of(params),
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
        ):
            grads = self._decay(group, weights, grads)
            torch._foreach_lerp_(means, grads, 1 - beta1)
            torch._foreach_mul_(squares, beta2)
            torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
            denominators = torch._foreach_sqrt(squares)
            torch._foreach_add_(denominators, eps * root)
            torch._foreach_addcdiv_(weights, means, denominators, -step_size)

    def _decay(self, group: dict[str, Any], weights: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        """Apply the decay; return the gradients that the moments are to see."""
        raise NotImplementedError


class Adam(_AdamBase):
    """Adam with the L2 penalty in the gradient; equals ``torch.optim.Adam(..., weight_decay=l2)``.

    The step is spelled out in :func:`course_lib.optim.reference.adam_step` (Kingma & Ba 2015, algorithm 1). Use
    :class:`AdamW` to train; chapter 7 shows why.

    Args:
        params: Parameters, (name, parameter) pairs, or dicts of them with their own options.
        lr: Learning rate.
        betas: Factors of the running averages of the gradient and of its square, each at least 0 and less than 1.
        eps: Added to the root of the second moment.
        l2: Factor of the parameter that is added to its gradient.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        l2: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "l2": l2})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_at_least_zero(group, "l2")

    def _decay(self, group: dict[str, Any], weights: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        return list(torch._foreach_add(grads, weights, alpha=group["l2"])) if group["l2"] else grads


class AdamW(_AdamBase):
    """Adam with decoupled weight decay (权重衰减); equals :class:`torch.optim.AdamW`.

    The step is spelled out in :func:`course_lib.optim.reference.adamw_step` (Loshchilov & Hutter 2019, algorithm
    2). The decay of a step is ``lr * weight_decay``, so a schedule of the learning rate is one of the decay too.

    Args:
        params: Parameters, (name, parameter) pairs, or dicts of them with their own options (see ``param_groups``).
        lr: Learning rate.
        betas: Factors of the running averages of the gradient and of its square, each at least 0 and less than 1.
        eps: Added to the root of the second moment.
        weight_decay: Every step multiplies the parameters by 1 - lr * weight_decay.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_at_least_zero(group, "weight_decay")

    def _decay(self, group: dict[str, Any], weights: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - float(group["lr"]) * group["weight_decay"])
        return grads
