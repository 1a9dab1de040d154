"""The chapter's stored experiments: what is asked, which grid, how long it takes."""

from pathlib import Path

from course_lib.chapters.ch09_schedules.experiments import runs, shapes
from course_lib.lab.reference_runs import Experiment, product

_FOLDER = Path(__file__).parents[1] / "reference"
_SEEDS = (0, 1, 2, 3)

SHAPES = Experiment(
    chapter=9,
    name="shapes",
    question="Which schedule ends lowest, each at its own best peak?",
    run=runs.shape_run,
    grid=product(shape=[*shapes.ARMS], lr=[0.001, 0.002, 0.004, 0.008, 0.016, 0.032]),
    seeds=_SEEDS,
    scientific=["shape"],
    nuisance=["lr"],
    fixed={"steps": 600, "batch_size": 8},
    folder=_FOLDER,
    seconds=9,
    large={"steps": 9600},
    large_seconds=140,
)

LONGER = Experiment(
    chapter=9,
    name="longer",
    question="Does the order of the schedules hold in a run four times as long?",
    run=runs.shape_run,
    grid=[
        *product(shape=["constant"], lr=[0.001, 0.002, 0.004, 0.008]),
        *product(shape=["linear to 0", "WSD"], lr=[0.002, 0.004, 0.008, 0.016]),
    ],
    seeds=_SEEDS,
    scientific=["shape"],
    nuisance=["lr"],
    fixed={"steps": 2400, "batch_size": 8},
    folder=_FOLDER,
    seconds=32,
)

LARGER_BATCH = Experiment(
    chapter=9,
    name="larger_batch",
    question="Does lowering the rate gain less when a batch of four times the size has less noise?",
    run=runs.shape_run,
    grid=product(
        shape=["constant", "linear to 0", "WSD"], lr=[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064]
    ),
    seeds=_SEEDS,
    scientific=["shape"],
    nuisance=["lr"],
    fixed={"steps": 600, "batch_size": 32},
    folder=_FOLDER,
    seconds=28,
    large={"batch_size": 128},
    large_seconds=110,
)

BRANCHES = Experiment(
    chapter=9,
    name="branches",
    question="What does a decay gain that branches off a constant run, and what does averaging gain there?",
    run=runs.branch_run,
    grid=product(lr=[0.002, 0.008]),
    seeds=_SEEDS,
    scientific=["lr"],
    folder=_FOLDER,
    seconds=60,
)

WARMUP = Experiment(
    chapter=9,
    name="warmup",
    question="Which peaks are usable with and without a warm-up, with the norm before and after the sublayer?",
    run=runs.warmup_run,
    grid=product(
        placement=["pre", "post"],
        warmup=[*runs.WARMUPS],
        lr=[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064],
    ),
    seeds=_SEEDS,
    scientific=["placement", "warmup"],
    nuisance=["lr"],
    fixed={"steps": 600, "layers": 4},
    folder=_FOLDER,
    seconds=15,
    large={"steps": 2400, "layers": 8},
    large_seconds=120,
)

DECAY = Experiment(
    chapter=9,
    name="decay",
    question="Does weight decay act through its product with the learning rate alone?",
    run=runs.decay_run,
    grid=product(lr=[0.002, 0.004, 0.008, 0.016], weight_decay=[0.0, 0.1, 0.3, 1.0, 3.0]),
    seeds=_SEEDS,
    scientific=["lr", "weight_decay"],
    fixed={"steps": 600},
    folder=_FOLDER,
    seconds=9,
    large={"steps": 2400},
    large_seconds=36,
)

REFERENCE = (SHAPES, LARGER_BATCH, BRANCHES, WARMUP, DECAY, LONGER)
