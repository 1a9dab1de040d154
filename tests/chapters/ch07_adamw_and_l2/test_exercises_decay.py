"""Right and wrong answers to chapter 7's exercises on L2 and weight decay."""

import itertools
import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
import pytest
import torch

from tests.exercises.answers import Answers, run_tables

# In a notebook NumPy warns of a division by zero and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

Rates = Sequence[float]

# --- L2 that equals a decay -------------------------------------------------------------------------------------------


def l2_in_float32(decay: float, lr: float) -> torch.Tensor:
    return torch.tensor(decay) / torch.tensor(lr)


def l2_by_numpy(decay: float, lr: float) -> np.ndarray:
    return np.linalg.solve([[lr]], [decay])[0]


def l2_by_bisection(decay: float, lr: float) -> float:
    low, high = 0.0, 10.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - lr * middle > 1 - decay else (low, middle)
    return low


def l2_is_decay(decay: float, lr: float) -> float:
    return decay


def l2_multiplied(decay: float, lr: float) -> float:
    return decay * lr


def l2_upside_down(decay: float, lr: float) -> float:
    return lr / decay


def l2_of_a_square(decay: float, lr: float) -> float:
    return 0.5 * decay / lr


def l2_of_what_is_left(decay: float, lr: float) -> float:
    return (1 - decay) / lr


def l2_negative(decay: float, lr: float) -> float:
    return ((1 - decay) - 1) / lr


def l2_divided_twice(decay: float, lr: float) -> float:
    return decay / lr / lr


# --- half-life --------------------------------------------------------------------------------------------------------


def half_by_log2(lr: float, weight_decay: float) -> float:
    return -1 / math.log2(1 - lr * weight_decay)


def half_by_log1p(lr: float, weight_decay: float) -> np.float64:
    return np.log(0.5) / np.log1p(-lr * weight_decay)


def half_by_bisection(lr: float, weight_decay: float) -> float:
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - lr * weight_decay) ** middle > 0.5 else (low, middle)
    return high


def half_in_torch(lr: float, weight_decay: float) -> torch.Tensor:
    return torch.tensor(0.5).log() / torch.tensor(-lr * weight_decay).log1p()


def half_by_counting(lr: float, weight_decay: float) -> int:
    w, steps = 1.0, 0
    while w > 0.5:
        w -= lr * weight_decay * w
        steps += 1
    return steps


def half_rounded_up(lr: float, weight_decay: float) -> int:
    return math.ceil(half_by_log2(lr, weight_decay))


def half_rounded_down(lr: float, weight_decay: float) -> int:
    return int(half_by_log1p(lr, weight_decay))


def half_to_one_over_e(lr: float, weight_decay: float) -> float:
    return 1 / (lr * weight_decay)


def half_for_small_decays(lr: float, weight_decay: float) -> float:
    return np.log(2) / lr / weight_decay


def half_without_rate(lr: float, weight_decay: float) -> float:
    return math.log(0.5) / math.log(1 - weight_decay)


def half_linear(lr: float, weight_decay: float) -> float:
    return 1 / (2 * lr * weight_decay)


def half_negative(lr: float, weight_decay: float) -> float:
    return math.log(2) / math.log(1 - lr * weight_decay)


def half_without_logarithm(lr: float, weight_decay: float) -> float:
    return 0.5 / (1 - lr * weight_decay)


# --- the decay of a whole run -----------------------------------------------------------------------------------------


def left_in_a_loop(rates: Rates, weight_decay: float) -> float:
    w = 1.0
    for rate in rates:
        w -= rate * weight_decay * w
    return w


def left_by_numpy(rates: Rates, weight_decay: float) -> np.float64:
    return np.prod(1 - np.array(rates) * weight_decay)


def left_by_torch(rates: Rates, weight_decay: float) -> torch.Tensor:
    return torch.log1p(-torch.tensor(rates) * weight_decay).sum().exp()


def left_reduced(rates: Rates, weight_decay: float) -> float:
    return reduce(lambda w, rate: w * (1 - rate * weight_decay), rates, 1)


def left_recursive(rates: Rates, weight_decay: float) -> float:
    return left_recursive(rates[1:], weight_decay) * (1 - rates[0] * weight_decay) if rates else 1


def left_of_small_steps(rates: Rates, weight_decay: float) -> float:
    return np.exp(-weight_decay * np.sum(rates))


def left_added(rates: Rates, weight_decay: float) -> float:
    return 1 - weight_decay * sum(rates)


def left_at_the_mean_rate(rates: Rates, weight_decay: float) -> float:
    return (1 - np.mean(rates) * weight_decay) ** len(rates) if len(rates) else 1


def left_lost(rates: Rates, weight_decay: float) -> float:
    return 1 - left_in_a_loop(rates, weight_decay)


def left_of_shares(rates: Rates, weight_decay: float) -> float:
    return math.prod(rate * weight_decay for rate in rates)


def left_without_decay(rates: Rates, weight_decay: float) -> float:
    return left_in_a_loop(rates, 1.0)


def left_without_rates(rates: Rates, weight_decay: float) -> float:
    return (1 - weight_decay) ** len(rates)


def left_step_by_step(rates: Rates, weight_decay: float) -> list[float]:
    return list(itertools.accumulate((1 - rate * weight_decay for rate in rates), lambda a, b: a * b))


def left_after_the_last(rates: Rates, weight_decay: float) -> float:
    return 1 - rates[-1] * weight_decay


ANSWERS = {
    "decay-equal-l2": Answers(
        right=(l2_in_float32, l2_by_numpy, l2_by_bisection),
        wrong=(
            (l2_is_decay, "This is the decay itself"),
            (l2_multiplied, "This is upside down: L2 is multiplied by lr afterwards"),
            (l2_upside_down, "This is upside down: a larger decay"),
            (l2_of_a_square, "This is right for a penalty of l2 * w ** 2"),
            (l2_of_what_is_left, "1 - decay is what is left"),
            (l2_negative, "The sign is turned"),
            (l2_divided_twice, "Write both steps for a gradient of zero"),
        ),
    ),
    "decay-half-life": Answers(
        right=(half_by_log2, half_by_log1p, half_by_bisection),
        wrong=(
            (half_by_counting, "This counts whole steps"),
            (half_rounded_up, "This counts whole steps"),
            (half_rounded_down, "This is rounded down to whole steps."),
            (half_to_one_over_e, "This is the time to 1/e"),
            (half_for_small_decays, "Close, for a small decay"),
            (half_without_rate, "AdamW multiplies the decay by the learning rate"),
            (half_linear, "This takes the same amount in every step."),
            (half_negative, "The sign is turned"),
            (half_without_logarithm, "After 2 steps 56 % are left"),
        ),
    ),
    "decay-shrinkage": Answers(
        right=(left_in_a_loop, left_by_numpy, left_by_torch, left_reduced, left_recursive),
        wrong=(
            (left_of_small_steps, "Close: exp(-x) is the limit"),
            (left_added, "Factors are multiplied"),
            (left_at_the_mean_rate, "This gives every step the mean rate."),
            (left_lost, "This is the share that is lost."),
            (left_of_shares, "These are the shares that each step takes."),
            (left_without_decay, "The decay is missing"),
            (left_without_rates, "The rates are missing"),
            (left_step_by_step, "One step: 1 - lr * weight_decay."),
            (left_after_the_last, "The factors of the steps are multiplied."),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
