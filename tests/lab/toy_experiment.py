"""An experiment that takes no time, for tests of stored runs."""

import random
import time
from pathlib import Path

from course_lib.lab.reference_runs import Experiment, product

OFFSET = 1.0


def helper(value: float) -> float:
    """Used by the experiment: its code counts."""
    return value + OFFSET


def run(*, seed: int, lr: float, arm: str, steps: int) -> dict[str, float]:
    time.sleep(0.01 * steps)
    noise = random.Random(f"{seed} {lr} {arm}").gauss(0, 0.01)
    return {"loss": helper((lr - 0.1) ** 2 + noise), "diverged": float("inf") if lr > 0.5 else 0.0}


def experiment(folder: Path, *, steps: int = 0, seeds: tuple[int, ...] = (0, 1, 2)) -> Experiment:
    return Experiment(
        chapter=99,
        name="toy",
        question="Which arm is better?",
        run=run,
        grid=product(arm=["a", "b"], lr=[0.03, 0.1, 0.6]),
        seeds=seeds,
        scientific=["arm"],
        nuisance=["lr"],
        fixed={"steps": steps},
        folder=folder,
    )
