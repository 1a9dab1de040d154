"""Chapter 3: every activation at its own best rate, and which hidden units die and come back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from course_lib.chapters.ch03_gating.experiments.gating import equal_width, units
from course_lib.lab.reference_runs import Experiment, product
from course_lib.lab.small_runs import novels_run, small_config, train_small
from course_lib.model import TransformerLM

_FOLDER = Path(__file__).parents[1] / "reference"

ARMS = ("relu", "gelu", "silu", "relu2", "bilinear", "glu", "reglu", "geglu", "swiglu")
"""Those of Shazeer 2020, table 1, and the squared ReLU. "bilinear" has a gate without a nonlinearity."""

EARLY = 0.1
"""The share of a run after which dead units are counted for the first time."""


def activation_run(*, seed: int, activation: str, lr: float, steps: int) -> dict[str, float]:
    """Train the smallest model on the novels with one activation; all activations have equally many parameters.

    Returns bits (per byte, held out); dead: the share of hidden units that are 0 for every token of the held-out
    windows, at the end; dead_early: the same after a tenth of the run; back: the share of the units dead then that are
    alive at the end (NaN if none was dead).
    """
    early = _Dead(round(EARLY * steps))
    settings = novels_run(
        steps,
        lr=lr,
        config=small_config(activation=activation, d_ff=equal_width(activation)),
        watch=early.watch,
    )
    trained = train_small(settings, seed=seed)
    at_end = dead_units(trained.model)
    return {
        "bits": trained.bits_per_byte,
        "dead": float(at_end.float().mean()),
        "dead_early": float(early.found[0].float().mean()),
        "back": float((~at_end[early.found[0]]).float().mean()),
    }


def dead_units(model: TransformerLM) -> Tensor:
    """Which hidden units are 0 for every token of the held-out windows: bool (layers x units,)."""
    return torch.cat([(hidden == 0).all(0) for hidden in units(model, "hidden", text="novels_en")])


@dataclass
class _Dead:
    step: int
    found: list[Tensor] = field(default_factory=list)

    def watch(self, step: int, model: TransformerLM) -> Mapping[str, float]:
        if step == self.step:
            self.found.append(dead_units(model))
        return {}


_SEEDS = (0, 1, 2, 3, 4, 5)

ACTIVATIONS = Experiment(
    chapter=3,
    name="activations",
    question="Which activation leaves the fewest bits per byte, each at its own best rate?",
    run=activation_run,
    grid=product(activation=[*ARMS], lr=[0.002, 0.004, 0.008, 0.016, 0.032]),
    seeds=_SEEDS,
    scientific=["activation"],
    nuisance=["lr"],
    fixed={"steps": 600},
    folder=_FOLDER,
    seconds=9,
    large={"steps": 2400},
    large_seconds=36,
)

ACTIVATIONS_LONGER = Experiment(
    chapter=3,
    name="activations_longer",
    question="Does the order of the activations hold in runs three times as long?",
    run=activation_run,
    grid=product(activation=[*ARMS], lr=[0.002, 0.004, 0.008, 0.016, 0.032]),
    seeds=_SEEDS[:4],
    scientific=["activation"],
    nuisance=["lr"],
    fixed={"steps": 1800},
    folder=_FOLDER,
    seconds=27,
)
