"""Stochastic gradient descent (随机梯度下降) with momentum."""

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


class SGD(CourseOptimizer):
    """SGD with momentum (动量), Nesterov's variant and L2 regularization; equals :class:`torch.optim.SGD`.

    The step is spelled out in :func:`course_lib.optim.reference.sgd_step`. For plain SGD, L2 and decoupled weight
    decay are the same method up to the name of the constant: weight_decay here is the decoupled decay divided by
    ``lr`` (Loshchilov & Hutter 2019, proposition 1).

    Args:
        params: Parameters, (name, parameter) pairs, or dicts of them with their own options.
        lr: Learning rate.
        momentum: Factor of the velocity, 0 <= momentum < 1.
        weight_decay: Factor of the parameter that is added to its gradient.
        nesterov: Look ahead along the velocity; needs momentum.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        )

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, "lr", "weight_decay")
        check_decay_rate("momentum", group["momentum"])
        if group["nesterov"] and not group["momentum"]:
            raise ValueError(
                f"nesterov is True and momentum {group['momentum']}; Nesterov's step needs momentum > 0"
            )

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        lr, momentum, decay = float(group["lr"]), group["momentum"], group["weight_decay"]
        velocities = [[self._velocity(param) for param in params]] if momentum else []
        directions: list[Tensor] | tuple[Tensor, ...]
        for weights, grads, *velocity in cache_sized(params, gradients_of(params), *velocities):
            directions = torch._foreach_add(grads, weights, alpha=decay) if decay else grads
            if momentum:
                torch._foreach_mul_(velocity[0], momentum)
                torch._foreach_add_(velocity[0], directions)
                ahead = group["nesterov"]
                directions = (
                    torch._foreach_add(directions, velocity[0], alpha=momentum) if ahead else velocity[0]
                )
            torch._foreach_add_(weights, directions, alpha=-lr)

    def _velocity(self, param: Tensor) -> Tensor:
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(param)
        velocity: Tensor = state["momentum_buffer"]
        return velocity
