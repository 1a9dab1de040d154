"""Chapter 4's stored runs side by side: each arm at the rate that does best within the trained length."""

from collections.abc import Iterable, Sequence

import pandas as pd

from course_lib.chapters.ch04_rope.experiments.copying import STRETCHED, THETA
from course_lib.chapters.ch04_rope.experiments.pairs import wavelengths
from course_lib.chapters.ch04_rope.experiments.positions import ENCODINGS
from course_lib.lab import evidence
from course_lib.lab.repeated_strings import TRAINED_LENGTH
from course_lib.model import RopeScaling, rotary_frequencies

PLAIN = "as it is"
"""A model that is read as it was trained."""


def missed(points: pd.DataFrame) -> pd.DataFrame:
    """The points with a column missed: the share of repeated symbols not predicted at the trained length."""
    return points.assign(missed=1 - points["trained"])


def at_best_rate(points: pd.DataFrame) -> pd.DataFrame:
    """The copying runs of each arm at the rate that misses fewest symbols *within* the trained length.

    Nothing beyond it is used to choose. Raises ValueError if a best rate is at the edge of its grid.
    """
    told = missed(points)
    return evidence.at_best(told, evidence.tuned(told, arms="arm", loss="missed"), arms="arm")


def read_out(runs: pd.DataFrame, ways: Iterable[str]) -> pd.DataFrame:
    """How the runs read strings of four times the trained length.

    Args:
        runs: Copying runs, one row each.
        ways: :data:`PLAIN`, "window 64", the name of a way of stretching, "pair 3", ….

    Returns:
        One row per run and way: arm, seed, way, near and far (shares of repeated symbols predicted).
    """
    parts = []
    for way in ways:
        label = "" if way == PLAIN else f"{way}, "
        named = {f"{label}near": "near", f"{label}far": "far"}
        parts.append(runs[["arm", "seed", *named]].rename(columns=named).assign(way=way))
    return pd.concat(parts, ignore_index=True)


def by_pair(runs: pd.DataFrame, head_dim: int = 16) -> pd.DataFrame:
    """How the arm "rope" reads when one pair alone is interpolated.

    Columns: pair, wavelength (tokens), turns (within the trained length), seed, near, far, and gain (far, less that of
    the same model as it is).
    """
    rope = runs[runs["arm"] == "rope"]
    plain = rope.set_index("seed")["far"]
    found = read_out(rope, [f"pair {pair}" for pair in range(head_dim // 2)])
    pair = found["way"].str.removeprefix("pair ").astype(int)
    wavelength = pair.map(dict(enumerate(wavelengths(THETA, head_dim))))
    return found.assign(
        pair=pair,
        wavelength=wavelength,
        turns=TRAINED_LENGTH / wavelength,
        gain=found["far"] - found["seed"].map(plain),
    ).drop(columns=["arm", "way"])


def slowed_pairs(head_dim: int = 16) -> pd.DataFrame:
    """The slow-down of each pair by each way of stretching. Columns: way, pair, wavelength (before), ratio."""
    plain, _ = rotary_frequencies(THETA, head_dim)
    parts = []
    for way, scaling in STRETCHED.items():
        radians, _ = rotary_frequencies(THETA, head_dim, scaling)
        columns = {
            "pair": range(head_dim // 2),
            "wavelength": wavelengths(THETA, head_dim),
            "ratio": radians / plain,
        }
        parts.append(pd.DataFrame(columns).assign(way=way))
    return pd.concat(parts, ignore_index=True)


def same_speeds(scalings: Sequence[RopeScaling], head_dim: int = 16) -> bool:
    """Whether ways of stretching give every pair the same speed."""
    first, *others = (rotary_frequencies(THETA, head_dim, scaling)[0] for scaling in scalings)
    return all(bool((other == first).all()) for other in others)


def ahead(table: pd.DataFrame, over: str) -> dict[str, evidence.Difference]:
    """By how much each column is larger than the column ``over``, in pairs of equal seeds (the index)."""
    return {str(name): evidence.paired(table[name], table[over]) for name in table if name != over}


def at_trained_length(points: pd.DataFrame) -> pd.DataFrame:
    """Bits of each encoding on novels at its own best rate: one row per seed and one column per encoding."""
    best = evidence.tuned(points, arms="encoding", loss="bits")
    chosen = evidence.at_best(points, best, arms="encoding")
    return chosen.pivot(index="seed", columns="encoding", values="bits")[list(ENCODINGS)]


def beyond(points: pd.DataFrame, ways: Sequence[str]) -> pd.DataFrame:
    """Bits of the bytes 129 to 256 of novels, each encoding at the rate that is best at the trained length.

    Columns: encoding, seed, way, bits; without encodings that end at the trained length.
    """
    best = evidence.tuned(points, arms="encoding", loss="bits")
    chosen = evidence.at_best(points, best, arms="encoding")
    longer = chosen.melt(["encoding", "seed"], [*ways], var_name="way", value_name="far_bits")
    return longer.dropna().rename(columns={"far_bits": "bits"})
