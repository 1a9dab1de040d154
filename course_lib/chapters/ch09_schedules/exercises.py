"""The exercises of chapter 9, learning-rate schedules.

Results come from numbers worked out by hand, from the library's schedules, and from unrolled sums.
"""

import math
from collections.abc import Callable, Iterator, Sequence

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.optim import cosine

# --- the half-life of a weight ----------------------------------------------------------------------------------------


def _half_life_cases() -> Iterator[Case]:
    yield Case((0.5, 1.0), 1.0, "Every step takes a half: one step.")
    # By hand: the logarithm of 1/2 to the base of what a step leaves.
    yield Case(
        (1.0, 0.07), math.log(0.5, 0.93), "After 9 steps 52 % are left, after 10 steps 48 %: 9.55 leave half."
    )
    yield Case((0.01, 7.0), math.log(0.5, 0.93), "Only the product lr · λ matters.")
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
        Mistake(
            lambda lr, decay: math.ceil(math.log(0.5) / math.log1p(-lr * decay)),
            "This counts whole steps, until at most half is left. The exact number is asked for, which need not "
            "be whole.",
        ),
        Mistake(
            lambda lr, decay: math.floor(math.log(0.5) / math.log1p(-lr * decay)),
            "This is rounded down to whole steps. The exact number is asked for.",
        ),
        Mistake(
            lambda lr, decay: math.log(2) / math.log1p(-lr * decay),
            "The sign is turned: both logarithms, of 1/2 and of what a step leaves, are negative.",
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
    rates = [(step, 3.0, 0.3, warmup, total, why) for (step, warmup, total), why in whys.items()]
    rates.append((250, 6e-4, 6e-5, 37, 1001, "Nothing here is round: progress is 213 of 964 steps."))
    for step, high, low, warmup, total, why in rates:
        expected = cosine(step, max_lr=high, min_lr=low, warmup_steps=warmup, total_steps=total)
        yield Case((step, high, low, warmup, total), float(expected), why)


def _phases(
    *,
    warm_up: Callable[[float, float, int, int], float] = lambda high, _low, step, warmup: (
        high * step / warmup
    ),
    progress: Callable[[int, int, int], float] = lambda step, warmup, total: (
        (step - warmup) / (total - warmup)
    ),
    held: bool = True,
    shape: Callable[[float], float] = lambda x: (1 + math.cos(math.pi * x)) / 2,
    squeeze: Callable[[float, float, float], float] = lambda high, low, y: low + (high - low) * y,
) -> Callable[..., float]:
    """The right schedule except for what is given.

    ``held``: progress stays at 1 after the end. ``shape``: from 1 to 0 as progress goes from 0 to 1.
    """

    def rate(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
        if step < warmup:
            return warm_up(max_lr, min_lr, step, warmup)
        done = progress(step, warmup, total)
        return squeeze(max_lr, min_lr, shape(min(1.0, done) if held else done))

    return rate


COSINE = Exercise(
    id="sched-cosine",
    chapter=9,
    cases=_cosine_cases,
    hint="Three cases: the warm-up; after the end; and between them min + (max - min) · (1 + cos(π · progress)) / 2, "
    "with progress = (step - warmup) / (total - warmup).",
    mistakes=(
        Mistake(
            _phases(progress=lambda step, _warmup, total: step / total),
            "Progress is counted from the end of the warm-up, not from step 0.",
        ),
        Mistake(
            _phases(progress=lambda step, warmup, total: (step - warmup) / total),
            "The cosine ends warmup steps too late: it has total - warmup steps.",
        ),
        Mistake(
            _phases(held=False), "A cosine rises again after half a turn: after the end, stay at the minimum."
        ),
        Mistake(
            _phases(squeeze=lambda high, _low, y: high * y),
            "This goes down to 0. The cosine runs between the peak and the minimum.",
        ),
        Mistake(
            _phases(squeeze=lambda high, low, y: max(low, high * y)),
            "This cuts a cosine to 0 off at the minimum. Squeeze it between peak and minimum.",
        ),
        Mistake(
            _phases(squeeze=lambda high, low, y: low + high * y),
            "This begins above the peak: the cosine's height is the peak minus the minimum.",
        ),
        Mistake(
            _phases(shape=lambda x: (1 + math.cos(2 * math.pi * x)) / 2),
            "Half a turn, π, leads from 1 to -1. A whole turn leads back up.",
        ),
        Mistake(
            _phases(shape=lambda x: math.cos(math.pi * x / 2)),
            "This is a quarter of a turn, which ends in a steep fall. Half a turn is flat at both ends.",
        ),
        Mistake(
            _phases(shape=lambda x: (1 + math.cos(180 * x)) / 2),
            "math.cos takes radians: half a turn is π, not 180.",
        ),
        Mistake(
            _phases(shape=lambda x: 1 - x), "This falls along a straight line. A cosine is flat at both ends."
        ),
        Mistake(
            _phases(shape=lambda x: (1 - math.cos(math.pi * x)) / 2),
            "This rises from the minimum to the peak: the cosine's sign is turned.",
        ),
        Mistake(
            _phases(warm_up=lambda high, _low, step, warmup: high * (step + 1) / warmup),
            "This warm-up is a step ahead: step 0 has the rate 0, and step warmup has the peak.",
        ),
        Mistake(
            _phases(warm_up=lambda high, low, step, warmup: low + (high - low) * step / warmup),
            "This warm-up starts at the minimum. It starts at 0.",
        ),
        Mistake(
            _phases(warm_up=lambda high, _low, _step, _warmup: high),
            "The warm-up is missing: before step warmup the rate rises from 0.",
        ),
    ),
)

# --- one trunk, many budgets ------------------------------------------------------------------------------------------


def _trunk_cases() -> Iterator[Case]:
    yield Case(
        ([100, 200, 400], 0.2), (460, 700), "Decays of 20, 40 and 80 steps, and a trunk of 400 - 80 = 320."
    )
    yield Case(([1000], 0.1), (1000, 1000), "With one budget there is nothing to share.")
    yield Case(([60, 100, 140, 200], 0.5), (350, 500), "Decays of 30, 50, 70 and 100, and a trunk of 100.")
    yield Case(
        ([52, 40], 0.1), (56, 92), "The trunk reaches to the start of the latest decay, 47; decays 5 and 4."
    )
    yield Case(
        ([102, 109, 1014, 122, 104], 0.15),
        (1079, 1451),
        "Decays of 15.3, 16.35, 152.1, 18.3 and 15.6 steps: 15, 16, 152, 18 and 16, each rounded by itself. The trunk "
        "has 1014 - 152.",
    )


def _steps(
    *,
    whole: Callable[[float], float] = round,
    trunk: Callable[[Sequence[float]], float] = max,
    paid: Callable[[Sequence[float]], float] = sum,
) -> Callable[[Sequence[int], float], tuple[float, int]]:
    """The right count except for what is given: the rounding of decays, the trunk of their starts, and their sum."""

    def count(budgets: Sequence[int], share: float) -> tuple[float, int]:
        decays = [whole(share * budget) for budget in budgets]
        starts = [budget - decay for budget, decay in zip(budgets, decays, strict=True)]
        return trunk(starts) + paid(decays), sum(budgets)

    return count


def _wsd(budgets: Sequence[int], share: float) -> int:
    return round(_steps()(budgets, share)[0])


TRUNK = Exercise(
    id="sched-trunk",
    chapter=9,
    cases=_trunk_cases,
    hint="Cosine: every budget is a run from step 0. WSD: one trunk that reaches to where the latest decay begins, and "
    "a decay of share · budget steps, rounded, for each budget.",
    mistakes=(
        Mistake(
            lambda budgets, share: (max(budgets) + sum(round(share * end) for end in budgets), sum(budgets)),
            "The trunk need not reach the largest budget: it ends where the latest decay begins.",
        ),
        Mistake(
            _steps(paid=lambda _: 0),
            "This is the trunk alone. Each budget has its own decay, whose steps also count.",
        ),
        Mistake(
            _steps(paid=max),
            "Only one decay is paid for here. Each budget needs its own decay: a model that has "
            "decayed cannot continue.",
        ),
        Mistake(
            lambda budgets, share: (sum(budgets), sum(budgets)),
            "This trains each budget from the start. WSD's constant phase can be shared.",
        ),
        Mistake(
            lambda budgets, share: (_wsd(budgets, share), max(budgets)),
            "A cosine for 400 steps is still high at step 100 and cannot be cut short: one run per budget.",
        ),
        Mistake(
            lambda budgets, share: (sum(budgets), _wsd(budgets, share)),
            "Both counts are right, in the wrong order: WSD comes first.",
        ),
        Mistake(
            _steps(whole=lambda steps: steps), "Steps are whole numbers: round the length of each decay."
        ),
        Mistake(
            _steps(whole=math.floor), "These decays are rounded down. Round to the nearest whole number."
        ),
        Mistake(_steps(whole=math.ceil), "These decays are rounded up. Round to the nearest whole number."),
    ),
)

# --- the noise floor --------------------------------------------------------------------------------------------------


def _unrolled(rates: Sequence[float], curvature: float, noise: float, start: float) -> float:
    """The loss by superposition: the final w is the sum of the start and every step's noise, each shrunk since then."""
    shrink = [1 - rate * curvature for rate in rates]
    square = (start * math.prod(shrink)) ** 2
    for step, rate in enumerate(rates):
        square += (rate * noise * math.prod(shrink[step + 1 :])) ** 2
    return curvature * square / 2


def _bowl_cases() -> Iterator[Case]:
    yield Case(([0.5], 1.0, 0.0, 2.0), 0.5, "No noise: w goes from 2 to 1, and the loss is 1/2.")
    yield Case(([0.5], 1.0, 4.0, 0.0), 2.0, "Only noise: w is lr · noise = 2 in the root mean square.")
    yield Case(([], 2.0, 1.0, 3.0), 9.0, "No step: 2 · 3² / 2.")
    yield Case(
        ([0.25, 0.5], 2.0, 3.0, 4.0),
        2.25,
        "The second step takes w to 0 and adds noise of 0.5 · 3: 2 · 1.5² / 2.",
    )
    schedules = {"constant": [0.3] * 12, "a decay": [0.3] * 8 + [0.2, 0.1, 0.05, 0.01]}
    for name, rates in schedules.items():
        for curvature in (1.0, 0.1):
            yield Case(
                (rates, curvature, 0.7, 2.0),
                _unrolled(rates, curvature, 0.7, 2.0),
                f"Every step shrinks the mean square and adds new noise ({name}).",
            )


def _step_by_step(
    *,
    left: Callable[[float, float], float] = lambda rate, curvature: (1 - rate * curvature) ** 2,
    added: Callable[[float, float], float] = lambda rate, noise: rate**2 * noise**2,
    loss: Callable[[float, float], float] = lambda curvature, square: curvature * square / 2,
) -> Callable[..., float]:
    """The right way except for the arguments: the share of the mean square a step keeps, its addition, and the loss."""

    def run(rates: Sequence[float], curvature: float, noise: float, start: float) -> float:
        square = start**2
        for rate in rates:
            square = left(rate, curvature) * square + added(rate, noise)
        return loss(curvature, square)

    return run


BOWL = Exercise(
    id="sched-bowl",
    chapter=9,
    cases=_bowl_cases,
    hint="Keep s = E[w²]. A step makes w ← (1 - lr·h)·w - lr·(noise), and the noise has mean 0 and does not "
    "depend on w: s ← (1 - lr·h)²·s + lr²·noise². The loss is h·s / 2.",
    mistakes=(
        Mistake(
            _step_by_step(added=lambda _rate, _noise: 0.0),
            "This follows the mean of w. The noise has mean zero but adds to the mean of the square.",
        ),
        Mistake(
            _step_by_step(left=lambda rate, curvature: 1 - rate * curvature),
            "w is multiplied by 1 - lr · h, so its square is multiplied by the square of that.",
        ),
        Mistake(
            _step_by_step(left=lambda rate, _curvature: (1 - rate) ** 2),
            "The gradient is h · w: a step multiplies w by 1 - lr · h.",
        ),
        Mistake(
            _step_by_step(added=lambda rate, noise: rate * noise**2),
            "The noise in w is lr times that of the gradient: its square has lr².",
        ),
        Mistake(
            _step_by_step(added=lambda _rate, noise: noise**2),
            "The noise is part of the gradient, so the step multiplies it by lr.",
        ),
        Mistake(
            _step_by_step(added=lambda rate, noise: rate**2 * noise),
            "noise is a standard deviation; what it adds to the mean square is its square.",
        ),
        Mistake(
            _step_by_step(loss=lambda curvature, square: curvature * square),
            "The loss is h · w² / 2: half of this.",
        ),
        Mistake(
            _step_by_step(loss=lambda _curvature, square: square / 2),
            "This is half the mean square of w. The loss is h times that.",
        ),
    ),
)

EXERCISES = (HALF_LIFE, COSINE, TRUNK, BOWL)
