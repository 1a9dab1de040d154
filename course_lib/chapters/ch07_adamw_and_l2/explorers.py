"""The path explorer: the paths of two optimizers over the same bowl, for any hyperparameters."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure

from course_lib.show.controls import Choice, Slider
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import INK, PALETTE

_LEVELS = (0.003, 0.03, 0.1, 0.3, 0.6, 1.0)
_CIRCLE = np.linspace(0, 2 * np.pi, 120)


class Path(Protocol):
    """The required attributes of a walk: points (steps + 1, 2), gradient_norms and update_norms (steps,)."""

    points: np.ndarray
    gradient_norms: np.ndarray
    update_norms: np.ndarray


class Bowl(Protocol):
    """The required attributes of a loss: a Hessian, a minimum, and its minimum with an L2 penalty."""

    hessian: np.ndarray
    minimum: tuple[float, float]

    def minimum_with_l2(self, l2: float) -> np.ndarray:
        """The w that minimizes f(w) + l2 · |w|² / 2."""
        ...


def path_explorer(
    walk: Callable[..., Any],
    bowl: Callable[..., Any],
    optimizers: Sequence[str],
    *,
    start: tuple[str, str] = ("Adam + L2", "AdamW"),
    title: str = "Two optimizers on one bowl",
) -> Explorer:
    """Paths of two optimizers over a quadratic loss, with the norms of their gradients and updates.

    Left: lines of equal loss and both paths; a cross marks the minimum of the loss, a square the minimum of the
    loss with the L2 penalty. Right: norms of gradient and update, step by step.

    Args:
        walk: ``walk(optimizer, bowl, lr=, decay=, beta1=, beta2=, noise=) -> Path``.
        bowl: ``bowl(condition, angle) -> Bowl``.
        optimizers: Names that ``walk`` knows.
        start: The two optimizers shown first.
        title: Title of the figure.
    """

    def compute(
        first: str, second: str, condition: int, angle: int, **options: float
    ) -> tuple[Any, list[Any]]:
        loss = bowl(condition, angle)
        return loss, [walk(name, loss, **options) for name in (first, second)]

    return explorer(
        _draw,
        title=title,
        compute=compute,
        size=(7.6, 4.6),
        first=Choice("blue", list(optimizers), start=start[0]),
        second=Choice("orange", list(optimizers), start=start[1]),
        lr=Slider("learning rate", min=0.001, max=1.0, log=True, start=0.02),
        decay=Slider("decay", [0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0], start=0.3),
        beta1=Slider("beta 1 / momentum", [0.0, 0.5, 0.8, 0.9, 0.95, 0.99], start=0.9),
        beta2=Slider("beta 2", [0.5, 0.9, 0.95, 0.99, 0.999], start=0.999),
        condition=Slider("condition number", [1, 2, 5, 10, 20, 50, 100], start=20),
        angle=Slider("steep axis at", min=0, max=90, step=15, unit="°", start=0),
        noise=Slider("noise in the gradient", [0.0, 0.1, 0.3, 1.0, 3.0], start=0.0),
    )


def _draw(figure: Figure) -> Callable[..., str]:
    mosaic = figure.subplot_mosaic([["paths", "gradient"], ["paths", "update"]], width_ratios=(1.45, 1))
    paths = mosaic["paths"]
    paths.set(xlim=(-0.75, 2.25), ylim=(-0.75, 2.25), xlabel="$w_1$", ylabel="$w_2$", aspect="equal")
    paths.axhline(0, color=PALETTE["grey"], linewidth=0.6)
    paths.axvline(0, color=PALETTE["grey"], linewidth=0.6)
    ellipses = [paths.plot([], [], color=PALETTE["grey"], linewidth=0.7, alpha=0.7)[0] for _ in _LEVELS]
    (cross,) = paths.plot([], [], "x", color=INK, markersize=9, markeredgewidth=2, zorder=5)
    (square,) = paths.plot([], [], "s", color=INK, markersize=8, fillstyle="none", zorder=5)
    for name, label in (("gradient", "|gradient|"), ("update", "|update|")):
        mosaic[name].set(xlim=(1, 400), xscale="log", yscale="log", ylim=(1e-5, 100), ylabel=label)
    mosaic["update"].set_xlabel("step")
    colours = (PALETTE["blue"], PALETTE["orange"])
    lines = [
        {
            "path": paths.plot([], [], "o-", markersize=2.2, linewidth=1.1, color=colour)[0],
            "end": paths.plot([], [], "o", markersize=8, color=colour, zorder=4)[0],
            "gradient": mosaic["gradient"].plot([], [], color=colour, linewidth=1.2)[0],
            "update": mosaic["update"].plot([], [], color=colour, linewidth=1.2)[0],
        }
        for colour in colours
    ]

    def update(result: tuple[Bowl, list[Path]], first: str, second: str, decay: float, **_: Any) -> str:
        bowl, walks = result
        for ellipse, level in zip(ellipses, _LEVELS, strict=True):
            ellipse.set_data(*_ellipse(bowl, level))
        cross.set_data([bowl.minimum[0]], [bowl.minimum[1]])
        with_l2 = bowl.minimum_with_l2(decay)
        square.set_data([with_l2[0]], [with_l2[1]])
        sentences = []
        for name, walk, parts in zip((first, second), walks, lines, strict=True):
            steps = np.arange(1, len(walk.points))
            parts["path"].set_data(*walk.points.T)
            parts["end"].set_data(*walk.points[-1:].T)
            parts["gradient"].set_data(steps, np.maximum(walk.gradient_norms, 1e-12))
            parts["update"].set_data(steps, np.maximum(walk.update_norms, 1e-12))
            sentences.append(f"{name} ends at ({walk.points[-1][0]:.2f}, {walk.points[-1][1]:.2f})")
        return f"{'; '.join(sentences)}; with L2 the minimum is at ({with_l2[0]:.2f}, {with_l2[1]:.2f})."

    return update


def _ellipse(bowl: Bowl, level: float) -> np.ndarray:
    """The points where the loss is ``level``, (2, n)."""
    values, vectors = np.linalg.eigh(bowl.hessian)
    circle = np.sqrt(2 * level / values)[:, None] * np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)])
    return np.asarray(np.asarray(bowl.minimum)[:, None] + vectors @ circle)
