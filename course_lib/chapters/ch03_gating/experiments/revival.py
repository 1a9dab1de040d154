"""Chapter 3: who brings a dead unit back, its own weights or its inputs?"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from course_lib.chapters.ch03_gating.experiments.gating import equal_width
from course_lib.chapters.ch03_gating.experiments.reference import dead_units
from course_lib.files import progress
from course_lib.lab.small_runs import novels_run, small_config, train_small
from course_lib.model import FFN, TransformerLM
from course_lib.optim import AdamW

ALL, HELD, ALONE = ("everything learns", "their own weights are held", "only their own weights learn")
ARMS = (ALL, HELD, ALONE)
"""What learns once the dead units were counted. A unit's own weights are its row of w1, which makes its input."""


def revivals(
    seeds: Sequence[int] = (0, 1),
    *,
    arms: Sequence[str] = ARMS,
    lr: float = 0.032,
    steps: int = 300,
    count_at: int = 60,
) -> pd.DataFrame:
    """Train ReLU models on the novels, count dead units on the way, and hold weights from there on.

    Args:
        seeds: Of weights and batches.
        arms: Some of :data:`ARMS`.
        lr: Peak rate; high, so that units die.
        steps: Length of the run; its rate falls to 0.
        count_at: Updates after which dead units are counted.

    Returns:
        One row per arm and seed: arm, seed, units (of the model), dead (how many of them were dead at ``count_at``) and
        back (how many of those are alive at the end).
    """
    rows = []
    jobs = [(arm, seed) for arm in arms for seed in seeds]
    for arm, seed in progress(jobs, description="dead units", unit="run"):
        holds: list[_Hold] = []

        def optimizers(
            model: TransformerLM, arm: str = arm, holds: list[_Hold] = holds
        ) -> list[torch.optim.Optimizer]:
            holds.append(_Hold(model, arm, count_at))
            return [AdamW(model.parameters(), lr, (0.9, 0.95), weight_decay=0.1), *holds]

        config = small_config(activation="relu", d_ff=equal_width("relu"))
        settings = novels_run(steps, config=config, make_optimizers=optimizers)
        model = train_small(settings, seed=seed).model
        dead = holds[0].dead
        alive = ~dead_units(model)
        rows.append((arm, seed, len(dead), int(dead.sum()), int(alive[dead].sum())))
    return pd.DataFrame(rows, columns=["arm", "seed", "units", "dead", "back"])


class _Hold(torch.optim.Optimizer):
    """An optimizer that comes second: after ``begin`` steps it undoes what the first one does to the held weights."""

    def __init__(self, model: TransformerLM, arm: str, begin: int) -> None:
        super().__init__(model.parameters(), {"lr": 0.0})
        self._model, self._arm, self._left = model, arm, begin
        self._held: list[tuple[Tensor, Tensor, Tensor]] = []
        self.dead = torch.zeros(0, dtype=torch.bool)

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Count dead units when it is time; later, put the held weights back."""
        self._left -= 1
        if self._left == 0:
            self.dead = dead_units(self._model)
            self._held = [(p, p.clone(), held) for p, held in self._masks()]
        for parameter, before, held in self._held:
            parameter.copy_(torch.where(held, before, parameter))

    def _masks(self) -> list[tuple[Tensor, Tensor]]:
        """Each parameter with its held entries."""
        weights = [module.w1.weight for module in self._model.modules() if isinstance(module, FFN)]
        units = torch.split_with_sizes(self.dead, [len(weight) for weight in weights])
        own = {weight: dead[:, None].expand_as(weight) for weight, dead in zip(weights, units, strict=True)}
        none = torch.zeros((), dtype=torch.bool)
        masks: list[tuple[Tensor, Tensor]] = [(p, own.get(p, none)) for p in self._model.parameters()]
        if self._arm == ALL:
            return []
        return masks if self._arm == HELD else [(p, ~mask) for p, mask in masks]
