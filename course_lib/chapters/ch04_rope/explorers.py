"""Explorers of chapter 4: dials turned by positions, and similarity against offset."""

import math
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from course_lib.model import RopeScaling, rotary_frequencies
from course_lib.show.controls import Choice, Slider
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, LABEL_BOX, NOTE_SIZE, PALETTE, REFERENCE, label_point

_DIAL_PAIRS = 4
_TRAINED = 4096
_LONGEST = 65536
_OFFSETS = np.unique(np.concatenate(([0], np.geomspace(1, _LONGEST, 700).round()))).astype(int)
_SCALINGS = {
    "nothing": "none",
    "position interpolation": "linear",
    "NTK-aware": "ntk",
    "YaRN": "yarn",
    "Llama 3": "llama3",
}
_NAMES = {value: name for name, value in _SCALINGS.items()}


def frequencies(
    theta: float, head_dim: int, scaling: str = "none", factor: float = 1.0
) -> NDArray[np.float64]:
    """Radians per token of each pair; ``scaling``: "none" or a type of RopeScaling, from a context of 4,096 tokens."""
    stretch = None if scaling == "none" else RopeScaling(scaling, factor, _TRAINED)
    return np.asarray(rotary_frequencies(theta, head_dim, stretch)[0], dtype=np.float64)


