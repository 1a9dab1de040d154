"""Chapter 8's trajectory viewer: the path of training on a plane, with the loss on that plane."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from course_lib.show.controls import Choice, Slider
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import PALETTE, Picture, figure


class Plane(Protocol):
    """What the viewer needs of a plane: ``grid`` (x, y, loss) and ``along`` (x, y, loss, shadow_loss)."""

    @property
    def grid(self) -> pd.DataFrame: ...  # noqa: D102

    @property
    def along(self) -> pd.DataFrame: ...  # noqa: D102

    @property
    def projection(self) -> Any: ...  # noqa: D102


def explained(results: pd.DataFrame, *, law: tuple[float, float]) -> Picture:
    """How much of each path the first two principal axes show, beside the law for a random walk.

    ``results``: columns path, first, second. ``law``: the two shares of a long random walk.
    """
    picture, axes = figure(size=(7.6, 0.9 + 0.42 * len(results)))
    places = range(len(results))
    bars = (("first", PALETTE["blue"]), ("second", PALETTE["orange"]))
    left = np.zeros(len(results))
    for column, colour in bars:
        axes.barh(places, results[column], left=left, color=colour, height=0.6)
        left = left + results[column].to_numpy()
    axes.text(0.01, 0, "first axis", color="white", va="center", fontsize=8.5)
    axes.text(float(left[0]) + 0.01, 0, "second axis", color=PALETTE["orange"], va="center", fontsize=8.5)
    for edge in np.cumsum(law):
        axes.axvline(float(edge), color="#24292F", lw=1, ls=(0, (3, 2)))
    axes.set(
        yticks=list(places),
        yticklabels=list(results["path"]),
        xlim=(0, 1.12),
        ylim=(len(results) - 0.5, -0.6),
    )
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("share of the squared distances from the end")
    axes.grid(visible=False, axis="y")
    return Picture(
        picture,
        caption="Dashed: the law for a long random walk, which learns nothing and goes nowhere in particular.",
        alt="First and second axis: "
        + ", ".join(f"{row.path} {row.first:.0%} and {row.second:.0%}" for row in results.itertuples()),
    )


def trajectory_viewer(planes: Mapping[tuple[str, str], Plane]) -> Explorer:
    """The path on its plane, with the loss as colour; and the loss on the path beside the loss at the path's shadow.

    ``planes``: by (path, view), as :func:`course_lib.lab.trajectories.planes` gives them.
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
    image = left.imshow([[low]], cmap="cividis_r", norm=LogNorm(low, high), origin="lower", aspect="auto")
    image.set_interpolation("bilinear")
    bar = figure.colorbar(image, ax=left, pad=0.02)
    bar.set_label("held-out loss (nats/byte)")
    for axis in (bar.ax.yaxis, right.yaxis):
        axis.set_minor_formatter(NullFormatter())
    bar.set_ticks(ticks := [tick for tick in (2, 2.5, 3, 4, 5, 6, 8, 12, 20) if low <= tick <= high])
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _place: f"{y:g}"))
    bar.ax.yaxis.set_ticks(ticks)
    left.grid(visible=False)
    left.set(xlabel="along the first axis", ylabel="along the second axis")
    left.yaxis.set_label_coords(-0.16, 0.5)  # room for the ticks of every plane
    drawn: list[tuple[str, str]] = []
    (line,) = left.plot([], [], "o-", color="white", markersize=4, lw=1.3, mec="#24292F", mew=0.6)
    left.plot([0], [0], "*", color=PALETTE["orange"], markersize=13, mec="white", mew=0.8)
    count = max(len(plane.along) for plane in planes.values())
    top = max(float(p.along[["loss", "shadow_loss"]].to_numpy().max()) for p in planes.values())
    right.set(xlabel="snapshot", ylabel="held-out loss (nats/byte)", yscale="log")
    right.set(xlim=(-0.5, count - 0.5), ylim=(low / 1.1, top * 1.1))
    right.set_yticks([2, 3, 4, 5], ["2", "3", "4", "5"])
    right.yaxis.set_minor_formatter(NullFormatter())
    (true,) = right.plot([], [], "o-", color=PALETTE["blue"], markersize=4)
    (shadow,) = right.plot([], [], "o-", color=PALETTE["orange"], markersize=4)
    right.text(0.97, 0.94, "on the path", color=PALETTE["blue"], transform=right.transAxes, ha="right")
    right.text(
        0.97,
        0.87,
        "at its shadow on the plane",
        color=PALETTE["orange"],
        transform=right.transAxes,
        ha="right",
    )

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
        if drawn != [(path, view)]:  # else the plane need not be painted again
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
