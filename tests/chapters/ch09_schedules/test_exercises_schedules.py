"""Right and wrong answers to chapter 9's exercises on cosine and WSD."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tests.exercises.answers import Answers, run_tables

# --- cosine -----------------------------------------------------------------------------------------------------------


def cosine_squared(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step <= warmup and warmup:
        return step * max_lr / warmup
    x = min(step, total) - warmup
    return min_lr + (max_lr - min_lr) * math.cos(math.pi / 2 * x / (total - warmup)) ** 2


def cosine_by_numpy(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> Any:
    if step < warmup:
        return np.interp(step, [0, warmup], [0, max_lr])
    angle = np.interp(step, [warmup, total], [0, np.pi])
    return (max_lr + min_lr) / 2 + (max_lr - min_lr) / 2 * np.cos(angle)


def cosine_in_float32(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> torch.Tensor:
    if step < warmup:
        return torch.tensor(max_lr) * step / warmup
    x = torch.tensor((step - warmup) / (total - warmup)).clamp(max=1.0)
    return torch.lerp(torch.tensor(max_lr), torch.tensor(min_lr), (1 - torch.cos(torch.pi * x)) / 2)


def cosine_by_torch(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step < warmup:
        return max_lr * step / warmup
    if step >= total:
        return min_lr
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], max_lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, min_lr)
    optimizer.step()
    for _ in range(step - warmup):
        schedule.step()
    return optimizer.param_groups[0]["lr"]


def _cosine(step: int, high: float, low: float, warmup: int, total: int) -> float:
    x = min(1, (step - warmup) / (total - warmup))
    return low + (high - low) * (1 + math.cos(math.pi * x)) / 2


def cosine_from_step_0(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    return step / warmup * max_lr if step < warmup else _cosine(step, max_lr, min_lr, 0, total)


def cosine_too_long(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    return step / warmup * max_lr if step < warmup else _cosine(step - warmup, max_lr, min_lr, 0, total)


def cosine_that_rises(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step < warmup:
        return max_lr * step / warmup
    x = (step - warmup) / (total - warmup)
    return min_lr + 0.5 * (max_lr - min_lr) * (1 + math.cos(math.pi * x))


def cosine_to_zero(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    return max_lr * step / warmup if step < warmup else _cosine(step, max_lr, 0, warmup, total)


def cosine_cut_off(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step < warmup:
        return max_lr * step / warmup
    return max(min_lr, _cosine(step, max_lr, 0, warmup, total))


def cosine_on_top(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step < warmup:
        return max_lr * step / warmup
    return min_lr + _cosine(step, max_lr, 0, warmup, total)


def cosine_whole_turn(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step < warmup:
        return max_lr * step / warmup
    x = min(1, (step - warmup) / (total - warmup))
    return min_lr + (max_lr - min_lr) * (1 + math.cos(2 * math.pi * x)) / 2


def cosine_quarter_turn(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step < warmup:
        return max_lr * step / warmup
    x = min(1, (step - warmup) / (total - warmup))
    return min_lr + (max_lr - min_lr) * math.cos(math.pi * x / 2)


def straight_line(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    return (
        float(np.interp(step, [0, warmup, total], [0, max_lr, min_lr]))
        if warmup
        else max_lr - (max_lr - min_lr) * min(1, step / total)
    )


def cosine_upwards(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step < warmup:
        return max_lr * step / warmup
    x = min(1, (step - warmup) / (total - warmup))
    return min_lr + (max_lr - min_lr) * (1 - math.cos(math.pi * x)) / 2


def cosine_a_step_ahead(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    return max_lr * (step + 1) / warmup if step < warmup else _cosine(step, max_lr, min_lr, warmup, total)


def cosine_from_the_minimum(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step < warmup:
        return min_lr + (max_lr - min_lr) * step / warmup
    return _cosine(step, max_lr, min_lr, warmup, total)


def cosine_without_warmup(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    return max_lr if step < warmup else _cosine(step, max_lr, min_lr, warmup, total)


def cosine_divides_by_warmup(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    rising = max_lr * step / warmup
    return rising if step < warmup else _cosine(step, max_lr, min_lr, warmup, total)


def cosine_in_degrees(step: int, max_lr: float, min_lr: float, warmup: int, total: int) -> float:
    if step < warmup:
        return max_lr * step / warmup
    x = min(1, (step - warmup) / (total - warmup))
    return min_lr + (max_lr - min_lr) * (1 + math.cos(180 * x)) / 2


# --- one trunk, many budgets ------------------------------------------------------------------------------------------


def steps_by_numpy(budgets: Sequence[int], share: float) -> np.ndarray:
    ends = np.array(budgets)
    decays = np.rint(share * ends)
    return np.array([(ends - decays).max() + decays.sum(), ends.sum()])


def steps_in_a_loop(budgets: Sequence[int], share: float) -> list[int]:
    trunk = paid = cosine = 0
    for budget in budgets:
        decay = int(share * budget + 0.5)
        trunk = max(trunk, budget - decay)
        paid += decay
        cosine += budget
    return [trunk + paid, cosine]


def steps_counted(budgets: Sequence[int], share: float) -> tuple[int, int]:
    """Every step of the trunk that some budget needs, once."""
    decays = {budget: round(share * budget) for budget in budgets}
    trunk = {step for budget, decay in decays.items() for step in range(budget - decay)}
    return len(trunk) + sum(decays.values()), sum(len(range(budget)) for budget in budgets)


def steps_with_a_full_trunk(budgets: Sequence[int], share: float) -> tuple[int, int]:
    return max(budgets) + sum(round(share * budget) for budget in budgets), sum(budgets)


def steps_of_the_trunk(budgets: Sequence[int], share: float) -> tuple[int, int]:
    return max(budget - round(share * budget) for budget in budgets), sum(budgets)


def steps_of_one_decay(budgets: Sequence[int], share: float) -> tuple[int, int]:
    return max(budgets), sum(budgets)


def steps_each_alone(budgets: Sequence[int], share: float) -> tuple[int, int]:
    return sum(b - round(share * b) + round(share * b) for b in budgets), sum(budgets)


def steps_of_one_cosine(budgets: Sequence[int], share: float) -> tuple[int, int]:
    return steps_in_a_loop(budgets, share)[0], max(budgets)


def steps_swapped(budgets: Sequence[int], share: float) -> tuple[int, int]:
    wsd, cosine = steps_in_a_loop(budgets, share)
    return cosine, wsd


def steps_not_rounded(budgets: Sequence[int], share: float) -> tuple[float, int]:
    return (1 - share) * max(budgets) + share * sum(budgets), sum(budgets)


def steps_rounded_down(budgets: Sequence[int], share: float) -> tuple[int, int]:
    decays = [int(share * budget) for budget in budgets]
    return max(b - d for b, d in zip(budgets, decays, strict=True)) + sum(decays), sum(budgets)


def steps_rounded_up(budgets: Sequence[int], share: float) -> tuple[int, int]:
    decays = [math.ceil(share * budget) for budget in budgets]
    return max(b - d for b, d in zip(budgets, decays, strict=True)) + sum(decays), sum(budgets)


def steps_rounded_together(budgets: Sequence[int], share: float) -> tuple[int, int]:
    return max(b - round(share * b) for b in budgets) + round(share * sum(budgets)), sum(budgets)


ANSWERS = {
    "sched-cosine": Answers(
        right=(cosine_squared, cosine_by_numpy, cosine_in_float32, cosine_by_torch),
        wrong=(
            (cosine_from_step_0, "Progress is counted from the end of the warm-up"),
            (cosine_too_long, "The cosine ends warmup steps too late"),
            (cosine_that_rises, "A cosine rises again after half a turn"),
            (cosine_to_zero, "This goes down to 0."),
            (cosine_cut_off, "This cuts a cosine to 0 off"),
            (cosine_on_top, "This begins above the peak"),
            (cosine_whole_turn, "Half a turn, π, leads from 1 to -1."),
            (cosine_quarter_turn, "This is a quarter of a turn"),
            (straight_line, "This falls along a straight line."),
            (cosine_upwards, "This rises from the minimum to the peak"),
            (cosine_a_step_ahead, "This warm-up is a step ahead"),
            (cosine_from_the_minimum, "This warm-up starts at the minimum."),
            (cosine_without_warmup, "The warm-up is missing"),
            (cosine_divides_by_warmup, "No warm-up: the decay begins at step 0."),
            (cosine_in_degrees, "math.cos takes radians"),
        ),
    ),
    "sched-trunk": Answers(
        right=(steps_by_numpy, steps_in_a_loop, steps_counted),
        wrong=(
            (steps_with_a_full_trunk, "The trunk need not reach the largest budget"),
            (steps_of_the_trunk, "This is the trunk alone."),
            (steps_of_one_decay, "Only one decay is paid for here."),
            (steps_each_alone, "This trains each budget from the start."),
            (steps_of_one_cosine, "A cosine for 400 steps is still high at step 100"),
            (steps_swapped, "Both counts are right, in the wrong order"),
            (steps_not_rounded, "Steps are whole numbers"),
            (steps_rounded_down, "These decays are rounded down."),
            (steps_rounded_up, "These decays are rounded up."),
            (steps_rounded_together, "Decays of 15.3, 16.35, 152.1, 18.3 and 15.6 steps"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
