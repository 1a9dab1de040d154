"""Chapter 2: the map of trainability, its controls, at a second depth and a second length."""

from pathlib import Path

from course_lib.chapters.ch02_normalization.experiments.depth import depth_run
from course_lib.chapters.ch02_normalization.experiments.trainability import map_run
from course_lib.lab.reference_runs import Experiment, product

_FOLDER = Path(__file__).parents[1] / "reference"
_SEEDS = (0, 1, 2, 3)
_RATES = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064]

_OLD = ["none", "post", "pre"]

GPT2 = (2 * 6) ** -0.5
"""GPT-2's factor on the matrices that write into the stream, for six layers of two sublayers."""

MAP = Experiment(
    chapter=2,
    name="map",
    question="Which gains of the initialization and which rates are usable, by the norm's place and with a warm-up?",
    run=map_run,
    grid=product(
        placement=["none", "post", "pre", "double", "deepnorm"],
        gain=[0.25, 0.5, 1.0],
        start=["none", "ramp"],
        lr=_RATES,
    ),
    seeds=_SEEDS,
    scientific=["placement", "gain", "start"],
    nuisance=["lr"],
    fixed={"layers": 6, "steps": 300},
    folder=_FOLDER,
    seconds=3,
    large={"layers": 12, "steps": 1200},
    large_seconds=25,
)

DEEPER = Experiment(
    chapter=2,
    name="deeper",
    question="How does the map change in a network three times as deep?",
    run=map_run,
    grid=[
        *product(placement=_OLD, gain=[0.25], start=["none", "ramp"], lr=_RATES[1:-1]),
        *product(placement=_OLD, gain=[1.0], start=["none", "ramp"], lr=_RATES[:-2]),
    ],
    seeds=_SEEDS,
    scientific=["placement", "gain", "start"],
    nuisance=["lr"],
    fixed={"layers": 18, "steps": 300},
    folder=_FOLDER,
    seconds=9,
)

CAUSES = Experiment(
    chapter=2,
    name="causes",
    question="Does the size of the gradients matter, the distance walked, Adam's averages, or what the layers write?",
    run=map_run,
    grid=[
        *product(
            placement=["post", "pre"],
            gain=[1.0],
            outputs_only=[False],
            start=["none"],
            gradients=[0.01, 100.0],
            lr=_RATES[:-2],
        ),
        *product(
            placement=["post", "pre"],
            gain=[1.0],
            outputs_only=[False],
            start=["half", "wait"],
            gradients=[1.0],
            lr=_RATES[:-2],
        ),
        *product(
            placement=["none", "post", "pre"],
            gain=[GPT2],
            outputs_only=[True],
            start=["none"],
            gradients=[1.0],
            lr=_RATES[1:-1],
        ),
    ],
    seeds=_SEEDS,
    scientific=["placement", "gain", "outputs_only", "start", "gradients"],
    nuisance=["lr"],
    fixed={"layers": 6, "steps": 300},
    folder=_FOLDER,
    seconds=3,
)

LONGER = Experiment(
    chapter=2,
    name="longer",
    question="Which differences of the map are left in runs four times as long?",
    run=map_run,
    grid=[
        *product(placement=["none"], gain=[0.25], start=["none"], lr=_RATES[1:-2]),
        *product(placement=["none"], gain=[0.5], start=["ramp"], lr=_RATES[1:-2]),
        *product(placement=["post", "pre"], gain=[0.5], start=["none"], lr=_RATES[1:-2]),
        *product(placement=["post"], gain=[1.0], start=["none", "ramp"], lr=_RATES[:-2]),
        *product(placement=["pre"], gain=[0.5], start=["ramp"], lr=_RATES[1:-2]),
        *product(placement=["pre"], gain=[1.0], start=["none", "ramp"], lr=_RATES[1:-2]),
    ],
    seeds=_SEEDS,
    scientific=["placement", "gain", "start"],
    nuisance=["lr"],
    fixed={"layers": 6, "steps": 1200},
    folder=_FOLDER,
    seconds=11,
)

PLACES = Experiment(
    chapter=2,
    name="places",
    question="Is it the branch's norm or the norm of queries and keys; does RMSNorm lose anything?",
    run=map_run,
    grid=[
        *product(
            placement=["pre", "double", "branch"], norm=["layernorm"], qk_norm=[False, True], lr=_RATES[2:]
        ),
        *product(placement=["pre"], norm=["rmsnorm"], qk_norm=[False], lr=_RATES[2:]),
    ],
    seeds=(0, 1, 2, 3, 4, 5),
    scientific=["placement", "norm", "qk_norm"],
    nuisance=["lr"],
    fixed={"layers": 6, "steps": 300, "gain": 1.0, "start": "ramp"},
    folder=_FOLDER,
    seconds=3,
)

DEPTH = Experiment(
    chapter=2,
    name="depth",
    question="Are the late layers of a pre-norm network used less than those of others?",
    run=depth_run,
    grid=product(placement=["pre", "post", "deepnorm", "double"], lr=_RATES[1:-2]),
    seeds=_SEEDS,
    scientific=["placement"],
    nuisance=["lr"],
    fixed={"layers": 12, "steps": 600, "gain": 0.5, "start": "ramp"},
    folder=_FOLDER,
    seconds=12,
)

REFERENCE = (MAP, DEEPER, CAUSES, LONGER, PLACES, DEPTH)
"""The experiments of this chapter."""
