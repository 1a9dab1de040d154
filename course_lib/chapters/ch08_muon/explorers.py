"""Explorers of chapter 8: directions by layer, Newton-Schulz steps, and the path of training."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from course_lib.chapters.ch08_muon.pictures import COEFFICIENT_COLOURS, COLOURS, DIRECTIONS
from course_lib.show.controls import Choice, Slider
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, NOTE_SIZE, PALETTE, REFERENCE, spread

_MEASURES = {
    "condition number": ("condition", "log"),
    "effective rank, share of full": ("effective_rank", "linear"),
    "Frobenius norm": ("norm", "log"),
}


def direction_explorer(directions: pd.DataFrame) -> Explorer:
    """Condition number, effective rank or norm of the gradient, momentum or update of any matrix, layer by layer.

    ``directions``: from ``experiments.muon.watch_directions``. Lines are means over seeds (of the logarithm on log
    axes), with one shade per layer and both optimizers in one picture.
    """
    matrices = list(dict.fromkeys(directions["matrix"]))
    return explorer(
        lambda figure: _draw_directions(figure, directions),
        title="Directions by layer",
        size=(7.6, 3.9),
        measure=Choice("measure", list(_MEASURES)),
        direction=Choice("of the", list(DIRECTIONS), start="update"),
        matrix=Choice("matrix", matrices),
    )


def _draw_directions(figure: Figure, directions: pd.DataFrame) -> Callable[..., str]:
    axes = figure.subplots()
    layers = sorted(directions["layer"].unique())
    last = float(directions["step"].max())
    axes.set(xlabel="step", xlim=(0, last * 1.24))
    lines = {
        (name, layer): axes.plot(
            [], [], "o-", color=colour, markersize=3, alpha=1 - 0.5 * place / len(layers)
        )[0]
        for name, colour in COLOURS.items()
        for place, layer in enumerate(layers)
    }
    names = {
        (name, layer): axes.text(
            0, 0, f"{name}, layer {layer}", color=COLOURS[name], fontsize=NOTE_SIZE, va="center"
        )
        for name, layer in lines
    }

    def update(measure: str, direction: str, matrix: str) -> str:
        column, scale = _MEASURES[measure]
        rows = directions[directions["direction"] == direction]
        low, high = float(rows[column].min()), float(rows[column].max())
        axes.set(ylabel=measure, yscale=scale, ylim=(low / 3, high * 2) if scale == "log" else (0, 1.03))
        chosen = rows[rows["matrix"] == matrix]
        values = np.log(chosen[column]) if scale == "log" else chosen[column]
        means = values.groupby([chosen["optimizer"], chosen["layer"], chosen["step"]]).mean()
        ends = {}
        for (name, layer), line in lines.items():
            trace = means[name, layer]
            trace = np.exp(trace) if scale == "log" else trace
            line.set_data(trace.index, trace)
            ends[name, layer] = float(trace.iloc[-1])
        for key, place in _apart(ends, axes.get_ylim(), log=scale == "log").items():
            names[key].set_position((last * 1.02, place))
        return f"{measure} of the {direction} of {matrix}, at the end: " + ", ".join(
            f"{name} layer {layer} {value:,.3g}" for (name, layer), value in ends.items()
        )

    return update


def _apart(
    ends: Mapping[tuple[str, int], float], limits: tuple[float, float], *, log: bool
) -> dict[tuple[str, int], float]:
    """Heights of the labels at line ends, moved apart so that they do not overlap."""
    there, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    low, high = (float(there(limit)) for limit in limits)
    order = sorted(ends, key=lambda key: ends[key])
    places = spread([float(there(ends[key])) for key in order], 0.06 * (high - low))
    return {key: float(back(place)) for key, place in zip(order, places, strict=True)}


Triple = tuple[float, float, float]

Apply = Callable[[NDArray[np.float64], Sequence[Triple]], NDArray[np.float64]]

_OWN = "a, b, c as set"

_LARGEST = 1e3  # values that diverge are drawn at the edge


def stepper(
    apply: Apply, designs: Mapping[str, Sequence[Triple]], spectra: Mapping[str, NDArray[np.float64]]
) -> Explorer:
    """Step through the iteration: the composed polynomial, and the singular values of a matrix before and after.

    Args:
        apply: Maps singular values and one (a, b, c) per step to new singular values.
        designs: Coefficients by name, one triple per step, the same number for each.
        spectra: Singular values of matrices by name, in descending order, the largest at most 1.
    """
    most = min(map(len, designs.values()))
    shown = explorer(
        _Drawing(apply, designs, spectra),
        title="Newton-Schulz on singular values",
        size=(8.4, 4.2),
        steps=Slider("steps", min=0, max=most, start=min(5, most)),
        spectrum=Choice("matrix", list(spectra)),
        a=Slider("a", min=1.0, max=5.0, step=0.05, start=3.45),
        b=Slider("b", min=-6.0, max=0.0, step=0.05, start=-4.75),
        c=Slider("c", min=0.0, max=3.0, step=0.05, start=2.05),
        design=Choice("coefficients", [*designs, _OWN], start="Jordan"),
    )

    def use_own(change: Any) -> None:
        if not math.isclose(change["old"], change["new"], abs_tol=1e-6):  # the page rounds values
            shown.controls["design"].value = _OWN

    for name in "abc":  # moving a coefficient switches to the reader's own
        shown.controls[name].observe(use_own, names="value")
    return shown


class _Drawing:
    def __init__(
        self,
        apply: Apply,
        designs: Mapping[str, Sequence[Triple]],
        spectra: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self._apply, self._designs, self._spectra = apply, designs, spectra
        self._x = np.geomspace(1e-4, 1, 600)

    def __call__(self, figure: Figure) -> Callable[..., str]:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        left.set(xscale="log", xlim=(1e-4, 1), ylim=(0, 1.6), xlabel="singular value before")
        left.set(ylabel="singular value after", title="the composed polynomial")
        left.xaxis.set_major_formatter("{x:g}")
        ranks = max(map(len, self._spectra.values()))
        right.set(yscale="log", xlim=(0, ranks + 1), ylim=(1e-5, 3), xlabel="rank", ylabel="singular value")
        right.set_title("a matrix")
        right.yaxis.set_major_formatter("{x:g}")
        for axes in (left, right):
            axes.axhline(1, **REFERENCE)
        (self._curve,) = left.plot([], [], color=PALETTE["blue"], lw=1.8)
        (self._before,) = right.plot([], [], ".", color=PALETTE["grey"], markersize=5)
        (self._after,) = right.plot([], [], ".", color=PALETTE["blue"], markersize=6)
        right.text(0.04, 0.05, "before", color=PALETTE["grey"], transform=right.transAxes)
        self._after_name = right.text(0.04, 0.12, "after", transform=right.transAxes)
        self._note = left.text(0.03, 0.97, "", transform=left.transAxes, va="top", fontsize=NOTE_SIZE)
        return self._update

    def _update(self, steps: int, design: str, spectrum: str, a: float, b: float, c: float) -> str:
        triples = [(a, b, c)] * steps if design == _OWN else list(self._designs[design][:steps])
        colour = COEFFICIENT_COLOURS.get(design, PALETTE["violet"])
        before = self._spectra[spectrum]
        with np.errstate(over="ignore", invalid="ignore"):
            curve, after = (_bounded(self._apply(x, triples)) for x in (self._x, before))
        self._curve.set(data=(self._x, curve), color=colour)
        rank = np.arange(1, len(before) + 1)
        self._before.set_data(rank, before)
        self._after.set(data=(rank, after), color=colour)
        self._after_name.set_color(colour)
        condition = after.max() / max(after.min(), 1e-12)
        self._note.set_text(
            f"condition number {_short(before.max() / max(before.min(), 1e-12))} → {_short(condition)}\n"
            f"singular values {after.min():.2g} to {after.max():.2g}"
        )
        return (
            f"{design}, {steps} steps, {spectrum}: singular values from {after.min():.3g} to {after.max():.3g}, "
            f"condition number {condition:.3g}."
        )


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}"


def _bounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.clip(np.nan_to_num(np.abs(values), nan=_LARGEST, posinf=_LARGEST), 0, _LARGEST))


class Plane(Protocol):
    """The required attributes of a plane: ``grid`` (x, y, loss) and ``along`` (x, y, loss, shadow_loss)."""

    @property
    def grid(self) -> pd.DataFrame: ...  # noqa: D102

    @property
    def along(self) -> pd.DataFrame: ...  # noqa: D102

    @property
    def projection(self) -> Any: ...  # noqa: D102


def trajectory_viewer(planes: Mapping[tuple[str, str], Plane]) -> Explorer:
    """The path on a plane, with the loss as colour; and the loss on the path, compared with that at its projection.

    ``planes``: by (path, view), from ``experiments.trajectories.planes``.
    """
    paths, views = (list(dict.fromkeys(key[part] for key in planes)) for part in (0, 1))
    points = min(len(plane.along) for plane in planes.values())
    return explorer(
        lambda figure: _draw(figure, planes),
        title="The path of training on a plane",
        size=(9.0, 4.1),
        path=Choice("path", paths),
        view=Choice("plane", views),
        until=Slider("snapshots", min=1, max=points, start=points),
    )


def _draw(figure: Figure, planes: Mapping[tuple[str, str], Plane]) -> Callable[..., str]:
    losses = pd.concat([pd.concat([p.grid["loss"], p.along["loss"]]) for p in planes.values()])
    low, high = float(losses.min()), float(losses.quantile(0.98))
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    image = _loss_map(figure, left, low, high)
    drawn: list[tuple[str, str]] = []
    (line,) = left.plot([], [], "o-", color="white", markersize=4, lw=1.3, mec=INK, mew=0.6)
    left.plot([0], [0], "*", color=PALETTE["orange"], markersize=13, mec="white", mew=0.8)
    true, shadow = _loss_lines(right, planes, low)

    def show_plane(plane: Plane) -> None:
        grid = plane.grid.pivot(index="y", columns="x", values="loss")
        x, y = grid.columns.to_numpy(), grid.index.to_numpy()
        dx, dy = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
        image.set_data(grid.to_numpy())
        image.set_extent((x[0] - dx, x[-1] + dx, y[0] - dy, y[-1] + dy))
        left.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))

    def update(path: str, view: str, until: int) -> str:
        plane = planes[path, view]
        share = float(sum(plane.projection.explained))
        if drawn != [(path, view)]:  # otherwise the plane need not be repainted
            drawn[:] = [(path, view)]
            show_plane(plane)
            left.set_title(f"{path}: {share:{'.0%' if share > 0.005 else '.1g'}} of the path")
        so_far = plane.along.iloc[:until]
        line.set_data(so_far["x"], so_far["y"])
        true.set_data(so_far["snapshot"], so_far["loss"])
        shadow.set_data(so_far["snapshot"], so_far["shadow_loss"])
        last = so_far.iloc[-1]
        return (
            f"{path} on the {view} plane, which holds {share:.2g} of the path: snapshot {until - 1} has the loss "
            f"{last['loss']:.2f}, its shadow on the plane {last['shadow_loss']:.2f}."
        )

    return update


def _loss_map(figure: Figure, axes: Axes, low: float, high: float) -> AxesImage:
    """An empty map of the loss on a plane, with its colour bar."""
    image = axes.imshow([[low]], cmap="cividis_r", norm=LogNorm(low, high), origin="lower", aspect="auto")
    image.set_interpolation("bilinear")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("held-out loss (nats/byte)")
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.set_ticks(ticks := [tick for tick in (2, 2.5, 3, 4, 5, 6, 8, 12, 20) if low <= tick <= high])
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.ax.yaxis.set_ticks(ticks)
    axes.grid(visible=False)
    axes.set(xlabel="along the first axis", ylabel="along the second axis")
    axes.yaxis.set_label_coords(-0.16, 0.5)  # room for the tick labels of every plane
    return image


def _loss_lines(axes: Axes, planes: Mapping[tuple[str, str], Plane], low: float) -> tuple[Line2D, Line2D]:
    """Two empty lines for the losses by snapshot: on the path, and at its projection."""
    count = max(len(plane.along) for plane in planes.values())
    top = max(float(p.along[["loss", "shadow_loss"]].to_numpy().max()) for p in planes.values())
    axes.set(xlabel="snapshot", ylabel="held-out loss (nats/byte)", yscale="log")
    axes.set(xlim=(-0.5, count - 0.5), ylim=(low / 1.1, top * 1.1))
    axes.set_yticks([2, 3, 4, 5], ["2", "3", "4", "5"])
    axes.yaxis.set_minor_formatter(NullFormatter())
    lines = []
    for height, name, colour in (
        (0.94, "on the path", "blue"),
        (0.87, "at its shadow on the plane", "orange"),
    ):
        lines += axes.plot([], [], "o-", color=PALETTE[colour], markersize=4)
        axes.text(0.97, height, name, color=PALETTE[colour], transform=axes.transAxes, ha="right")
    return lines[0], lines[1]
