"""Small models for tests of checkpoints, a step of an optimizer, and equality of states."""

from typing import Any

import torch
from torch import Tensor, nn

from course_lib.model import ModelConfig, TransformerLM


def small_model(seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return TransformerLM(
        ModelConfig(
            **{"vocab_size": 50, "context_length": 16, "d_model": 16, "num_layers": 1, "num_heads": 2}
            | options
        )
    )


def mixed_model(seed: int = 0) -> nn.Module:
    """Layers with buffers, integers, several dtypes and empty tensors."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), nn.Linear(4, 4).bfloat16(), nn.Embedding(0, 3)
    )
    model.register_buffer("transposed", torch.randn(3, 5).T)
    model.register_buffer("part", torch.randn(10)[3:6])
    return model


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = sum((p.float() - 0.1).square().sum() for p in model.parameters())  # type: ignore[assignment]
        loss.backward()
        return loss

    optimizer.step(closure)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and bool(a == b)
