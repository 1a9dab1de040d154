"""Watched modules: which tensors are collected, and that no hook stays behind."""

import pytest
import torch
from torch import nn

from course_lib.lab.hooks import hooked, watch_inputs, watch_outputs


def test_inputs_and_outputs_of_every_call_are_seen_without_graphs() -> None:
    first, second = nn.Linear(2, 3), nn.Linear(3, 1)
    model = nn.Sequential(first, nn.ReLU(), second)
    x = torch.ones(4, 2, requires_grad=True)
    with watch_inputs([first, second]) as inputs, watch_outputs([second]) as outputs:
        y = model(x)
        model(x)
    assert [tensor.shape for tensor in inputs] == [(4, 2), (4, 3)] * 2
    assert len(outputs) == 2 and outputs[0].equal(y)
    assert not any(tensor.requires_grad for tensor in (*inputs, *outputs))
    model(x)
    assert len(inputs) == 4


def test_hooks_are_removed_after_an_error() -> None:
    model = nn.Linear(2, 3)

    def fail(*_: object) -> None:
        raise RuntimeError("from the hook")

    with pytest.raises(RuntimeError, match="from the hook"), hooked([model.register_forward_pre_hook(fail)]):
        model(torch.ones(2))
    assert not model._forward_pre_hooks

    def register() -> object:
        yield model.register_forward_pre_hook(fail)
        raise ValueError("while registering")

    with pytest.raises(ValueError, match="while registering"), hooked(register()):  # type: ignore[arg-type]
        pass
    assert not model._forward_pre_hooks
