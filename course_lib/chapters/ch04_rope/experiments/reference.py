"""Chapter 4: what models trained on 64 symbols read in 256, in strings that repeat and in novels."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from course_lib.chapters.ch04_rope.experiments import copying
from course_lib.chapters.ch04_rope.experiments.copying import STRETCHED
from course_lib.chapters.ch04_rope.experiments.positions import ENCODINGS, lengthened, loss_by_position
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import attentions
from course_lib.lab.reference_runs import Experiment, product
from course_lib.lab.repeated_strings import (
    FAR,
    NEAR,
    READ_LENGTH,
    TRAINED_LENGTH,
    accuracy,
    train_copying,
)
from course_lib.lab.small_runs import novels_run, one_thread, small_config, train_small
from course_lib.model import TransformerLM

_FOLDER = Path(__file__).parents[1] / "reference"

WINDOWS = (32, 64)
"""Sliding windows: a model that forgets what is further back cannot break, and cannot read it."""


# --- strings that repeat ----------------------------------------------------------------------------------------------


@float32_on_cpu()
def copying_run(*, seed: int, arm: str, lr: float, steps: int) -> dict[str, float]:
    """Train a model of one of ``copying.ARMS`` on short repeated strings, then read long ones.

    Returns the share of repeated symbols that are predicted. trained: at the trained length and periods. near and far:
    at :data:`READ_LENGTH` with periods as trained, and longer than the trained length. The same with "window 64, " or
    "window 32, " before it; for "rope", with the name of each way of stretching, and with "pair 0, " to "pair 7, ":
    this pair alone is interpolated.
    """
    model = copying.trained_on_copying(arm, lr=lr, seed=seed, steps=steps)
    head_dim = model.config.head_width
    with one_thread():
        found = {"trained": accuracy(model, TRAINED_LENGTH, NEAR), **_read(model, "")}
        for window in WINDOWS:
            for attention in attentions(model):
                attention.window = window
            found |= _read(model, f"window {window}, ")
        for attention in attentions(model):
            attention.window = None
        if arm == "rope":
            for name, scaling in STRETCHED.items():
                radians, sharper = copying.stretched_speeds(scaling, head_dim)
                copying.set_speeds(model, radians, sharper=sharper)
                found |= _read(model, f"{name}, ")
            for pair in range(head_dim // 2):
                copying.set_speeds(model, copying.one_pair_slower(pair, head_dim))
                found |= _read(model, f"pair {pair}, ")
    return found


def _read(model: TransformerLM, label: str) -> dict[str, float]:
    near, far = (accuracy(model, READ_LENGTH, periods) for periods in (NEAR, FAR))
    return {f"{label}near": near, f"{label}far": far}


TUNED = ("as it is", "theta 1e6", *STRETCHED)


@float32_on_cpu()
def tuning_run(*, seed: int, method: str, lr: float, steps: int, tuning_steps: int) -> dict[str, float]:
    """Train "rope" on short strings, then go on with long ones whose pairs turn by one of :data:`TUNED`.

    The long strings have periods between the shortest near and the longest far one; a step reads as many symbols as
    before. Returns trained (before the tuning), near and far after it, and near_before and far_before.
    """
    model = copying.trained_on_copying("rope", lr=0.008, seed=seed, steps=steps)
    head_dim = model.config.head_width
    found = {"trained": accuracy(model, TRAINED_LENGTH, NEAR)}
    if method in STRETCHED:
        radians, sharper = copying.stretched_speeds(STRETCHED[method], head_dim)
        copying.set_speeds(model, radians, sharper=sharper)
    elif method != "as it is":
        copying.set_speeds(model, copying.speeds(method, head_dim))
    with one_thread():
        found |= {f"{name}_before": value for name, value in _read(model, "").items()}
        train_copying(
            model,
            tuning_steps,
            lr=lr,
            seed=1_000 + seed,
            batch_size=16 * TRAINED_LENGTH // READ_LENGTH,
            length=READ_LENGTH,
            periods=(NEAR[0], FAR[1]),
        )
        return found | _read(model, "")


# --- novels -----------------------------------------------------------------------------------------------------------


@float32_on_cpu()
def reading_run(*, seed: int, encoding: str, lr: float, steps: int) -> dict[str, float]:
    """Train on windows of 64 bytes of the novels with one position encoding, then read 256.

    Returns bits (per byte, held out, at the trained length), and the bits of the bytes 129 to 256: "as it is", with
    "window 64" and "window 32", and for "rope" with each way of stretching. Learned positions end at the trained
    length.
    """
    config = small_config(context_length=TRAINED_LENGTH, position=encoding)
    trained = train_small(novels_run(steps, lr=lr, config=config), seed=seed)
    found = {"bits": trained.bits_per_byte}
    if encoding == "learned":
        return found
    models = {"as it is": lengthened(trained.model, READ_LENGTH)}
    for window in WINDOWS:
        models[f"window {window}"] = lengthened(trained.model, READ_LENGTH, window=window)
    if encoding == "rope":
        for name, scaling in STRETCHED.items():
            models[name] = lengthened(trained.model, READ_LENGTH, scaling)
    for name, model in models.items():
        curve = loss_by_position(model.eval(), READ_LENGTH, text="novels_en")
        found[name] = float(curve[curve["position"] >= READ_LENGTH / 2]["loss"].mean() / np.log(2))
    return found


# --- what is stored ---------------------------------------------------------------------------------------------------

_SEEDS = (0, 1, 2, 3)

COPYING = Experiment(
    chapter=4,
    name="copying",
    question="Which pairs must turn so that a model reads further back than it was trained to?",
    run=copying_run,
    grid=product(arm=[*copying.ARMS], lr=[0.004, 0.008, 0.016, 0.032]),
    seeds=_SEEDS,
    scientific=["arm"],
    nuisance=["lr"],
    fixed={"steps": 1200},
    folder=_FOLDER,
    seconds=27,
)

TUNING = Experiment(
    chapter=4,
    name="tuning",
    question="Which way of stretching reads far strings after a tenth of the training on long ones?",
    run=tuning_run,
    grid=product(method=[*TUNED], lr=[0.001, 0.002, 0.004, 0.008, 0.016, 0.032]),
    seeds=_SEEDS,
    scientific=["method"],
    nuisance=["lr"],
    fixed={"steps": 1200, "tuning_steps": 120},
    folder=_FOLDER,
    seconds=30,
)

READING = Experiment(
    chapter=4,
    name="reading",
    question="Which position encoding reads novels best, at the trained length and at four times as much?",
    run=reading_run,
    grid=product(encoding=[*ENCODINGS], lr=[0.004, 0.008, 0.016, 0.032]),
    seeds=_SEEDS,
    scientific=["encoding"],
    nuisance=["lr"],
    fixed={"steps": 600},
    folder=_FOLDER,
    seconds=10,
)

READING_LONGER = replace(
    READING,
    name="reading_longer",
    question="Does the order of the encodings hold in runs four times as long?",
    grid=product(encoding=[*ENCODINGS], lr=[0.002, 0.004, 0.008, 0.016, 0.032]),
    fixed={"steps": 2400},
    seconds=40,
)

REFERENCE = (COPYING, TUNING, READING, READING_LONGER)
"""The experiments of this chapter."""
