"""Chapter 2: which settings train: the norm's place, the initialization's gain, the warm-up and the learning rate."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from course_lib.chapters.ch02_normalization.experiments.normalization import scaled_layers
from course_lib.diagnostics import gradient_norms
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.hooks import watch_outputs
from course_lib.lab.small_runs import (
    SmallRun,
    held_out_batch,
    linear_to_zero,
    novels_run,
    small_config,
    train_small,
)
from course_lib.loss import cross_entropy
from course_lib.model import TransformerLM

STARTS = ("none", "ramp", "half", "wait")
"""How a run starts, see :func:`start_factor`."""

EARLY = 0.1
"""The share of a run in which every update is watched."""

_PROBES = 8  # windows of held-out text
_LATER = 15  # steps between two updates that are watched after the first tenth


def start_factor(start: str, steps: int) -> Callable[[int], float]:
    """The schedule of a run, as a factor on its peak rate.

    "none": the full peak, then a line to 0. "ramp": a line up to the peak over the first half (warm-up), a line to 0
    over the second. "half": half the peak over the first half, then as "ramp". These three walk equally far. "wait": a
    rate of 0 for the first tenth, in which Adam's averages see gradients and nothing moves, then as "none".
    """
    half, waiting = steps // 2, round(EARLY * steps)
    ramp = linear_to_zero(steps, 0.5)
    if start == "ramp":
        return ramp
    if start == "half":
        return lambda step: 0.5 if step < half else ramp(step)
    if start == "wait":
        line = linear_to_zero(steps - waiting, 0.0)
        return lambda step: 0.0 if step < waiting else line(step - waiting)
    return linear_to_zero(steps, 0.0)


def map_settings(
    *,
    placement: str,
    gain: float,
    start: str,
    lr: float,
    layers: int,
    steps: int,
    outputs_only: bool = False,
    norm: str = "layernorm",
    qk_norm: bool = False,
) -> SmallRun:
    """A decoder of width 48 with a ReLU FFN that reads novels, 16 windows of 32 bytes a step, without clipping."""
    config = small_config(
        d_model=48,
        num_layers=layers,
        context_length=32,
        norm=norm,
        norm_placement=placement,
        qk_norm=qk_norm,
        activation="relu",
    )
    return novels_run(
        steps,
        lr=lr,
        batch_size=16,
        config=config,
        clip=None,
        schedule=start_factor(start, steps),
        prepare=scaled_layers(gain, outputs_only=outputs_only),
        validation_windows=512,
    )


@float32_on_cpu()
def map_run(
    *,
    seed: int,
    placement: str,
    gain: float,
    start: str,
    lr: float,
    layers: int,
    steps: int,
    gradients: float = 1.0,
    outputs_only: bool = False,
    norm: str = "layernorm",
    qk_norm: bool = False,
) -> dict[str, float]:
    """Train with the norms in one place, and watch what the updates do to the stream on held-out text.

    Args:
        seed: Of weights and batches.
        placement: Of the norms; "none" has none, not even before the head.
        gain: Factor on the initial matrices of the layers.
        start: One of :data:`STARTS`.
        lr: Peak rate.
        layers: Depth.
        steps: Number of updates.
        gradients: Factor on all gradients.
        outputs_only: Let the gain multiply only the matrices that write into the stream, as GPT-2 does.
        norm: "layernorm" or "rmsnorm".
        qk_norm: Whether queries and keys are normalized.

    Returns:
        bits: per byte, held out, at the end.
        first, largest, ever: how far one update moves the stream behind the last layer, relative to its norm, mean over
        tokens: the first update; the largest of the first tenth of the run; the largest of all that were watched.
        logits: root mean square of the first update's change of the logits.
        initial, worst, early: bits per byte on the watched text: before the first update; the highest after an update
        of the first tenth; at its end.
        reach: norm of the first layer's gradient over that of the last layer's, at the end of the first tenth.
        alike: mean cosine of two tokens behind the last layer, at the end of the first tenth.
    """
    settings = map_settings(
        placement=placement,
        gain=gain,
        start=start,
        lr=lr,
        layers=layers,
        steps=steps,
        outputs_only=outputs_only,
        norm=norm,
        qk_norm=qk_norm,
    )
    updates = _Updates(round(EARLY * steps), gradients)
    trained = train_small(replace(settings, watch=updates.watch), seed=seed)
    return {"bits": trained.bits_per_byte, **updates.result()}


@dataclass
class _Updates:
    """Watches what the updates of a run do to the stream and the loss on held-out text."""

    early: int
    gradients: float
    before: tuple[Tensor, Tensor] | None = None
    changes: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    logits: float = math.inf
    reach: float = 0.0
    alike: float = 1.0

    @torch.no_grad()
    def watch(self, step: int, model: TransformerLM) -> Mapping[str, float]:
        if self.gradients != 1.0:
            for param in model.parameters():
                if param.grad is not None:
                    param.grad.mul_(self.gradients)
        # After the first tenth a pair of neighbouring steps: the update between them is seen.
        if step <= self.early or step % _LATER < 2:
            x, y = held_out_batch(_PROBES, model.config.context_length, text="novels_en")
            with watch_outputs([model.layers[-1]]) as seen:
                logits = model(x)
            stream = seen[0]
            if self.before is not None and (step <= self.early or step % _LATER == 1):
                self._compare(stream, logits)
            self.before = (stream, logits)
            if step <= self.early:
                self.losses.append(float(cross_entropy(logits, y)) / math.log(2))
            if step == self.early:
                self._look(model, stream)
        return {}

    def _compare(self, stream: Tensor, logits: Tensor) -> None:
        assert self.before is not None
        change = (stream - self.before[0]).norm(dim=-1) / self.before[0].norm(dim=-1)
        self.changes.append(float(change.mean()))
        if len(self.changes) == 1:
            self.logits = float((logits - self.before[1]).square().mean().sqrt())

    def _look(self, model: TransformerLM, stream: Tensor) -> None:
        norms = gradient_norms(model, by="layer").dropna(subset="layer")["gradient_norm"]
        self.reach = float(norms.iloc[0] / norms.iloc[-1])
        directions = functional.normalize(stream, dim=-1)
        count = directions.shape[-2]
        cosines = (directions @ directions.mT).sum((-2, -1)) - count
        self.alike = float(cosines.mean()) / (count * (count - 1))

    def result(self) -> dict[str, float]:
        """The results of :func:`map_run`; infinite what a run that diverged never reached."""
        watched = self.changes or [math.inf]
        complete = len(self.losses) > self.early
        return {
            "first": watched[0],
            "largest": _highest(watched[: self.early]) if complete else math.inf,
            "ever": _highest(watched),
            "logits": self.logits,
            "initial": self.losses[0],
            "worst": _highest(self.losses[1:]) if complete else math.inf,
            "early": self.losses[-1] if complete else math.inf,
            "reach": self.reach,
            "alike": self.alike,
        }


def _highest(values: list[float]) -> float:
    """The largest value; infinite if one is not a number."""
    return max(values) if all(map(math.isfinite, values)) else math.inf
