"""Chapter 3: two gates beside those of the comparison, to ask what is wrong with the sigmoid as a gate."""

from pathlib import Path

import torch
from torch import Tensor

from course_lib.chapters.ch03_gating.experiments.gating import equal_width
from course_lib.lab.reference_runs import Experiment, product
from course_lib.lab.small_runs import novels_run, small_config, train_small
from course_lib.model import GatedFFN, TransformerLM

_FOLDER = Path(__file__).parents[1] / "reference"

GATES = ("tanh(z)", "1/2 + z/4")
"""The sigmoid without its opening at 0 (tanh(z) is 2 sigmoid(2 z) - 1), and its tangent at 0, which never saturates."""


def gate_run(*, seed: int, gate: str, lr: float, steps: int) -> dict[str, float]:
    """Train the smallest model on the novels with one of :data:`GATES`, otherwise as in the comparison.

    Returns bits (per byte, held out).
    """
    act = torch.tanh if gate == "tanh(z)" else half_open

    def prepare(model: TransformerLM) -> None:
        for module in model.modules():
            if isinstance(module, GatedFFN):
                module.act = act

    config = small_config(activation="bilinear", d_ff=equal_width("bilinear"))
    trained = train_small(novels_run(steps, lr=lr, config=config, prepare=prepare), seed=seed)
    return {"bits": trained.bits_per_byte}


def half_open(z: Tensor) -> Tensor:
    """1/2 + z/4, the tangent of the sigmoid at 0."""
    return 0.5 + 0.25 * z


SIGMOID = Experiment(
    chapter=3,
    name="sigmoid",
    question="Does a gate suffer from being half open, or from saturating?",
    run=gate_run,
    grid=product(gate=[*GATES], lr=[0.004, 0.008, 0.016, 0.032]),
    seeds=(0, 1, 2, 3, 4, 5),
    scientific=["gate"],
    nuisance=["lr"],
    fixed={"steps": 600},
    folder=_FOLDER,
    seconds=9,
)
