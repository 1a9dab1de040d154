"""The exercises of chapter 9, learning-rate schedules.

Results come from numbers worked out by hand, from the library's schedules, and from unrolled sums.
"""

import math
from collections.abc import Iterator, Sequence

from course_lib.exercises.checking import Case, Exercise, Mistake
from course_lib.optim import cosine

# --- the half-life of a weight ----------------------------------------------------------------------------------------


def _half_life_cases() -> Iterator[Case]:
    # (1 - lr·decay)ⁿ = 1/2 where 1 - lr·decay is itself a root of 1/2.
    yield Case((0.5, 1.0), 1.0, "Every step takes a half: one step.")
    yield Case((1.0, 1 - 0.5**0.1), 10.0, "Ten steps that each leave the tenth root of one half.")
    yield Case((0.01, 100 * (1 - 0.5**0.01)), 100.0, "Only the product lr · λ matters.")
    # LLaMA 7B: by hand, ln 2 / 3e-5 = 23,104.9, less half of ln 2 for the second order of the logarithm.
    yield Case((3e-4, 0.1), math.log(2) / 3e-5 - math.log(2) / 2, "LLaMA 7B at its peak: some 23,100 steps.")


HALF_LIFE = Exercise(
    id="sched-half-life",
    chapter=9,
    cases=_half_life_cases,
    hint="A weight without gradient is multiplied by 1 - lr · λ in every step. After n steps it is the n-th power; set "
    "that to one half and take logarithms.",
    mistakes=(
        Mistake(
            lambda lr, decay: 1 / (lr * decay),
            "After 1 / (lr · λ) steps 37 % are left (1/e), not a half.",
        ),
        Mistake(
            lambda lr, decay: math.log(2) / (lr * decay),
            "This is right for small lr · λ only: ln(1 - x) is not quite -x. The task asks for the exact number.",
        ),
        Mistake(
            lambda lr, decay: math.log(2) / decay,
            "The decay is multiplied by the learning rate in every step of AdamW.",
        ),
        Mistake(
            lambda lr, decay: 0.5 / (lr * decay),
            "This takes the same amount in every step. Decay takes the same share of what is left.",
        ),
    ),
)

# --- cosine -----------------------------------------------------------------------------------------------------------


def _cosine_cases() -> Iterator[Case]:
    whys = {
        (5, 10, 110): "Half of the warm-up: half of the peak.",
        (0, 10, 110): "The warm-up starts at 0.",
        (10, 10, 110): "The warm-up ends at the peak.",
        (60, 10, 110): "Half of the decay: midway between peak and minimum.",
        (35, 10, 110): "A quarter of the decay: (1 + cos 45°) / 2 of the way from the minimum to the peak.",
        (110, 10, 110): "The end: the minimum.",
        (200, 10, 110): "After the end the rate stays at the minimum.",
        (30, 0, 40): "No warm-up: the decay begins at step 0.",
    }
    for (step, warmup, total), why in whys.items():
        expected = cosine(step, max_lr=3.0, min_lr=0.3, warmup_steps=warmup, total_steps=total)
        yield Case((step, 3.0, 0.3, warmup, total), float(expected), why)


def _decay(
    step: int, warmup: int, progress: float, low: float, high: float, *, angle: float = math.pi
) -> float:
    if step < warmup:
        return high * step / warmup
    return low + (high - low) * (1 + math.cos(angle * progress)) / 2


