"""Null runs: an optimizer that is fed noise, so that a picture shows what it would show if nothing had been learned."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def noise_run(
    parameters: Sequence[nn.Parameter],
    optimizers: Sequence[Optimizer],
    steps: int,
    *,
    schedule: Callable[[int], float] | None = None,
    scale: float = 1.0,
    seed: int = 0,
) -> Iterator[int]:
    """Update parameters with gradients of independent normal numbers; yields the step after each update.

    Everything but the gradient is as in a real run: the optimizers with their momenta, decay and clipping of updates,
    and the schedule of learning rates. What the path of the weights looks like here is not the work of learning.

    Args:
        parameters: Changed in place.
        optimizers: Of these parameters.
        steps: Number of updates.
        schedule: Factor on the learning rates for each step, from 0; default: constant.
        scale: Standard deviation of the gradients' entries.
        seed: Of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    peaks = [group["lr"] for group in groups]
    for step in range(steps):
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * (schedule(step) if schedule else 1.0)
        for parameter in parameters:
            parameter.grad = scale * _normal(parameter, generator)
        for optimizer in optimizers:
            optimizer.step()
        yield step


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, dtype=torch.float32, device="cpu", generator=generator).to(like)
