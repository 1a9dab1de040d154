"""What a reader of chapter 7 might write."""

import itertools
import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

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


# --- AdamW ------------------------------------------------------------------------------------------------------------


def adamw_by_torch(
    w: float, gradients: Rates, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> torch.Tensor:
    p = torch.nn.Parameter(torch.tensor(w))
    optimizer = torch.optim.AdamW([p], lr, (beta1, beta2), eps, weight_decay)
    for g in gradients:
        p.grad = torch.tensor(g)
        optimizer.step()
    return p


def adamw_by_numpy(
    w: float, gradients: Rates, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> np.ndarray:
    w, m, v = np.array(w), np.zeros(()), np.zeros(())
    for i, g in enumerate(gradients):
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        m_hat, v_hat = m / (1 - beta1 ** (i + 1)), v / (1 - beta2 ** (i + 1))
        w = w - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * w)
    return w


def adamw_recursive(
    w: float, gradients: Rates, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> float:
    if not gradients:
        return w
    w = adamw_recursive(w, gradients[:-1], lr, beta1, beta2, eps, weight_decay)
    t = len(gradients)
    m = sum((1 - beta1) * beta1 ** (t - 1 - i) * x for i, x in enumerate(gradients))
    v = sum((1 - beta2) * beta2 ** (t - 1 - i) * x * x for i, x in enumerate(gradients))
    step = m / (1 - beta1**t) / (eps + (v / (1 - beta2**t)) ** 0.5)
    return (1 - lr * weight_decay) * w - lr * step


def adamw_in_the_papers_other_order(
    w: float, gradients: Rates, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> float:
    """Corrections in the rate, and eps made smaller to match."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        second = math.sqrt(1 - beta2**t)
        rate = lr * second / (1 - beta1**t)
        w = w * (1 - lr * weight_decay) - rate * m / (math.sqrt(v) + eps * second)
    return w


def cs336_2025(
    w: float, gradients: Rates, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> float:
    m, v = 0.0, 0.0
    for t in range(1, len(gradients) + 1):
        g = gradients[t - 1]
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        lr_t = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        w = w - lr_t * m / (math.sqrt(v) + eps)
        w = w - lr * weight_decay * w
    return w


def decayed_after(
    w: float, gradients: Rates, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> torch.Tensor:
    w, m, v = torch.tensor(w, dtype=torch.float64), 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        w -= lr * m / (1 - beta1**t) / ((v / (1 - beta2**t)) ** 0.5 + eps)
        w *= 1 - lr * weight_decay
    return w


def uncorrected_eps(
    w: float, gradients: Rates, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> float:
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        w *= 1 - lr * weight_decay
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        w -= lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t) * m / (v**0.5 + eps)
    return w


def _steps(w: float, gradients: Rates, beta1: float, beta2: float, step: Any, start: int = 1) -> Any:
    """The loop that the following share: ``step(w, m, v, t)`` gives the new w."""
    m = v = 0.0
    for t, g in enumerate(gradients, start):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        w = step(w, m, v, t)
    return w


def no_decay(w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float) -> float:
    return adamw_recursive(w, gradients, lr, b1, b2, eps, 0.0)


def l2_in_the_gradient(
    w: float, gradients: Rates, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> torch.Tensor:
    p = torch.nn.Parameter(torch.tensor(w, dtype=torch.float64))
    optimizer = torch.optim.Adam([p], lr, (beta1, beta2), eps, weight_decay)
    for g in gradients:
        p.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
    return p


def decay_without_rate(
    w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float
) -> float:
    return adamw_recursive(w, gradients, lr, b1, b2, eps, wd / lr)


def not_corrected(w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float) -> Any:
    return _steps(w, gradients, b1, b2, lambda w, m, v, t: w - lr * wd * w - lr * m / (v**0.5 + eps))


def only_m_corrected(
    w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float
) -> Any:
    return _steps(
        w,
        gradients,
        b1,
        b2,
        lambda w, m, v, t: w - lr * wd * w - lr * m / (1 - b1**t) / (v**0.5 + eps),
    )


def only_v_corrected(
    w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float
) -> Any:
    return _steps(
        w,
        gradients,
        b1,
        b2,
        lambda w, m, v, t: w - lr * wd * w - lr * m / ((v / (1 - b2**t)) ** 0.5 + eps),
    )


def corrected_by_one_beta(
    w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float
) -> Any:
    return _steps(
        w,
        gradients,
        b1,
        b2,
        lambda w, m, v, t: w - lr * wd * w - lr * m / (1 - b1) / ((v / (1 - b2)) ** 0.5 + eps),
    )


def counted_from_zero(
    w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float
) -> Any:
    return _steps(
        w,
        gradients,
        b1,
        b2,
        lambda w, m, v, t: w - lr * wd * w - lr * m / (1 - b1**t) / ((v / (1 - b2**t)) ** 0.5 + eps),
        start=0,
    )


def moments_overwritten(
    w: float, gradients: Rates, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> float:
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        w -= lr * weight_decay * w
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m /= 1 - beta1**t
        v /= 1 - beta2**t
        w -= lr * m / (math.sqrt(v) + eps)
    return w


def eps_in_the_root(
    w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float
) -> Any:
    return _steps(
        w,
        gradients,
        b1,
        b2,
        lambda w, m, v, t: w - lr * wd * w - lr * m / (1 - b1**t) / (v / (1 - b2**t) + eps) ** 0.5,
    )


def eps_without_parentheses(
    w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float
) -> Any:
    return _steps(
        w,
        gradients,
        b1,
        b2,
        lambda w, m, v, t: w - lr * wd * w - lr * (m / (1 - b1**t) / math.sqrt(v / (1 - b2**t)) + eps),
    )


def eps_forgotten(w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float) -> Any:
    return _steps(
        w,
        gradients,
        b1,
        b2,
        lambda w, m, v, t: w - lr * wd * w - lr * m / (1 - b1**t) / math.sqrt(v / (1 - b2**t)),
    )


def root_forgotten(w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float) -> Any:
    return _steps(
        w,
        gradients,
        b1,
        b2,
        lambda w, m, v, t: w - lr * wd * w - lr * m / (1 - b1**t) / (v / (1 - b2**t) + eps),
    )


def uphill(w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float) -> float:
    return adamw_recursive(w, [-g for g in gradients], lr, b1, b2, eps, wd)


def betas_swapped(
    w: float, gradients: Rates, lr: float, b1: float, b2: float, eps: float, wd: float
) -> float:
    return adamw_recursive(w, gradients, lr, b2, b1, eps, wd)


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
    "decay-adamw": Answers(
        right=(adamw_by_torch, adamw_by_numpy, adamw_recursive, adamw_in_the_papers_other_order),
        wrong=(
            (cs336_2025, "This is AdamW as CS336's handout of 2025 writes it: no mistake, but another form."),
            (decayed_after, "The decay comes after the update"),
            (uncorrected_eps, "eps is added to the root of v before the correction"),
            (l2_in_the_gradient, "This is Adam with L2"),
            (no_decay, "This is Adam: the decay is missing."),
            (decay_without_rate, "The decay of a step is lr * weight_decay * w"),
            (not_corrected, "m and v start at 0"),
            (only_m_corrected, "m is corrected and v is not"),
            (only_v_corrected, "v is corrected and m is not"),
            (corrected_by_one_beta, "This divides by 1 - beta in every step."),
            (counted_from_zero, "Steps are counted from 1"),
            (moments_overwritten, "The corrected moments have taken the place of m and v."),
            (eps_in_the_root, "eps stands outside the root"),
            (eps_without_parentheses, "eps is added to the quotient."),
            (eps_forgotten, "eps is missing"),
            (root_forgotten, "v is a mean of squares"),
            (uphill, "The step goes up"),
            (betas_swapped, "The betas are swapped"),
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
