"""Interactive figures of chapter 12: live training, and one change to the run from a menu."""

import math
import textwrap
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure

from course_lib.diagnostics import gradient_norms
from course_lib.show.blit import BlitFigure
from course_lib.show.cells import close_widgets, close_with_cell
from course_lib.show.controls import Choice, Slider
from course_lib.show.interactive import Explorer, PictureWidget, explorer
from course_lib.show.look import CSS_PIXELS_PER_INCH, PALETTE, image_bundle, label_point
from course_lib.train import TrainConfig, TrainState

_SIZE = (7.6, 4.6)

_SECONDS_BETWEEN_FRAMES = 1.0

_WINDOW = 20  # the training curve is a mean over this many steps

_LETTERS = 104  # per line of a sample

_NORMS = (1e-3, 1e1)

_HEAD = ("ln_final.weight", "lm_head.weight")


class LiveTraining:
    """A picture of a training run while it runs: a callback for ``train``, shown by a ``with`` block.

        with LiveTraining(config, bytes_per_token, baselines) as live:
            train(config, callbacks=[live])

    Left: bits per byte of the training batches (mean over 20 steps) and of the held-out text, with the ``baselines``
    as lines. Right: the gradient norm of each layer. Below: the newest sample. At the end of the block, the last
    frame becomes the picture shown on pages without a kernel.

    Args:
        config: The config of the run.
        bytes_per_token: Of the training text, to convert nats per token to bits per byte.
        baselines: Columns name, bits_per_byte.
    """

    def __init__(self, config: TrainConfig, bytes_per_token: float, baselines: pd.DataFrame) -> None:
        self._config, self._baselines = config, baselines
        self._bits = 1 / (math.log(2) * bytes_per_token)  # one nat per token in bits per byte
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self.training: list[tuple[int, float]] = []
        """(tokens seen, bits per byte) of the training batches."""
        self.held_out: list[tuple[int, float]] = []
        """(tokens seen, bits per byte) of the held-out text."""
        self.norms: dict[str, list[tuple[int, float]]] = {}
        """(tokens seen, gradient norm) by the name of the layer."""
        self.frames = 0
        self._every = max(1, config.steps // 250)
        self._drawn = 0.0
        self._sample = "(no sample yet)"
        self._blit = BlitFigure(self._draw, _SIZE)
        width, height = (f"{round(side * CSS_PIXELS_PER_INCH)}" for side in _SIZE)
        self._image = PictureWidget(format="png", width=width, height=height)
        self._image.add_class("course-picture")
        self._handle: DisplayHandle | None = None
        self._closed = False
        close_with_cell(self.close)
        self._redraw()

    def __enter__(self) -> Self:
        self._handle = display(self, display_id=True)  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._redraw()
        if self._handle is not None:
            self._handle.update(self)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Free the picture and keep the measurements; a cell that runs again closes the picture it made."""
        if not self._closed:
            self._closed = True
            close_widgets(self._image)
            self._blit.close()

    def __call__(self, state: TrainState) -> None:
        """Record the measurements of one update, and redraw once per second."""
        tokens = state.step * self._config.batch_size * self._config.sequence_length
        self._recent.append(state.loss)
        self.training.append((tokens, float(np.mean(self._recent)) * self._bits))
        if "valid_bits_per_byte" in state.record:
            self.held_out.append((tokens, state.record["valid_bits_per_byte"]))
        self._sample = state.record.get("sample", self._sample)
        if state.step % self._every == 0:
            for name, norm in _norms_by_layer(state).items():
                self.norms.setdefault(name, []).append((tokens, norm))
        if time.monotonic() - self._drawn > _SECONDS_BETWEEN_FRAMES:
            self._redraw()

    @property
    def alt(self) -> str:
        """A description of the current picture."""
        if not self.training:
            return "A training run that has not begun."
        held_out = f", {self.held_out[-1][1]:.3f} on held-out text" if self.held_out else ""
        return (
            f"After {self.training[-1][0]:,} tokens: {self.training[-1][1]:.3f} bits per byte in training{held_out}. "
            f"Newest sample: {self._sample}"
        )

    def _redraw(self) -> None:
        if self._closed:
            return
        self._blit.update()
        with self._image.hold_sync():
            self._image.value = self._blit.png()
            self._image.tooltip = self.alt
        self._drawn = time.monotonic()
        self.frames += 1

    def _draw(self, picture: Figure) -> Callable[[], None]:
        grid = picture.add_gridspec(2, 2, height_ratios=(5, 1))
        loss, norms = (picture.add_subplot(grid[0, column]) for column in (0, 1))
        text = picture.add_subplot(grid[1, :])
        self._draw_loss(loss)
        last = self._config.steps * self._config.batch_size * self._config.sequence_length
        for axes in (loss, norms):
            axes.set(xlim=(0, last / 1e3), xlabel="tokens seen (thousands)")
        norms.set(yscale="log", ylim=_NORMS, ylabel="gradient norm of the layer")
        colours = list(PALETTE.values())
        names = ["embeddings", *(f"layer {i}" for i in range(self._config.model.num_layers)), "head"]
        lines = {
            name: norms.plot([], [], color=colours[i % len(colours)], lw=1.2, label=name)[0]
            for i, name in enumerate(names)
        }
        norms.legend(loc="upper right", ncols=2)
        (training,) = loss.plot([], [], color=PALETTE["blue"], lw=1)
        (held_out,) = loss.plot([], [], "o-", color=PALETTE["orange"], markersize=4, lw=1.4, clip_on=False)
        held_out.set_in_layout(
            False
        )  # unclipped and empty, it would extend the layout to the corner of the figure
        text.set_axis_off()
        sample = text.text(0, 1, "", va="top", fontsize=9, linespacing=1.5, transform=text.transAxes)

        def update() -> None:
            for line, points in [(training, self.training), (held_out, self.held_out)]:
                _set(line, points)
            for name, line in lines.items():
                _set(line, self.norms.get(name, []))
            sample.set_text("\n".join(textwrap.wrap(self._sample, _LETTERS)[:3]))

        return update

    def _draw_loss(self, axes: Any) -> None:
        axes.set(yscale="log", ylim=(0.35, 4), ylabel="bits per byte")
        axes.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
        axes.minorticks_off()
        for name, bits in self._baselines[["name", "bits_per_byte"]].itertuples(index=False):
            axes.axhline(bits, color=PALETTE["grey"], lw=0.8, ls=":")
            label_point(
                axes,
                name,
                (1, bits),
                (-3, 1),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8,
                color=PALETTE["grey"],
            )
        for x, name, colour in ((0.02, "training", "blue"), (0.25, "held-out", "orange")):
            axes.text(x, 0.03, name, transform=axes.transAxes, color=PALETTE[colour], fontsize=9)

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = image_bundle(
            bytes(self._image.value), _SIZE, alt=self.alt, text=f"[live figure] {self.alt}"
        )
        view = {"version_major": 2, "version_minor": 0, "model_id": self._image.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, **data}, metadata


def _set(line: Any, points: list[tuple[int, float]]) -> None:
    xy = np.asarray(points, dtype=float).reshape(-1, 2)
    line.set_data(xy[:, 0] / 1e3, xy[:, 1])


def _norms_by_layer(state: TrainState) -> dict[str, float]:
    """Gradient norms, before clipping, of the embeddings, each layer, and the head (with the gain of the last norm)."""
    frame = gradient_norms(state.model, by="layer")
    outside = np.where(frame["name"].isin(_HEAD), "head", "embeddings")
    names = frame["name"].where(frame["layer"].notna(), outside)
    squares = frame["gradient_norm"].pow(2).groupby(names).sum()
    before_clipping = state.gradient_norm / float(squares.sum() ** 0.5)
    return {str(name): float(norm) for name, norm in (before_clipping * squares**0.5).items()}


def ablation_explorer(
    stored: pd.DataFrame, measure: Callable[..., pd.DataFrame], *, baseline: str, start: str
) -> Explorer:
    """Choose one change from the menu: its run is made, and drawn beside the stored runs.

    Args:
        stored: Columns change, seed, bits_per_byte; some seeds of every change, including the ``baseline``.
        measure: ``measure(change, (seed,))`` makes the run, once the controls rest, and returns such a row.
        baseline: The name of the run in which nothing is changed.
        start: The initial choice.
    """
    order = stored.groupby("change")["bits_per_byte"].mean().sort_values()
    seeds = sorted(stored["seed"].unique().tolist())

    def compute(change: str, seed: int) -> float:
        return float(measure(change, (seed,))["bits_per_byte"].iloc[0])

    return explorer(
        _Ablations(stored, order, baseline),
        title="One change to the run",
        compute=compute,
        size=(7.8, 4.2),
        change=Choice("change", list(order.index), start=start),
        seed=Slider("seed", seeds),
    )


class _Ablations:
    """One row per change: open dots for stored runs, a filled dot for the reader's, a line for the baseline's mean."""

    def __init__(self, stored: pd.DataFrame, means: "pd.Series[float]", baseline: str) -> None:
        self._stored, self._means, self._baseline = stored, means, baseline

    def __call__(self, picture: Figure) -> Callable[..., str]:
        axes = picture.subplots()
        places = {change: place for place, change in enumerate(self._means.index)}
        rows = self._stored["change"].map(places)
        values = self._stored["bits_per_byte"]
        axes.plot(values, rows, "o", mfc="none", color=PALETTE["grey"], markersize=6)
        axes.plot(self._means, list(places.values()), "|", color=PALETTE["grey"], markersize=14)
        axes.axvline(self._means[self._baseline], color=PALETTE["grey"], lw=0.8, ls=":")
        margin = 0.08 * (values.max() - values.min())
        axes.set(
            xlim=(values.min() - margin, values.max() + margin),
            ylim=(len(places) - 0.4, -0.6),
            xlabel="bits per byte of held-out text",
        )
        axes.set_yticks(list(places.values()), list(places))
        axes.tick_params(axis="y", length=0)
        (dot,) = axes.plot([], [], "o", color=PALETTE["orange"], markersize=9)
        note = axes.set_title("", loc="left")

        def update(bits: float, change: str, seed: int) -> str:
            dot.set_data([bits], [places[change]])
            difference = bits - self._means[self._baseline]
            note.set_text(f"{change}: {bits:.3f} ({difference:+.3f})")
            return (
                f"{change}, seed {seed}: {bits:.3f} bits per byte, {difference:+.3f} relative to the mean "
                f"of the stored runs with no change; the stored runs of this change have {self._means[change]:.3f}."
            )

        return update
