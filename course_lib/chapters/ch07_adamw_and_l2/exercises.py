"""The exercises of chapter 7, AdamW and L2. Results come from torch's optimizers, never from the course's."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from course_lib.answers.checking import Case, Exercise, Mistake


def _torch_run(
    make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer],
    weight: float,
    gradients: Sequence[float],
) -> float:
    """The value of one weight after a torch optimizer has made its steps."""
    with torch.device("cpu"):
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
    # By hand: logarithms of 1/2 to the base of what a step leaves.
    yield Case((0.5, 1.0), 1.0, "With lr * weight_decay = 1/2 one step is enough.")
    yield Case(
        (0.25, 1.0),
        math.log(0.5, 0.75),
        "After 2 steps 56 % are left, after 3 steps 42 %: 2.41 steps leave half.",
    )
    why = "Each step multiplies the weight by 1 - lr * weight_decay. After how many is the product 1/2?"
    yield Case((1e-3, 0.1), math.log(0.5, 0.9999), why)
    yield Case((0.01, 0.5), math.log(0.5, 0.995), why)


# --- AdamW ------------------------------------------------------------------------------------------------------------

_SETTINGS = (
    (1.0, (0.5,), 0.1, 0.9, 0.999, 1e-8, 0.0),
    (1.0, (0.0, 0.0), 0.1, 0.9, 0.999, 1e-8, 0.5),
    (-2.0, (0.3, -1.0, 0.7), 0.1, 0.9, 0.95, 1e-8, 0.2),
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


_CORRECTIONS: dict[str, Callable[[float, float, int], tuple[float, float]]] = {
    "both": lambda beta1, beta2, t: (1 - beta1**t, 1 - beta2**t),
    "none": lambda _beta1, _beta2, _t: (1, 1),
    "only m": lambda beta1, _beta2, t: (1 - beta1**t, 1),
    "only v": lambda _beta1, beta2, t: (1, 1 - beta2**t),
    "as in step 1": lambda beta1, beta2, _t: (1 - beta1, 1 - beta2),
    "from 0": lambda beta1, beta2, t: (1 - beta1 ** (t - 1), 1 - beta2 ** (t - 1)),
}

_UPDATES: dict[str, Callable[[float, float, float], float]] = {
    "eps beside the root": lambda m, v, eps: m / (math.sqrt(v) + eps),
    "eps in the root": lambda m, v, eps: m / math.sqrt(v + eps),
    "eps beside the quotient": lambda m, v, eps: m / math.sqrt(v) + eps,
    "no eps": lambda m, v, _eps: m / math.sqrt(v),
    "no root": lambda m, v, eps: m / (v + eps),
}


def _adam_like(
    *,
    decayed: str = "before",
    timed: bool = True,
    corrected: str = "both",
    kept: bool = False,
    update: str = "eps beside the root",
    eps_corrected: bool = True,
    uphill: bool = False,
) -> Callable[..., float]:
    """AdamW on one weight, with a mistake or in another form.

    ``decayed``: "before" the update, "after" it, "in the gradient" or "never"; ``timed``: by lr * decay, not decay.
    ``kept``: the corrected moments are put in the place of m and v. ``eps_corrected``: whether eps stands beside the
    root of the corrected v.
    """

    def run(
        w: float, gradients: Sequence[float], lr: float, beta1: float, beta2: float, eps: float, decay: float
    ) -> float:
        m = v = 0.0
        share = (lr if timed else 1) * decay
        for t, g in enumerate(gradients, start=1):
            if decayed == "in the gradient":
                g += decay * w
            elif decayed == "before":
                w -= share * w
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            first, second = _CORRECTIONS[corrected](beta1, beta2, t)
            if kept:
                m, v, first, second = m / first, v / second, 1, 1
            beside = eps if eps_corrected else eps / math.sqrt(second)
            w -= (-lr if uphill else lr) * _UPDATES[update](m / first, v / second, beside)
            if decayed == "after":
                w -= share * w
        return w

    return run


_ADAMW_MISTAKES = (
    Mistake(
        _adam_like(decayed="after", eps_corrected=False),
        "This is AdamW as CS336's handout of 2025 writes it: no mistake, but another form. torch's, asked for here, "
        "takes the decay of the weight before the update, and adds eps to the root of the corrected v.",
    ),
    Mistake(
        _adam_like(decayed="after"),
        "The decay comes after the update and shrinks that as well. CS336's handout of 2025 has this order, which is "
        "not a mistake; the paper and torch, asked for here, take the decay of the weight before the update.",
    ),
    Mistake(
        _adam_like(eps_corrected=False),
        "eps is added to the root of v before the correction, the efficient form at the end of section 2 of the Adam "
        "paper (and in CS336's handout of 2025). No mistake, but Adam's algorithm 1 and torch, asked for here, add it "
        "to the root of the corrected v: sqrt(v_hat) + eps.",
    ),
    Mistake(
        _adam_like(decayed="in the gradient"),
        "This is Adam with L2: the decay has entered the gradient, and is divided by the root of v.",
    ),
    Mistake(_adam_like(decayed="never"), "This is Adam: the decay is missing."),
    Mistake(
        _adam_like(timed=False),
        "The decay of a step is lr * weight_decay * w: multiply by lr. (The paper's own lambda contains lr; torch's "
        "weight_decay does not.)",
    ),
    Mistake(
        _adam_like(corrected="none"),
        "m and v start at 0 and are too small at first: divide by 1 - beta ** t.",
    ),
    Mistake(_adam_like(corrected="only m"), "m is corrected and v is not: it starts at 0 as well."),
    Mistake(_adam_like(corrected="only v"), "v is corrected and m is not: it starts at 0 as well."),
    Mistake(
        _adam_like(corrected="as in step 1"),
        "This divides by 1 - beta in every step. Step t divides by 1 - beta ** t, which goes to 1.",
    ),
    Mistake(
        _adam_like(corrected="from 0"),
        "Steps are counted from 1: with t = 0 the correction 1 - beta ** t is 0.",
    ),
    Mistake(
        _adam_like(kept=True),
        "The corrected moments have replaced m and v. The running means stay uncorrected: m_hat and v_hat "
        "are for this step only.",
    ),
    Mistake(_adam_like(update="eps in the root"), "eps stands outside the root: sqrt(v_hat) + eps."),
    Mistake(
        _adam_like(update="eps beside the quotient"),
        "eps is added to the quotient. It belongs below the line, in parentheses: m_hat / (sqrt(v_hat) + eps).",
    ),
    Mistake(_adam_like(update="no eps"), "eps is missing: where all gradients were 0, this divides 0 by 0."),
    Mistake(_adam_like(update="no root"), "v is a mean of squares: divide by its root."),
    Mistake(_adam_like(uphill=True), "The step goes up: subtract it."),
    Mistake(
        lambda w, gradients, lr, beta1, beta2, *others: _adam_like()(w, gradients, lr, beta2, beta1, *others),
        "The betas are swapped: beta1 belongs to m, the mean of gradients, and beta2 to v, the mean of squares.",
    ),
)

# --- the decay of a whole run -----------------------------------------------------------------------------------------


def _shrinkage_cases() -> Iterator[Case]:
    for rates, decay, why in (
        ([0.1], 0.5, "One step: 1 - lr * weight_decay."),
        ([0.1, 0.2, 0.05], 1.0, "The factors of the steps are multiplied."),
        ([0.3, 0.3, 0.1, 0.0], 1.5, "A rate of 0 leaves the weight as it is."),
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
        hint="Set the gradient of the loss to zero. What is left of a weight of 1 after one step of either form?",
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
            Mistake(
                lambda decay, lr: lr / decay,
                "This is upside down: a larger decay needs a larger L2 factor.",
            ),
            Mistake(
                lambda decay, lr: decay / (2 * lr),
                "This is right for a penalty of l2 * w ** 2, whose gradient is 2 * l2 * w. The chapter's and torch's "
                "L2 adds l2 * w to the gradient, from a penalty of l2 * w ** 2 / 2.",
            ),
            Mistake(
                lambda decay, lr: (1 - decay) / lr,
                "1 - decay is what is left of the weight; L2 must take what is lost, decay.",
            ),
            Mistake(
                lambda decay, lr: -decay / lr, "The sign is turned: this L2 factor lets the weight grow."
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
                "This is the time to 1/e, about 37 %, and only for a small decay. Half is left after ln 2 = 0.69 of "
                "that.",
            ),
            Mistake(
                lambda lr, decay: math.log(2) / (lr * decay),
                "Close, for a small decay: this takes ln(1 - x) to be -x. The first input shows that it is not.",
            ),
            Mistake(
                lambda lr, decay: math.ceil(math.log(0.5) / math.log1p(-lr * decay)),
                "This counts whole steps, until at most half is left. The exact number is asked for: solve the "
                "equation, and do not round.",
            ),
            Mistake(
                lambda lr, decay: math.floor(math.log(0.5) / math.log1p(-lr * decay)),
                "This is rounded down to whole steps. The exact number is asked for.",
            ),
            Mistake(
                lambda lr, decay: math.log(0.5) / math.log(1 - decay),
                "AdamW multiplies the decay by the learning rate: a step leaves 1 - lr * weight_decay.",
            ),
            Mistake(
                lambda lr, decay: 0.5 / (lr * decay),
                "This takes the same amount in every step. Decay takes the same share of what is left.",
            ),
            Mistake(
                lambda lr, decay: math.log(2) / math.log(1 - lr * decay),
                "The sign is turned: both logarithms, of 1/2 and of what a step leaves, are negative.",
            ),
        ),
    ),
    Exercise(
        id="decay-adamw",
        chapter=7,
        cases=_adamw_cases,
        hint="Each step, in this order: decay w; update m and v with the gradient alone; correct both by "
        "1 - beta ** t, t counted from 1; move w by lr * m_hat / (sqrt(v_hat) + eps).",
        mistakes=_ADAMW_MISTAKES,
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
            Mistake(
                lambda rates, decay: (1 - decay * sum(rates) / len(rates)) ** len(rates) if rates else 1.0,
                "This gives every step the mean rate. The product of different factors is smaller than that.",
            ),
            Mistake(
                lambda rates, decay: 1 - math.prod(1 - rate * decay for rate in rates),
                "This is the share that is lost. What is left of the weight is asked for.",
            ),
            Mistake(
                lambda rates, decay: math.prod(rate * decay for rate in rates),
                "These are the shares that each step takes. Multiply what each step leaves: 1 - lr * weight_decay.",
            ),
            Mistake(
                lambda rates, _decay: math.prod(1 - rate for rate in rates),
                "The decay is missing: a step takes lr * weight_decay of the weight.",
            ),
            Mistake(
                lambda rates, decay: (1 - decay) ** len(rates),
                "The rates are missing: AdamW multiplies the decay of a step by its rate.",
            ),
        ),
    ),
)
