"""Right and wrong answers to chapter 9's exercises on weight decay and the noise floor."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.exercises.answers import Answers, run_tables

Rates = Sequence[float]

# --- the half-life of a weight ----------------------------------------------------------------------------------------


def half_by_log2(lr: float, weight_decay: float) -> float:
    return 1 / -math.log2(1 - lr * weight_decay)


def half_by_numpy(lr: float, weight_decay: float) -> np.float64:
    return np.emath.logn(1 - lr * weight_decay, 0.5)


def half_by_newton(lr: float, weight_decay: float) -> float:
    n, left = 0.0, 1 - lr * weight_decay
    for _ in range(100):
        n -= (left**n - 0.5) / (left**n * math.log(left))
    return n


def half_in_torch(lr: float, weight_decay: float) -> torch.Tensor:
    return -torch.tensor(2.0).log() / torch.log1p(torch.tensor(-lr * weight_decay))


def half_by_counting(lr: float, weight_decay: float) -> int:
    w, steps = 1.0, 0
    while w > 0.5:
        w *= 1 - lr * weight_decay
        steps += 1
    return steps


def half_rounded_down(lr: float, weight_decay: float) -> int:
    return int(half_by_log2(lr, weight_decay))


def half_to_one_over_e(lr: float, weight_decay: float) -> float:
    return 1 / (lr * weight_decay)


def half_for_small_decays(lr: float, weight_decay: float) -> float:
    return math.log(2) / (lr * weight_decay)


def half_without_rate(lr: float, weight_decay: float) -> float:
    return math.log(2) / weight_decay


def half_linear(lr: float, weight_decay: float) -> float:
    return 0.5 / lr / weight_decay


def half_negative(lr: float, weight_decay: float) -> float:
    return math.log(2) / math.log(1 - lr * weight_decay)


def half_of_a_half(lr: float, weight_decay: float) -> float:
    return math.log(0.25) / math.log(1 - lr * weight_decay)


# --- the noise floor --------------------------------------------------------------------------------------------------


def bowl_recursive(rates: Rates, curvature: float, noise: float, start: float) -> float:
    if not rates:
        return curvature * start**2 / 2
    before = bowl_recursive(rates[:-1], curvature, noise, start)
    return (1 - rates[-1] * curvature) ** 2 * before + curvature * rates[-1] ** 2 * noise**2 / 2


def bowl_by_mean_and_variance(rates: Rates, curvature: float, noise: float, start: float) -> Any:
    mean, variance = np.float64(start), np.float64(0)
    for rate in rates:
        mean *= 1 - rate * curvature
        variance = (1 - rate * curvature) ** 2 * variance + (rate * noise) ** 2
    return curvature * (mean**2 + variance) / 2


def bowl_in_float32(rates: Rates, curvature: float, noise: float, start: float) -> torch.Tensor:
    rates = torch.tensor(rates)
    left = (1 - rates * curvature) ** 2
    after = torch.cat([left.flip(0).cumprod(0).flip(0)[1:], torch.ones(1)])[: len(rates)]
    return curvature / 2 * (start**2 * left.prod() + (rates**2 * noise**2 * after).sum())


def _bowl(left: Callable[..., float], added: Callable[..., float], halved: float = 2) -> Callable[..., Any]:
    def run(rates: Rates, curvature: float, noise: float, start: float) -> float:
        square = start * start
        for rate in rates:
            square = square * left(rate, curvature) + added(rate, noise)
        return curvature * square / halved

    return run


def bowl_without_noise(rates: Rates, curvature: float, noise: float, start: float) -> float:
    for rate in rates:
        start -= rate * curvature * start
    return curvature * start**2 / 2


def bowl_shrunk_once(rates: Rates, curvature: float, noise: float, start: float) -> float:
    return _bowl(lambda r, h: 1 - r * h, lambda r, n: (r * n) ** 2)(rates, curvature, noise, start)


def bowl_without_curvature(rates: Rates, curvature: float, noise: float, start: float) -> float:
    return _bowl(lambda r, h: (1 - r) ** 2, lambda r, n: (r * n) ** 2)(rates, curvature, noise, start)


def bowl_rate_not_squared(rates: Rates, curvature: float, noise: float, start: float) -> float:
    return _bowl(lambda r, h: (1 - r * h) ** 2, lambda r, n: r * n * n)(rates, curvature, noise, start)


def bowl_noise_without_rate(rates: Rates, curvature: float, noise: float, start: float) -> float:
    return _bowl(lambda r, h: (1 - r * h) ** 2, lambda r, n: n * n)(rates, curvature, noise, start)


def bowl_noise_not_squared(rates: Rates, curvature: float, noise: float, start: float) -> float:
    return _bowl(lambda r, h: (1 - r * h) ** 2, lambda r, n: r * r * n)(rates, curvature, noise, start)


def bowl_not_halved(rates: Rates, curvature: float, noise: float, start: float) -> float:
    return _bowl(lambda r, h: (1 - r * h) ** 2, lambda r, n: (r * n) ** 2, 1)(rates, curvature, noise, start)


def bowl_mean_square(rates: Rates, curvature: float, noise: float, start: float) -> float:
    return bowl_recursive(rates, curvature, noise, start) / curvature


def bowl_backwards(rates: Rates, curvature: float, noise: float, start: float) -> float:
    return bowl_recursive(rates[::-1], curvature, noise, start)


def bowl_simulated(rates: Rates, curvature: float, noise: float, start: float) -> float:
    rng = np.random.default_rng(0)
    w = np.full(10_000, start)
    for rate in rates:
        w = w - rate * (curvature * w + noise * rng.normal(size=w.shape))
    return curvature * float(np.mean(w**2)) / 2


ANSWERS = {
    "sched-half-life": Answers(
        right=(half_by_log2, half_by_numpy, half_by_newton, half_in_torch),
        wrong=(
            (half_by_counting, "This counts whole steps"),
            (half_rounded_down, "This is rounded down"),
            (half_to_one_over_e, "After 1 / (lr · λ) steps 37 % are left"),
            (half_for_small_decays, "This is right for small lr · λ only"),
            (half_without_rate, "The decay is multiplied by the learning rate"),
            (half_linear, "This takes the same amount in every step."),
            (half_negative, "The sign is turned"),
            (half_of_a_half, "Every step takes a half: one step."),
        ),
    ),
    "sched-bowl": Answers(
        right=(bowl_recursive, bowl_by_mean_and_variance, bowl_in_float32),
        wrong=(
            (bowl_without_noise, "This follows the mean of w."),
            (bowl_shrunk_once, "w is multiplied by 1 - lr · h"),
            (bowl_without_curvature, "The gradient is h · w"),
            (bowl_rate_not_squared, "The noise in w is lr times that of the gradient"),
            (bowl_noise_without_rate, "The noise is part of the gradient"),
            (bowl_noise_not_squared, "noise is a standard deviation"),
            (bowl_not_halved, "The loss is h · w² / 2: half of this."),
            (bowl_mean_square, "This is half the mean square of w."),
            (bowl_backwards, "The second step takes w to 0"),
            (bowl_simulated, "Only noise"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)


@pytest.mark.parametrize(("peak", "best"), [(0.1, 0), (0.2, 52), (0.3, 101)])
def test_the_bowl_of_the_task_has_another_best_decay_for_each_peak(peak: float, best: int) -> None:
    losses = [
        bowl_recursive([peak] * (120 - k) + [peak * (1 - (i + 1) / k) for i in range(k)], 0.1, 1.0, 3.0)
        for k in range(121)
    ]
    assert losses.index(min(losses)) == best
