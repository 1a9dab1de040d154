"""The roofline: the speed limits of a machine by arithmetic intensity, and the measured speed of operations."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from course_lib.show.look import LABEL_BOX, PALETTE, Picture, figure, label_point, spread


def roofline(points: pd.DataFrame, limits: Mapping[str, float], *, caption: str = "") -> Picture:
    """Operations per second against arithmetic intensity (Williams, Waterman & Patterson 2009), on log axes.

    Args:
        points: Columns name, intensity (FLOP/byte) and flops_per_second.
        limits: "flops" (peak, FLOP/s) and "bytes" (bandwidth, byte/s).
        caption: Printed below the picture.
    """
    fig, axes = figure(size=(7.6, 4.2))
    peak, bandwidth = limits["flops"], limits["bytes"]
    low = min(points["intensity"].min(), peak / bandwidth) / 2.5
    high = max(points["intensity"].max(), peak / bandwidth) * 2.5
    intensity = np.geomspace(low, high, 200)
    axes.plot(intensity, np.minimum(peak, bandwidth * intensity) / 1e9, color=PALETTE["grey"])
    axes.plot(points["intensity"], points["flops_per_second"] / 1e9, "o", color=PALETTE["blue"], markersize=7)
    bottom = points["flops_per_second"].min() / 1e9 / 3
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(low, high),
        ylim=(bottom, peak / 1e9 * 2.2),
        xlabel="arithmetic intensity (FLOP/byte)",
        ylabel="speed (GFLOP/s)",
    )
    corner = peak / bandwidth
    axes.text(corner * 1.1, peak / 1e9 * 1.15, f"peak {peak / 1e9:,.0f} GFLOP/s", color=PALETTE["grey"])
    fig.draw_without_rendering()
    across, up = _direction(axes)
    slope = float(np.degrees(np.arctan2(up, across)))
    axes.text(
        corner / 2.6,
        peak / 2.6 / 1e9 * 1.2,
        f"memory {bandwidth / 1e9:,.0f} GB/s",
        rotation=slope,
        rotation_mode="anchor",
        ha="center",
        color=PALETTE["grey"],
    )
    _name_points(axes, points, peak)
    return Picture(fig, caption=caption)


def _direction(axes: Axes) -> tuple[float, float]:
    """A step along the slope of the roof, in pixels."""
    transform = axes.transData
    (x0, y0), (x1, y1) = transform.transform([(1, 1), (10, 10)])
    return x1 - x0, y1 - y0


def _name_points(axes: Axes, points: pd.DataFrame, peak: float) -> None:
    """Name points on their right, without overlaps, and points that touch the flat roof below."""
    ordered = points.sort_values("flops_per_second")
    places = [float(axes.transData.transform((1.0, speed))[1]) for speed in ordered["flops_per_second"] / 1e9]
    for (_, point), before, after in zip(ordered.iterrows(), places, spread(places, 17.0), strict=True):
        speed = point["flops_per_second"]
        below = speed > peak / 1.3
        label_point(
            axes,
            point["name"],
            (point["intensity"], speed / 1e9),
            (0, -14) if below else (9, (after - before) * 0.72),
            ha="center" if below else "left",
            va="center",
            bbox=LABEL_BOX,
        )
