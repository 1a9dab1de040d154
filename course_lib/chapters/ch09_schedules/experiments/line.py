"""The loss along straight lines between trained weights: one valley, or a barrier between two."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from course_lib.chapters.ch09_schedules.experiments.runs import AVERAGED_SHARE, _Average
from course_lib.chapters.ch09_schedules.experiments.shapes import arm
from course_lib.diagnostics import snapshot
from course_lib.files import progress
from course_lib.lab.small_runs import SmallRun, held_out_loss, new_model, novels_run, train_small

SAME_RUN = "averaged constant run to WSD, one seed"
OTHER_RUN = "WSD to WSD, two seeds"


def lines(*, lr: float, steps: int = 600, seeds: tuple[int, int] = (0, 1), places: int = 9) -> pd.DataFrame:
    """Held-out loss on the line from the averaged weights of a constant run to those of WSD with the same seed.

    Both runs share all but the last fifth of their steps. For comparison, the line between two WSD runs with different
    seeds: what a barrier looks like.

    Args:
        lr: Peak of all three runs.
        steps: Length of the runs.
        seeds: Of both lines, and of the second end of the second one.
        places: Number of points on a line, both ends included.

    Returns:
        One row per line and place: line, at (0 to 1), bits (per byte).
    """
    average = _Average(first=round((1 - AVERAGED_SHARE) * steps))
    constant = novels_run(steps, lr=lr, schedule=arm("constant", steps), watch=average.watch)
    settings = novels_run(steps, lr=lr, schedule=arm("WSD", steps))
    work = [(constant, seeds[0]), (settings, seeds[0]), (settings, seeds[1])]
    _, first, second = (
        snapshot(train_small(run, seed=seed).model)
        for run, seed in progress(work, description="lines", unit="run")
    )
    mean = {name: total / average.count for name, total in average.total.items()}
    rows = [
        (name, at, bits)
        for name, ends in {SAME_RUN: (mean, first), OTHER_RUN: (first, second)}.items()
        for at, bits in _along(*ends, settings, np.linspace(0, 1, places).tolist())
    ]
    return pd.DataFrame(rows, columns=["line", "at", "bits"])


def _along(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], settings: SmallRun, places: Sequence[float]
) -> list[tuple[float, float]]:
    model = new_model(settings, 0)
    found = []
    for at in places:
        weights = {name: torch.lerp(start[name], end[name], at) for name in start}
        model.load_state_dict(weights, strict=False)
        found.append((at, settings.ids.bits_per_byte(held_out_loss(model, settings))))
    return found


def barriers(frame: pd.DataFrame) -> dict[str, float]:
    """By how much each line rises above the higher one of its ends, in bits per byte; 0 if it does not."""
    found = {}
    for name, rows in frame.groupby("line", sort=False):
        bits = rows.sort_values("at")["bits"]
        found[str(name)] = float(bits.max() - max(bits.iloc[0], bits.iloc[-1]))
    return found
