"""Schedules against closed forms and torch's schedulers."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_lib.optim import cosine, inverse_sqrt, linear, wsd

SCHEDULES: list[Callable[..., float]] = [
    cosine,
    linear,
    inverse_sqrt,
    wsd,
    partial(wsd, decay="sqrt"),
    partial(wsd, decay="cosine"),
]


def test_cosine_points() -> None:
    at = partial(cosine, max_lr=1.0, min_lr=0.1, warmup_steps=10, total_steps=110)
    assert [at(s) for s in (0, 5, 10)] == [0, 0.5, 1.0]
    assert at(60) == pytest.approx(0.55)
    assert at(35) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)
    assert at(110) == at(10_000) == 0.1


def test_cosine_is_torchs_after_the_warmup() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, eta_min=0.03)
    for step in range(51):
        expected = optimizer.param_groups[0]["lr"]
        assert cosine(step, max_lr=0.3, min_lr=0.03, warmup_steps=0, total_steps=50) == pytest.approx(
            expected
        )
        optimizer.step()
        scheduler.step()


def test_linear_points() -> None:
    at = partial(linear, max_lr=1.0, min_lr=0.2, warmup_steps=4, total_steps=12)
    assert [at(s) for s in (0, 1, 4)] == [0, 0.25, 1]
    assert [at(s) for s in (6, 8, 12, 13)] == pytest.approx([0.8, 0.6, 0.2, 0.2])


def test_inverse_sqrt_points_and_the_transformers_formula() -> None:
    at = partial(inverse_sqrt, max_lr=1.0, warmup_steps=100)
    assert [at(s) for s in (50, 100, 400, 10_000)] == pytest.approx([0.5, 1, 0.5, 0.1])
    assert inverse_sqrt(10**8, max_lr=1.0, min_lr=0.05, warmup_steps=100) == 0.05
    for step in (
        1,
        30,
        100,
        5000,
    ):  # Vaswani et al. 2017, equation 3, is this with d_model^-0.5 * warmup^-0.5 as peak
        peak = 512**-0.5 * 100**-0.5
        expected = 512**-0.5 * min(step**-0.5, step * 100**-1.5)
        assert inverse_sqrt(step, max_lr=peak, warmup_steps=100) == pytest.approx(expected)


def test_wsd_points() -> None:
    at = partial(wsd, max_lr=1.0, min_lr=0.2, warmup_steps=10, total_steps=100, decay_steps=40)
    assert [at(s) for s in (5, 10, 59, 60)] == [0.5, 1, 1, 1]
    assert [at(s) for s in (70, 80, 100, 200)] == pytest.approx([0.8, 0.6, 0.2, 0.2])
    assert at(70, decay="sqrt") == pytest.approx(0.2 + 0.8 * 0.5)
    assert at(80, decay="cosine") == pytest.approx(0.6)
    flat = partial(wsd, max_lr=1.0, warmup_steps=10, total_steps=100)
    assert flat(79) == 1 and flat(90) == pytest.approx(0.5)  # the last fifth by default
    assert flat(100, decay_steps=0) == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(data=st.data())
def test_all_rise_to_the_maximum_at_the_end_of_the_warmup_and_never_again(
    schedule: Any, data: st.DataObject
) -> None:
    total = data.draw(st.integers(1, 300))
    warmup = data.draw(st.integers(1, total))
    min_lr = data.draw(st.floats(0, 1))
    at = partial(schedule, max_lr=1.0, min_lr=min_lr, warmup_steps=warmup, total_steps=total)
    rates = [at(step) for step in range(total + 3)]
    assert rates[:warmup] == pytest.approx([step / warmup for step in range(warmup)])
    falling = rates[warmup:]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(falling))
    assert all(min_lr - 1e-12 <= rate <= 1 for rate in falling)
    if warmup < total:
        assert falling[0] == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_they_drive_an_optimizer_through_lambda_lr(schedule: Any) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, partial(schedule, max_lr=1.0, warmup_steps=3, total_steps=10)
    )
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    expected = [schedule(step, max_lr=0.5, warmup_steps=3, total_steps=10) for step in range(10)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"warmup_steps": 101}, "warmup_steps is 101, longer than the run: total_steps is 100"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"max_lr": -0.1}, "max_lr is -0.1"),
        ({"max_lr": math.nan}, "max_lr is nan"),
        ({"min_lr": 2.0}, "min_lr is 2.0; it must be between 0 and max_lr"),
        ({"min_lr": -1.0}, "min_lr is -1.0"),
        ({"total_steps": 0, "warmup_steps": 0}, "total_steps is 0"),
        ({"step": -1}, "step is -1"),
    ],
)
def test_wrong_arguments_are_named(schedule: Any, change: dict[str, Any], message: str) -> None:
    arguments = {"step": 5, "max_lr": 1.0, "min_lr": 0.1, "warmup_steps": 10, "total_steps": 100} | change
    with pytest.raises(ValueError, match=message):
        schedule(arguments.pop("step"), **arguments)


def test_wrong_arguments_of_single_schedules_are_named() -> None:
    with pytest.raises(ValueError, match="warmup_steps is 0; inverse_sqrt"):
        inverse_sqrt(5, max_lr=1.0, warmup_steps=0)
    with pytest.raises(
        ValueError, match="decay_steps is 95; with warmup_steps 10 of total_steps 100 it must be 0 … 90"
    ):
        wsd(5, max_lr=1.0, warmup_steps=10, total_steps=100, decay_steps=95)
    with pytest.raises(ValueError, match="decay is 'exp'"):
        wsd(5, max_lr=1.0, warmup_steps=10, total_steps=100, decay="exp")  # type: ignore[arg-type]
