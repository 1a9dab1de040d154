"""Looking at the calls of modules."""

import pytest
import torch
from torch import nn

from course_lib.diagnostics import watch_modules


def test_calls_are_seen_in_order_and_change_nothing() -> None:
    model, x = nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.randn(4, 2)
    expected, seen = model(x), []
    with watch_modules(
        model.named_modules(),
        before=lambda name, module, inputs: seen.append((name, type(module), inputs[0].shape)),
        after=lambda name, module, output: seen.append((name, type(module), output.shape)),
    ):
        assert torch.equal(model(x), expected)
    assert seen == [
        ("", nn.Sequential, (4, 2)),
        ("0", nn.Linear, (4, 2)),
        ("0", nn.Linear, (4, 3)),
        ("1", nn.ReLU, (4, 3)),
        ("1", nn.ReLU, (4, 3)),
        ("", nn.Sequential, (4, 3)),
    ]


def test_no_hook_stays_after_an_error() -> None:
    model = nn.Linear(2, 3)
    with pytest.raises(ZeroDivisionError), watch_modules([("", model)], after=lambda *_: 1 / 0):
        model(torch.randn(1, 2))
    assert not model._forward_hooks and not model._forward_pre_hooks
