"""The optimizer of a run, with its learning-rate schedule, as one object."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from course_lib.optim import AdamW, Muon, cosine, inverse_sqrt, linear, param_groups, wsd
from course_lib.train.config import TrainConfig

_SCHEDULES: dict[str, Callable[..., float]] = {
    "cosine": cosine,
    "linear": linear,
    "wsd": wsd,
    "inverse_sqrt": inverse_sqrt,
}


class RunOptimizer:
    """AdamW, or Muon for the hidden matrices and AdamW for the rest, with scheduled learning rates.

    ``optimizers``: by name; ``groups``: the parameter groups of all of them.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.config = config
        rate, decay = config.learning_rate, config.weight_decay
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        if config.optimizer == "muon":
            highest = rate if config.muon_learning_rate is None else config.muon_learning_rate
            groups = param_groups(model, weight_decay=decay, part="muon")
            self.optimizers["muon"] = Muon(groups, lr=highest)
        part = "rest" if config.optimizer == "muon" else "all"
        groups = param_groups(model, weight_decay=decay, part=part)  # type: ignore[arg-type]
        self.optimizers["adamw"] = AdamW(groups, lr=rate, betas=config.betas)
        for group in self.groups:
            group["max_lr"] = group["lr"]

    @property
    def groups(self) -> list[dict[str, Any]]:
        """All parameter groups."""
        return [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]

    def set_learning_rates(self, step: int) -> float:
        """Set the scheduled learning rates of update ``step``, counted from 0, and return that of AdamW."""
        for group in self.groups:
            group["lr"] = learning_rate(self.config, step, group["max_lr"])
        return float(self.optimizers["adamw"].param_groups[0]["lr"])

    def step(self, scaler: torch.amp.GradScaler) -> None:
        """Update the weights, unless the scaler found that a gradient overflowed."""
        for optimizer in self.optimizers.values():
            scaler.step(optimizer)
        scaler.update()

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """The states of all optimizers, by name."""
        return {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the states. Raises ValueError if they belong to other optimizers."""
        if set(state) != set(self.optimizers):
            raise ValueError(f"the state belongs to {', '.join(state)}, not to {', '.join(self.optimizers)}")
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[name])


def learning_rate(config: TrainConfig, step: int, highest: float) -> float:
    """The learning rate of update ``step``, counted from 0, if the peak of the schedule is ``highest``."""
    if config.schedule == "constant":
        return highest * min(1.0, step / config.warmup_steps) if config.warmup_steps else highest
    return _SCHEDULES[config.schedule](
        step,
        max_lr=highest,
        min_lr=highest * config.min_learning_rate_ratio,
        warmup_steps=config.warmup_steps,
        total_steps=config.steps,
    )
