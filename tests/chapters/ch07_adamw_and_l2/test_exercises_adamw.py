"""Right and wrong answers to chapter 7's exercise on AdamW's step."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.exercises.answers import Answers, run_tables

# In a notebook NumPy warns of a division by zero and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

Rates = Sequence[float]

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


ANSWERS = {
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
            (moments_overwritten, "The corrected moments have replaced m and v."),
            (eps_in_the_root, "eps stands outside the root"),
            (eps_without_parentheses, "eps is added to the quotient."),
            (eps_forgotten, "eps is missing"),
            (root_forgotten, "v is a mean of squares"),
            (uphill, "The step goes up"),
            (betas_swapped, "The betas are swapped"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
