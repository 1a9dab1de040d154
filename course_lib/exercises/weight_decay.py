"""The exercises of chapter 7. What is expected comes from torch's optimizers, never from the course's."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from course_lib.exercises.checking import Case, Exercise, Mistake


def _torch_run(
    make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer],
    weight: float,
    gradients: Sequence[float],
) -> float:
    """Where a torch optimizer takes one weight."""
    param = torch.nn.Parameter(torch.tensor([weight], dtype=torch.float64))
    optimizer = make([param])
    for gradient in gradients:
        param.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    return param.item()


# --- L2 that equals a decay -------------------------------------------------------------------------------------------


def _l2_cases() -> Iterator[Case]:
    # Which of the candidates makes torch's SGD shrink a weight of 1, with no gradient, to 1 - decay?
    for decay, lr in ((0.01, 0.1), (0.001, 0.5), (0.2, 2.0), (0.3, 1.0)):
        candidates = (decay, decay * lr, decay / lr, decay / lr**2, lr / decay)
        shrunk = {
            l2: _torch_run(partial(torch.optim.SGD, lr=lr, weight_decay=l2), 1.0, [0.0]) for l2 in candidates
        }
        yield Case(
            (decay, lr),
            next(l2 for l2, weight in shrunk.items() if math.isclose(weight, 1 - decay)),
            "Write both steps for a gradient of zero: (1 - decay) * w on one side, w - lr * l2 * w on the other.",
        )


# --- half-life --------------------------------------------------------------------------------------------------------


def _half_life_cases() -> Iterator[Case]:
    why = "Each step multiplies the weight by 1 - lr * weight_decay. After how many is the product 1/2?"
    yield Case((0.5, 1.0), 1.0, "With lr * weight_decay = 1/2 one step is enough.")
    yield Case((0.25, 4 * (1 - 0.5**0.5)), 2.0, "Here the factor is the root of 1/2: two steps.")
    yield Case((1e-3, 0.1), math.log(2, 1 / (1 - 1e-4)), why)
    yield Case((0.01, 0.5), math.log(2, 1 / (1 - 0.005)), why)


# --- AdamW ------------------------------------------------------------------------------------------------------------

_SETTINGS = (
    (1.0, (0.5,), 0.1, 0.9, 0.999, 1e-8, 0.0),
    (1.0, (0.0, 0.0), 0.1, 0.9, 0.999, 1e-8, 0.5),
    (-2.0, (0.3, -1.0, 0.7), 0.01, 0.9, 0.95, 1e-8, 0.2),
    (0.5, (1e-3, -2e-3, 5e-4, 0.0), 0.05, 0.8, 0.9, 1e-2, 1.0),
)
_REASONS = (
    "The first step of Adam is lr times the sign of the gradient: both corrections together give g / |g|.",
    "Without gradients only the decay acts: twice the factor 1 - lr * weight_decay.",
    "m and v run on from step to step, and step t divides them by 1 - beta ** t.",
    "eps is added to the root, after the correction: sqrt(v_hat) + eps.",
)


def _adamw_cases() -> Iterator[Case]:
    for setting, why in zip(_SETTINGS, _REASONS, strict=True):
        weight, gradients, lr, beta1, beta2, eps, decay = setting
        make = partial(torch.optim.AdamW, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
        expected = _torch_run(make, weight, gradients)
        yield Case((weight, list(gradients), lr, beta1, beta2, eps, decay), expected, why)


def _adam_like(
    *, coupled: bool = False, corrected: bool = True, inside: bool = False, timed: bool = True
) -> Callable[..., float]:
    """AdamW on one weight, with a mistake."""

    def run(
        w: float, gradients: Sequence[float], lr: float, beta1: float, beta2: float, eps: float, decay: float
    ) -> float:
        m = v = 0.0
        for t, g in enumerate(gradients, start=1):
            if coupled:
                g += decay * w
            else:
                w -= (lr if timed else 1) * decay * w
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            first, second = (1 - beta1**t, 1 - beta2**t) if corrected else (1, 1)
            root = math.sqrt(v / second + eps) if inside else math.sqrt(v / second) + eps
            w -= lr * (m / first) / root
        return w

    return run


# --- the decay of a whole run -----------------------------------------------------------------------------------------


def _shrinkage_cases() -> Iterator[Case]:
    for rates, decay, why in (
        ([0.1], 0.5, "One step: 1 - lr * weight_decay."),
        ([0.1, 0.2, 0.05], 1.0, "The factors of the steps are multiplied."),
        (
            [0.01 * (1 - step / 50) for step in range(50)],
            2.0,
            "Every step has its own rate, and so its own factor.",
        ),
        ([], 1.0, "No step, no change: the empty product is 1."),
    ):
        weight = 1.0
        for rate in rates:
            weight = _torch_run(partial(torch.optim.AdamW, lr=rate, weight_decay=decay), weight, [0.0])
        yield Case((rates, decay), weight, why)


EXERCISES = (
    Exercise(
        id="decay-equal-l2",
        chapter=7,
        cases=_l2_cases,
        hint="Set the gradient of the loss to zero. What does either form leave of a weight of 1 after one step?",
        mistakes=(
            Mistake(
                lambda decay, _lr: decay,
                "This is the decay itself: right only where lr is 1. L2 enters the gradient, and the gradient is "
                "multiplied by lr.",
            ),
            Mistake(
                lambda decay, lr: decay * lr,
                "This is upside down: L2 is multiplied by lr afterwards, so it must be divided by it now.",
            ),
        ),
    ),
    Exercise(
        id="decay-half-life",
        chapter=7,
        cases=_half_life_cases,
        hint="Solve (1 - lr * weight_decay) ** n == 1 / 2 for n; take logarithms on both sides.",
        mistakes=(
            Mistake(
                lambda lr, decay: 1 / (lr * decay),
                "This is the time to 1/e, about 37 %, and only for a small decay. A half takes a factor of ln 2 of it.",
            ),
            Mistake(
                lambda lr, decay: math.log(2) / (lr * decay),
                "Close, for a small decay: this takes ln(1 - x) to be -x. The first input shows that it is not.",
            ),
        ),
    ),
    Exercise(
        id="decay-adamw",
        chapter=7,
        cases=_adamw_cases,
        hint="Each step, in this order: decay w; update m and v with the gradient alone; correct both by "
        "1 - beta ** t, t counted from 1; move w by lr * m_hat / (sqrt(v_hat) + eps).",
        mistakes=(
            Mistake(
                _adam_like(coupled=True),
                "This is Adam with L2: the decay has entered the gradient, and is divided by the root of v.",
            ),
            Mistake(
                _adam_like(corrected=False),
                "m and v start at 0 and are too small at first: divide by 1 - beta ** t.",
            ),
            Mistake(_adam_like(inside=True), "eps stands outside the root: sqrt(v_hat) + eps."),
            Mistake(_adam_like(timed=False), "The decay of a step is lr * weight_decay * w: multiply by lr."),
        ),
    ),
    Exercise(
        id="decay-shrinkage",
        chapter=7,
        cases=_shrinkage_cases,
        hint="math.prod multiplies what it is given.",
        mistakes=(
            Mistake(
                lambda rates, decay: math.exp(-decay * sum(rates)),
                "Close: exp(-x) is the limit of many small steps. Here the steps are finite, multiply 1 - lr * decay.",
            ),
            Mistake(lambda rates, decay: 1 - decay * sum(rates), "Factors are multiplied, decays not added."),
        ),
    ),
)