def similarity(offsets: NDArray[np.int64], radians: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over pairs of cos(offset · frequency): the cosine similarity of a vector of equal pairs and its rotation."""
    return np.asarray(np.cos(np.outer(offsets, radians)).mean(1))


def wrapped(angle: float) -> float:
    """An angle in radians as degrees from -180 to 180."""
    return math.degrees(math.remainder(angle, 2 * math.pi))


# --- the dial ---------------------------------------------------------------------------------------------------------


def rotation_dial() -> Explorer:
    """Four pairs of features as dials: a query at position m, a key at position n, and a shift of both.

    Before rotation, query and key point to the right in every pair. The lower panel shows their similarity.
    """
    return explorer(
        _dials,
        title="Query and key on the dials of four pairs",
        size=(7.6, 5.0),
        m=Slider("query's position m", min=0, max=100, start=18),
        n=Slider("key's position n", min=0, max=100, start=6),
        shift=Slider("shift of both", min=0, max=1000, step=5),
        theta=Choice("theta", {"100": 100.0, "10,000": 10_000.0, "1,000,000": 1e6}, start=10_000.0),
    )


def _dials(figure: Figure) -> Callable[..., str]:
    grid = figure.add_gridspec(2, _DIAL_PAIRS, height_ratios=(1.25, 1))
    dials = [_Dial(figure.add_subplot(grid[0, i])) for i in range(_DIAL_PAIRS)]
    below = figure.add_subplot(grid[1, :])
    below.set(xlim=(-100, 100), ylim=(-1.05, 1.3), xlabel="offset n − m (tokens)", ylabel="similarity")
    setting = below.text(0.01, 0.97, "", transform=below.transAxes, va="top", fontsize=NOTE_SIZE)
    offsets = np.arange(-100, 101)
    (curve,) = below.plot([], [], color=PALETTE["grey"], lw=1.4)
    (dot,) = below.plot([], [], "o", color=INK, markersize=8, zorder=4)
    note = below.annotate(
        "", (0, 0), xytext=(9, 4), textcoords="offset points", weight="bold", zorder=5, bbox=LABEL_BOX
    )

    def update(m: int, n: int, shift: int, theta: float) -> str:
        radians = frequencies(theta, 2 * _DIAL_PAIRS)
        for dial, frequency in zip(dials, radians, strict=True):
            dial.show(frequency, m + shift, n + shift)
        curve.set_data(offsets, similarity(offsets, radians))
        here = float(similarity(np.array([n - m]), radians)[0])
        dot.set_data([n - m], [here])
        note.xy = (n - m, here)
        note.set_text(f"{here:.3f}")
        setting.set_text(f"query at {m + shift:,}, key at {n + shift:,}, theta {theta:,.0f}")
        return (
            f"Query at {m + shift}, key at {n + shift}, theta {theta:,.0f}: the angles between them are "
            f"{', '.join(f'{wrapped((n - m) * f):z.0f}°' for f in radians)}, the similarity {here:.3f}."
        )

    return update


class _Dial:
    """One pair: the unit circle, the query's and the key's hand, and the arc between them."""

    def __init__(self, axes: Axes) -> None:
        turn = np.linspace(0, 2 * np.pi, 100)
        axes.plot(np.cos(turn), np.sin(turn), color="#C9C7BF", lw=1)
        axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal")
        axes.set_axis_off()
        self._arc = axes.fill([0], [0], color=PALETTE["ochre"], alpha=0.2, lw=0)[0]
        style = {"lw": 2.2, "marker": "o", "markevery": [1], "markersize": 6}
        (self._query,) = axes.plot([0, 1], [0, 0], color=PALETTE["blue"], **style)  # type: ignore[arg-type]
        (self._key,) = axes.plot([0, 1], [0, 0], color=PALETTE["orange"], **style)  # type: ignore[arg-type]
        self._names = [
            axes.text(0, 0, name, color=PALETTE[colour], ha="center", va="center", weight="bold")
            for name, colour in (("q", "blue"), ("k", "orange"))
        ]
        self._title = axes.text(0, 1.75, "", ha="center", fontsize=NOTE_SIZE)
        self._angle = axes.text(0, -1.8, "", ha="center", fontsize=NOTE_SIZE)

    def show(self, frequency: float, m: int, n: int) -> None:
        hands = (
            (self._query, m, 1.2),
            (self._key, n, 1.42),
        )  # names at two radii, so that they do not overlap
        for name, (hand, position, radius) in zip(self._names, hands, strict=True):
            x, y = math.cos(position * frequency), math.sin(position * frequency)
            hand.set_data([0, x], [0, y])
            name.set_position((radius * x, radius * y))
        between = (n - m) * frequency
        start = m * frequency
        arc = np.linspace(start, start + math.remainder(between, 2 * math.pi), 40)
        self._arc.set_xy(
            np.column_stack((np.append(0.45 * np.cos(arc), 0), np.append(0.45 * np.sin(arc), 0)))
        )
        self._title.set_text(f"a turn in {2 * math.pi / frequency:,.0f} tokens")
        self._angle.set_text(f"between: {wrapped(between):z.0f}°")


# --- similarity against offset ----------------------------------------------------------------------------------------


def similarity_explorer() -> Explorer:
    """Similarity against offset, and the wavelengths behind it, for theta, head size and a stretching method.

    Grey: without stretching. Trained length: 4,096 tokens.
    """
    return explorer(
        _similarity,
        title="Similarity of a vector with itself, an offset away",
        size=(8.2, 4.4),
        theta=Slider("theta", [100, 1_000, 10_000, 100_000, 500_000, 1_000_000], start=10_000),
        head_dim=Slider("head size d", [16, 32, 64, 128, 256], start=128),
        scaling=Choice("stretched by", _SCALINGS, start="yarn"),
        factor=Slider("stretching factor", [2, 4, 8, 16], start=4),
    )


def _similarity(figure: Figure) -> Callable[..., str]:
    left, right = figure.subplots(1, 2, width_ratios=(1.55, 1))
    left.set_xscale("symlog", linthresh=1, linscale=0.35)
    left.set(xlim=(0, _LONGEST), ylim=(-0.45, 1.03), xlabel="offset (tokens)", ylabel="similarity")
    left.set_xticks([0, 1, 8, 64, 512, 4096, 32768])
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.axvline(_TRAINED, **REFERENCE)
    label_point(
        left,
        "trained\nlength",
        (_TRAINED, 1),
        (-4, 0),
        xycoords=("data", "axes fraction"),
        va="top",
        ha="right",
    )
    right.set(yscale="log", xlim=(0, 1), ylim=(4, 3e8), xlabel="pair i, as a share of d/2")
    right.set_ylabel("tokens for a full turn")
    right.axhline(_TRAINED, **REFERENCE)
    (before,) = left.plot([], [], color=PALETTE["grey"], lw=1.1, alpha=0.7)
    (after,) = left.plot([], [], color=PALETTE["blue"], lw=1.5)
    (waves_before,) = right.plot([], [], color=PALETTE["grey"], lw=1.1, alpha=0.7)
    (waves,) = right.plot([], [], ".-", color=PALETTE["blue"], lw=1.5, markersize=4)
    note = right.text(0.04, 0.97, "", transform=right.transAxes, va="top", fontsize=NOTE_SIZE)

    def update(theta: float, head_dim: int, scaling: str, factor: float) -> str:
        plain = frequencies(theta, head_dim)
        radians = frequencies(theta, head_dim, scaling, factor)
        place = np.arange(len(plain)) / len(plain)
        before.set_data(_OFFSETS, similarity(_OFFSETS, plain))
        after.set_data(_OFFSETS, similarity(_OFFSETS, radians))
        waves_before.set_data(place, 2 * np.pi / plain)
        waves.set_data(place, 2 * np.pi / radians)
        slow = int((2 * np.pi / radians > _TRAINED).sum())
        how = "not stretched" if scaling == "none" else f"{_NAMES[scaling]} x{factor}"
        left.set_title(f"theta {theta:,.0f}, d = {head_dim}, {how}")
        grey = "" if scaling == "none" else "\ngrey: not stretched"
        note.set_text(f"{slow} of {len(plain)} pairs do not complete\na turn in {_TRAINED:,} tokens{grey}")
        below = _OFFSETS[similarity(_OFFSETS, radians) < 0.5]
        return (
            f"theta {theta:,.0f}, head size {head_dim}, {how}: similarity first falls below 1/2 at offset "
            f"{below[0] if len(below) else 'none shown'}; {slow} of {len(plain)} pairs do not complete "
            f"a turn in {_TRAINED:,} tokens."
        )

    return update
