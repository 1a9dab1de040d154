"""One step of every optimizer on one tensor, written to be read.

The teaching copies. Train with the classes (:class:`~course_lib.optim.SGD`, :class:`~course_lib.optim.Adam`,
:class:`~course_lib.optim.AdamW`, :class:`~course_lib.optim.Muon`): they make the same updates on many tensors at
once, and the tests hold the two together. Every function changes ``param`` in place and keeps what it must remember
in ``state``, a dict that is empty before the first step.
"""

from typing import Any

import torch
from torch import Tensor

from course_lib.optim.newton_schulz import MUON_COEFFICIENTS, Coefficients, newton_schulz, update_scale

State = dict[str, Any]

Number = float | Tensor
"""A number, or a tensor that broadcasts against the parameter: one number for each model of a batch."""


@torch.no_grad()
def sgd_step(
    param: Tensor,
    grad: Tensor,
    state: State,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> None:
    """One step of SGD with momentum (动量), to be read; train with :class:`course_lib.optim.SGD`.

    Polyak's heavy ball and Nesterov's variant in the form of Sutskever et al. 2013, "On the importance of
    initialization and momentum in deep learning", section 2, with the learning rate outside the velocity as in
    torch.
    """
    grad = grad + weight_decay * param  # L2: the gradient of weight_decay/2 · |param|²
    if momentum:
        velocity = momentum * state.get("momentum_buffer", torch.zeros_like(param)) + grad
        state["momentum_buffer"] = velocity
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


@torch.no_grad()
def adam_step(
    param: Tensor,
    grad: Tensor,
    state: State,
    *,
    lr: Number = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    l2: Number = 0.0,
) -> None:
    """One step of Adam with L2 regularization, to be read; train with :class:`course_lib.optim.Adam`.

    Kingma & Ba 2015, algorithm 1. The penalty's gradient enters both moments, so a weight with large gradients is
    divided by a large root and hardly decays.
    """
    grad = grad + l2 * param
    adam_update(param, grad, state, lr=lr, betas=betas, eps=eps)


@torch.no_grad()
def adamw_step(
    param: Tensor,
    grad: Tensor,
    state: State,
    *,
    lr: Number = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: Number = 0.01,
) -> None:
    """One step of AdamW, to be read; train with :class:`course_lib.optim.AdamW`.

    Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, with the decay times the
    learning rate as in torch: every weight shrinks by the same factor, whatever its gradients were.
    """
    param -= lr * weight_decay * param
    adam_update(param, grad, state, lr=lr, betas=betas, eps=eps)


def adam_update(
    param: Tensor, grad: Tensor, state: State, *, lr: Number, betas: tuple[float, float], eps: float
) -> None:
    """The part that Adam and AdamW share: two running averages with their start-up bias removed."""
    beta1, beta2 = betas
    step = state["step"] = state.get("step", 0) + 1
    mean = beta1 * state.get("exp_avg", torch.zeros_like(param)) + (1 - beta1) * grad
    square = beta2 * state.get("exp_avg_sq", torch.zeros_like(param)) + (1 - beta2) * grad**2
    state["exp_avg"], state["exp_avg_sq"] = mean, square
    mean_hat = mean / (1 - beta1**step)
    square_hat = square / (1 - beta2**step)
    param -= lr * mean_hat / (square_hat.sqrt() + eps)


@torch.no_grad()
def muon_step(
    param: Tensor,
    grad: Tensor,
    state: State,
    *,
    lr: float,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    weight_decay: float = 0.0,
    scale: str = "moonlight",
    ns_coefficients: Coefficients = MUON_COEFFICIENTS,
    ns_dtype: torch.dtype | None = None,
) -> None:
    """One step of Muon on one matrix, to be read; train with :class:`course_lib.optim.Muon`.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; Liu et al. 2025, "Muon is
    Scalable for LLM Training", algorithm 1 and section 2.2 (scale, weight decay).
    """
    average = state.get("momentum_buffer", torch.zeros_like(param))
    average = state["momentum_buffer"] = torch.lerp(average, grad, 1 - momentum)
    direction = torch.lerp(grad, average, momentum) if nesterov else average
    direction = newton_schulz(direction, ns_steps, ns_coefficients, dtype=ns_dtype)
    param *= 1 - lr * weight_decay
    param -= lr * update_scale(param.shape, scale) * direction
