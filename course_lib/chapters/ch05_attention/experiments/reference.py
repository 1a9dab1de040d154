"""Chapter 5: what the factor 1/√d buys, each arm at its own best rate."""

from pathlib import Path

from course_lib.chapters.ch05_attention.experiments import scale
from course_lib.lab.reference_runs import Experiment, product

_FOLDER = Path(__file__).parents[1] / "reference"
_SEEDS = (0, 1, 2, 3)

SCALE = Experiment(
    chapter=5,
    name="scale",
    question="What does the factor 1/√d buy: a flat start, or scores that move slowly?",
    run=scale.scale_run,
    grid=product(
        head_dim=[16, 64], arm=[*scale.ARMS], lr=[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128]
    ),
    seeds=_SEEDS,
    scientific=["head_dim", "arm"],
    nuisance=["lr"],
    fixed={"steps": 600},
    folder=_FOLDER,
    seconds=4,
    large={"steps": 2400},
    large_seconds=16,
)

SCALE_LONGER = Experiment(
    chapter=5,
    name="scale_longer",
    question="Is the factor worth as much in runs twice as long?",
    run=scale.scale_run,
    grid=product(arm=[*scale.ARMS], lr=[0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128]),
    seeds=_SEEDS,
    scientific=["arm"],
    nuisance=["lr"],
    fixed={"steps": 1200, "head_dim": 64},
    folder=_FOLDER,
    seconds=11,
)

REFERENCE = (SCALE, SCALE_LONGER)
"""The experiments of this chapter."""
