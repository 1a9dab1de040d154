"""Adam with L2 regularization and AdamW: the same moments, two places for the decay."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable
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
    """The moments and the update; subclasses say where the decay enters.

    The update exists twice: as operations on lists of tensors, and as torch's kernel, which reads and writes every
    number once. An update this simple is limited by memory, so the kernel gains by the passes it saves.
    """

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, "lr", "eps")
        if len(group["betas"]) != 2:
            raise ValueError(f"betas is {group['betas']}; two numbers are needed")
        for index, beta in enumerate(group["betas"]):
            check_decay_rate(f"betas[{index}]", beta)

    def _moments(self, param: Tensor) -> dict[str, Tensor]:
        """The parameter's state, created at its first step, with torch's names and types."""
        state: dict[str, Tensor] = self.state[param]
        if not state:
            state["step"] = torch.tensor(0.0, dtype=torch.float32, device="cpu")
            state["exp_avg"] = torch.zeros_like(param)
            state["exp_avg_sq"] = torch.zeros_like(param)
        return state

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        by_step: dict[int, list[Tensor]] = {}
        fused = []
        for param in params:
            state = self._moments(param)
            state["step"] += 1
            if group["fused"] and _one_kernel_can(param, state):
                fused.append(param)
            else:
                # Parameters that were added later, or had no gradient for a while, have a different bias correction.
                by_step.setdefault(int(state["step"]), []).append(param)
        for step, members in by_step.items():
            self._update_lists(step, group, members)
        if fused:
            self._update_fused(group, fused)

    def _update_lists(self, step: int, group: dict[str, Any], params: list[Tensor]) -> None:
        """Update parameters that are all at the same ``step``, counted from 1, operation by operation."""
        lr, eps, (beta1, beta2) = float(group["lr"]), group["eps"], group["betas"]
        # m̂ / (√v̂ + eps) with both bias corrections moved out of the tensors (Kingma & Ba 2015, end of section 2).
        root = math.sqrt(1 - beta2**step)
        step_size = lr * root / (1 - beta1**step)
        for weights, grads, means, squares in cache_sized(*self._lists(params)):
            grads = self._decay(group, weights, grads)
            torch._foreach_lerp_(means, grads, 1 - beta1)
            torch._foreach_mul_(squares, beta2)
            torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
            denominators = torch._foreach_sqrt(squares)
            torch._foreach_add_(denominators, eps * root)
            torch._foreach_addcdiv_(weights, means, denominators, -step_size)

    def _lists(self, params: list[Tensor]) -> list[list[Tensor]]:
        """Parameters, gradients and both moments."""
        states = [self.state[param] for param in params]
        moments = [[state[name] for state in states] for name in ("exp_avg", "exp_avg_sq")]
        return [params, gradients_of(params), *moments]

    def _update_fused(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Update parameters in one pass over memory."""
        beta1, beta2 = group["betas"]
        kernel, decay = self._kernel(group)
        kernel(
            *self._lists(params),
            [],  # the running maxima of AMSGrad, which is off
            [self.state[param]["step"] for param in params],
            lr=float(group["lr"]),
            beta1=beta1,
            beta2=beta2,
            weight_decay=decay,
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    @abstractmethod
    def _decay(self, group: dict[str, Any], weights: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        """Apply the decay; return the gradients that enter the moments."""

    @abstractmethod
    def _kernel(self, group: dict[str, Any]) -> tuple[Callable[..., Any], float]:
        """Torch's kernel for the same update, and its decay."""


def _one_kernel_can(param: Tensor, state: dict[str, Tensor]) -> bool:
    """Whether the fused CPU kernel may be used: all four tensors have the same dtype and layout in memory."""
    tensors = (param, param.grad, state["exp_avg"], state["exp_avg_sq"])
    return all(
        t is not None and t.device.type == "cpu" and t.dtype == param.dtype and t.is_contiguous()
        for t in tensors
    )


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
        fused: As in :class:`AdamW`.

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
        *,
        fused: bool = True,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "l2": l2, "fused": fused})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_at_least_zero(group, "l2")

    def _decay(self, group: dict[str, Any], weights: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        return list(torch._foreach_add(grads, weights, alpha=group["l2"])) if group["l2"] else grads

    def _kernel(self, group: dict[str, Any]) -> tuple[Callable[..., Any], float]:
        return torch._fused_adam_, group["l2"]


class AdamW(_AdamBase):
    """Adam with decoupled weight decay (权重衰减); equals :class:`torch.optim.AdamW`.

    The step is spelled out in :func:`course_lib.optim.reference.adamw_step` (Loshchilov & Hutter 2019, algorithm
    2). The decay of a step is ``lr * weight_decay``, so a schedule of the learning rate also schedules the decay.

    Args:
        params: Parameters, (name, parameter) pairs, or dicts of them with their own options (see ``param_groups``).
        lr: Learning rate.
        betas: Factors of the running averages of the gradient and of its square, each at least 0 and less than 1.
        eps: Added to the root of the second moment.
        weight_decay: Every step multiplies the parameters by 1 - lr * weight_decay.
        fused: On a CPU, let torch's fused kernel make the update in one pass over memory. Without it (and for tensors
            the kernel cannot take, and on an accelerator) it is made operation by operation on lists of tensors, in
            pieces that fit the cache.

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
        *,
        fused: bool = True,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "fused": fused}
        super().__init__(params, options)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_at_least_zero(group, "weight_decay")

    def _decay(self, group: dict[str, Any], weights: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - float(group["lr"]) * group["weight_decay"])
        return grads

    def _kernel(self, group: dict[str, Any]) -> tuple[Callable[..., Any], float]:
        return torch._fused_adamw_, group["weight_decay"]
