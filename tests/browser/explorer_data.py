"""Made-up data for explorers, in place of measurements and training runs; the same in every process."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd

from course_lib.chapters.ch12_capstone.experiments.ablations import stored

SHAPES = ("constant", "linear to 0", "cosine to 10 %", "one restart", "inverse sqrt", "WSD")
WAYS = ("one gather, mapped", "one gather, read", "row by row", "row by row, mapped again")
TEXTS = ("a stranger came.", "nobody knew her.")


def histograms() -> pd.DataFrame:
    """Flat histograms for two activations."""
    cases = itertools.product(
        ("relu", "swiglu"), ("before", "after"), (1, 2), ("input", "hidden"), np.linspace(-2.925, 2.925, 40)
    )
    frame = pd.DataFrame(cases, columns=["activation", "when", "layer", "what", "x"])
    return frame.assign(share=0.0125 * (1 + frame["layer"]))


def trained() -> pd.DataFrame:
    """Two seeds of two placements; post-norm is stuck at the largest rate."""
    cases = itertools.product(("post", "pre"), (0.25, 1.0), ("none", "ramp"), (0.001, 0.002, 0.004), (0, 1))
    frame = pd.DataFrame(cases, columns=["placement", "gain", "start", "lr", "seed"])
    bits = 3 - 200 * frame["lr"] + 0.1 * frame["gain"] + 0.02 * frame["seed"]
    stuck = (frame["placement"] == "post") & (frame["lr"] == 0.004)
    return frame.assign(bits=bits.mask(stuck, 4.4), first=100 * frame["lr"] * frame["gain"])


def scores() -> np.ndarray:
    """Scores before softmax, of shape (texts, layers, heads, T, T)."""
    return np.random.default_rng(0).normal(size=(2, 2, 3, 16, 16))


def patterns() -> dict[str, tuple[str, np.ndarray]]:
    """Attention weights of two texts."""
    powers = np.exp(scores()) * np.tri(16)
    return dict(
        zip(("one", "two"), zip(TEXTS, powers / powers.sum(-1, keepdims=True), strict=True), strict=True)
    )


def directions() -> pd.DataFrame:
    """Condition numbers are powers of ten: ten times larger for the second seed, for Muon, and for gradients."""
    cases = itertools.product(
        ("AdamW", "Muon"), (0, 1), (0, 10), (0, 1), ("q_proj", "w1"), ("gradient", "momentum", "update")
    )
    frame = pd.DataFrame(cases, columns=["optimizer", "seed", "step", "layer", "matrix", "direction"])
    power = 1.0 + frame["seed"] + (frame["optimizer"] == "Muon") + (frame["direction"] == "gradient")
    return frame.assign(
        condition=10**power, effective_rank=0.5 + 0.1 * frame["layer"], norm=2.0 + frame["step"]
    )


def planes() -> dict[tuple[str, str], SimpleNamespace]:
    """Paths of five snapshots."""

    def plane(scale: float) -> SimpleNamespace:
        grid = pd.DataFrame(
            itertools.product(np.linspace(-1, 2, 7), np.linspace(-1, 1, 5)), columns=["x", "y"]
        )
        n = np.arange(5)
        along = {"snapshot": n, "x": 1 - n / 4, "y": 0.1 * n, "loss": 4 - scale * n / 4}
        return SimpleNamespace(
            grid=grid.assign(loss=2 + grid["x"] ** 2 + grid["y"] ** 2),
            along=pd.DataFrame(along | {"shadow_loss": 3 - scale * n / 8}),
            projection=SimpleNamespace(explained=np.array([0.8, 0.1]) / scale),
        )

    scales = {"Muon": 1.0, "AdamW": 2.0}
    return {(path, view): plane(scale) for path, scale in scales.items() for view in ("PCA", "random")}


def loss(shape: str, lr: float, seed: float, step: int) -> float:
    """The loss of a run with a schedule."""
    return 2 + 1 / (1 + step) + 0.1 * SHAPES.index(shape) + lr + 0.01 * seed


def runs() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves of 40 steps and final losses, for six schedules, three rates and two seeds."""
    cases = pd.DataFrame(
        itertools.product(SHAPES, (0.1, 0.2, 0.4), (0, 1), range(40)), columns=["shape", "lr", "seed", "step"]
    )
    curves = cases.assign(bits=[loss(*case) for case in cases.itertuples(index=False)])
    return curves, curves[curves["step"] == 39].drop(columns="step")


def loaders() -> pd.DataFrame:
    """Time and memory of batches in each way, in proportion to their size."""
    cases = itertools.product(WAYS, ("at random", "in order"), (8, 32, 128), (64, 256, 1024))
    frame = pd.DataFrame(cases, columns=["way", "pattern", "batch", "context"])
    place = 1 + frame["way"].map(WAYS.index)
    kept = frame["pattern"].map({"at random": 1.0, "in order": 0.1})
    return frame.assign(
        microseconds=place * frame["batch"] * frame["context"] / 10, megabytes=place * frame["batch"] * kept
    )


def stored_run(change: str, seeds: tuple[int, ...]) -> pd.DataFrame:
    """The stored run of a change, in place of a new run from the menu of chapter 12."""
    runs = stored()
    return runs[(runs["change"] == change) & runs["seed"].isin(seeds)]