def _from_zero(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    return _decay(step, warmup, min(step, total) / total, min_lr, max_lr)


def _rises_again(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    return _decay(step, warmup, (step - warmup) / (total - warmup), min_lr, max_lr)


def _to_zero(step: int, max_lr: float, _min_lr: float, warmup: int, total: int) -> float:
    return _decay(step, warmup, min(1.0, (step - warmup) / (total - warmup)), 0.0, max_lr)


def _floor(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    rate = _to_zero(step, max_lr, min_lr, warmup, total)
    return rate if step < warmup else max(min_lr, rate)


def _whole_turn(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    progress = min(1.0, (step - warmup) / (total - warmup))
    return _decay(step, warmup, progress, min_lr, max_lr, angle=2 * math.pi)


COSINE = Exercise(
    id="sched-cosine",
    chapter=9,
    cases=_cosine_cases,
    hint="Three cases: the warm-up; after the end; and between them, with progress = "
    "(step - warmup) / (total - warmup), "
    "min + (max - min) · (1 + cos(π · progress)) / 2.",
    mistakes=(
        Mistake(_from_zero, "Progress is counted from the end of the warm-up, not from step 0."),
        Mistake(_rises_again, "A cosine rises again after half a turn: after the end, stay at the minimum."),
        Mistake(_to_zero, "This goes down to 0. The cosine runs between the peak and the minimum."),
        Mistake(
            _floor,
            "This cuts a cosine to 0 off at the minimum. Squeeze it between peak and minimum.",
        ),
        Mistake(_whole_turn, "Half a turn, π, leads from 1 to -1. A whole turn leads back up."),
    ),
)

# --- one trunk, many budgets ------------------------------------------------------------------------------------------


def _trunk_cases() -> Iterator[Case]:
    yield Case(
        ([100, 200, 400], 0.2), (460, 700), "Decays of 20, 40 and 80 steps, and a trunk of 400 - 80 = 320."
    )
    yield Case(([1000], 0.1), (1000, 1000), "With one budget there is nothing to share.")
    yield Case(([100, 100, 100, 200], 0.5), (350, 500), "Three decays of 50, one of 100, and a trunk of 100.")
    yield Case(
        ([50, 40], 0.1), (54, 90), "The trunk reaches to the start of the latest decay, 45; decays 5 and 4."
    )


def _trunk_to_the_end(budgets: Sequence[int], share: float) -> tuple[int, int]:
    return max(budgets) + sum(round(share * end) for end in budgets), sum(budgets)


def _without_decays(budgets: Sequence[int], share: float) -> tuple[int, int]:
    return max(end - round(share * end) for end in budgets), sum(budgets)


def _own_trunks(budgets: Sequence[int], _share: float) -> tuple[int, int]:
    return sum(budgets), sum(budgets)


def _one_cosine(budgets: Sequence[int], share: float) -> tuple[int, int]:
    wsd = max(end - round(share * end) for end in budgets) + sum(round(share * end) for end in budgets)
    return wsd, max(budgets)


TRUNK = Exercise(
    id="sched-trunk",
    chapter=9,
    cases=_trunk_cases,
    hint="Cosine: every budget is a run from step 0. WSD: one trunk that reaches to where the latest decay begins, "
    "and a "
    "decay of share · budget steps for each budget.",
    mistakes=(
        Mistake(
            _trunk_to_the_end,
            "The trunk need not reach the largest budget: it ends where the latest decay begins.",
        ),
        Mistake(
            _without_decays,
            "This is the trunk alone. Each budget has a decay of its own, and steps to pay for it.",
        ),
        Mistake(_own_trunks, "This trains each budget from the start. WSD's constant phase can be shared."),
        Mistake(
            _one_cosine,
            "A cosine for 400 steps is still high at step 100 and cannot be cut short: one run a budget.",
        ),
    ),
)

# --- the noise floor --------------------------------------------------------------------------------------------------


def _unrolled(rates: Sequence[float], curvature: float, noise: float, start: float) -> float:
    """The same by superposition: w at the end is a sum of the start and of every step's noise, each shrunk since."""
    shrink = [1 - rate * curvature for rate in rates]
    square = (start * math.prod(shrink)) ** 2
    for step, rate in enumerate(rates):
        square += (rate * noise * math.prod(shrink[step + 1 :])) ** 2
    return curvature * square / 2


def _bowl_cases() -> Iterator[Case]:
    yield Case(([0.5], 1.0, 0.0, 2.0), 0.5, "No noise: w goes from 2 to 1, and the loss is 1/2.")
    yield Case(([0.5], 1.0, 4.0, 0.0), 2.0, "Only noise: w is lr · noise = 2 in the root mean square.")
    yield Case(([], 2.0, 1.0, 3.0), 9.0, "No step: 2 · 3² / 2.")
    schedules = {"constant": [0.3] * 12, "a decay": [0.3] * 8 + [0.2, 0.1, 0.05, 0.01]}
    for name, rates in schedules.items():
        for curvature in (1.0, 0.1):
            yield Case(
                (rates, curvature, 1.0, 2.0),
                _unrolled(rates, curvature, 1.0, 2.0),
                f"Every step shrinks the mean square and adds new noise ({name}).",
            )


def _mean_only(rates: Sequence[float], curvature: float, _noise: float, start: float) -> float:
    for rate in rates:
        start *= 1 - rate * curvature
    return curvature * start**2 / 2


def _step_by_step(
    rates: Sequence[float], curvature: float, noise: float, start: float, *, shrink: int = 2, add: int = 2
) -> float:
    square = start**2
    for rate in rates:
        square = (1 - rate * curvature) ** shrink * square + rate**add * noise**2
    return curvature * square / 2


BOWL = Exercise(
    id="sched-bowl",
    chapter=9,
    cases=_bowl_cases,
    hint="Keep s = E[w²]. A step makes w ← (1 - lr·h)·w - lr·(noise), and the noise has mean 0 and does not "
    "depend on w: "
    "s ← (1 - lr·h)²·s + lr²·noise². The loss is h·s / 2.",
    mistakes=(
        Mistake(
            _mean_only,
            "This follows the mean of w. The noise has mean zero but adds to the mean of the square.",
        ),
        Mistake(
            lambda rates, curvature, noise, start: _step_by_step(rates, curvature, noise, start, shrink=1),
            "w is multiplied by 1 - lr · h, so its square is multiplied by the square of that.",
        ),
        Mistake(
            lambda rates, curvature, noise, start: _step_by_step(rates, curvature, noise, start, add=1),
            "The noise in w is lr times that of the gradient: its square has lr².",
        ),
        Mistake(
            lambda rates, curvature, noise, start: 2 * _step_by_step(rates, curvature, noise, start),
            "The loss is h · w² / 2: half of this.",
        ),
    ),
)

EXERCISES = (HALF_LIFE, COSINE, TRUNK, BOWL)
