"""Chapter 3: the stored runs side by side, each activation at its own best rate, and Shazeer's table."""

from collections.abc import Sequence

import pandas as pd

from course_lib.lab import evidence

PUBLISHED_STEPS = (65_536, 524_288)

_PUBLISHED = {
    "relu": (1.997, 1.677),
    "gelu": (1.983, 1.679),
    "silu": (1.994, 1.683),
    "glu": (1.982, 1.663),
    "bilinear": (1.960, 1.648),
    "geglu": (1.942, 1.633),
    "swiglu": (1.944, 1.636),
    "reglu": (1.953, 1.645),
}


def published() -> pd.DataFrame:
    """Table 1 of Shazeer 2020: held-out log-perplexity of T5's encoder-decoder (base size) on C4, without dropout.

    The standard deviation between short runs is given there as 0.003 to 0.010; the long ones are one run each.

    Returns:
        Columns activation, steps, nats (per token), behind (nats less ReLU's at as many steps).
    """
    rows = [
        (name, steps, values[place], values[place] - _PUBLISHED["relu"][place])
        for place, steps in enumerate(PUBLISHED_STEPS)
        for name, values in _PUBLISHED.items()
    ]
    return pd.DataFrame(rows, columns=["activation", "steps", "nats", "behind"])


def best_runs(points: pd.DataFrame) -> pd.DataFrame:
    """Bits per byte of each activation at its own best rate: one row per seed, one column per activation.

    Raises ValueError if a best rate is at the edge of the grid.
    """
    best = evidence.tuned(points, arms="activation", loss="bits")
    chosen = evidence.at_best(points, best, arms="activation")
    return chosen.pivot(index="seed", columns="activation", values="bits")[list(best["activation"])]


def against(
    runs: pd.DataFrame, reference: str, names: Sequence[str] | None = None
) -> dict[str, evidence.Difference]:
    """Bits per byte of activations less those of a reference, in pairs of equal seeds.

    Runs with the same seed read the same batches. Layers of one shape also start from the same weights; a plain and a
    gated one do not, and share the batches only.

    Args:
        runs: From :func:`best_runs`.
        reference: One of its columns.
        names: Some of its columns; default: all others.
    """
    chosen = [str(name) for name in (runs if names is None else names) if name != reference]
    return {name: evidence.paired(runs[name], runs[reference]) for name in chosen}


def worth_of_pairing(runs: pd.DataFrame, first: str, second: str) -> tuple[float, float]:
    """Standard error of the difference of two activations in pairs, and of the same runs as if seeds shared nothing."""
    return (
        evidence.paired(runs[first], runs[second]).se,
        evidence.unpaired(runs[first].tolist(), runs[second].tolist()).se,
    )


def beside_published(runs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Differences from ReLU, in our runs and in Shazeer's.

    Args:
        runs: :func:`best_runs` by the title of their panel.

    Returns:
        Columns panel, activation, difference, low, high (95 %; NaN for published numbers).
    """
    rows = [
        (panel, name, found.mean, found.low, found.high)
        for panel, one in runs.items()
        for name, found in against(one, "relu").items()
    ]
    ours = pd.DataFrame(rows, columns=["panel", "activation", "difference", "low", "high"])
    theirs = published().query("activation != 'relu'").rename(columns={"behind": "difference"})
    theirs["panel"] = theirs["steps"].map("Shazeer, {:,} steps (nats/token)".format)
    return pd.concat([ours, theirs], ignore_index=True)[list(ours)]
