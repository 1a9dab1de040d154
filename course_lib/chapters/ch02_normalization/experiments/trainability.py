"""Chapter 2: which settings train: the norm's place, the initialization's gain, the warm-up and the learning rate.

Declared here; the experiments become part of the chapter with their points.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from course_lib.chapters.ch02_normalization.experiments.normalization import scaled_layers
from course_lib.lab.hooks import watch_outputs
from course_lib.lab.reference_runs import Experiment, Value, product
from course_lib.lab.small_runs import held_out_batch, linear_to_zero, novels_run, small_config, train_small
from course_lib.model import TransformerLM

_FOLDER = Path(__file__).parents[1] / "reference"

STARTS = ("none", "ramp", "half")
"""Over the first half of a run: the full peak; a ramp up to it; half the peak, which walks as far as the ramp."""

EARLY = 0.1
"""The share of a run in which the stream's changes are watched."""

_PROBES = 8  # windows of held-out text


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
) -> dict[str, float]:
    """A decoder with LayerNorm and a ReLU FFN, without clipping; after the start, the rate falls along a line to 0.

    Args:
        seed: Of weights and batches.
        placement: Of the norms; "none" has none, not even before the head.
        gain: Factor on the initial matrices of the layers.
        start: One of :data:`STARTS`.
        lr: Peak.
        layers: Depth.
        steps: Number of updates.
        gradients: Factor on all gradients.
        outputs_only: Let the gain multiply only the matrices that write into the stream, as GPT-2 does.

    Returns:
        bits (per byte, held out); first and largest: how far one update moves the stream behind the last layer,
        relative to its norm, mean over tokens of held-out text: by the first update, and at most in the first tenth of
        the run.
    """
    changes = _Changes(round(EARLY * steps), gradients)
    settings = novels_run(
        steps,
        lr=lr,
        batch_size=16,
        config=small_config(
            d_model=48,
            num_layers=layers,
            context_length=32,
            norm="layernorm",
            norm_placement=placement,
            activation="relu",
        ),
        clip=None,
        schedule=start_factor(start, steps),
        prepare=scaled_layers(gain, outputs_only=outputs_only),
        watch=changes.watch,
    )
    trained = train_small(settings, seed=seed)
    return {"bits": trained.bits_per_byte, "first": changes.found[0], "largest": max(changes.found)}


def start_factor(start: str, steps: int) -> Callable[[int], float]:
    """The schedule of a run as a factor on the peak."""
    half = steps // 2
    ramp = linear_to_zero(steps, 0.5)
    if start == "none":
        return linear_to_zero(steps, 0.0)
    return ramp if start == "ramp" else lambda step: 0.5 if step < half else ramp(step)


@dataclass
class _Changes:
    """How far each update moves the stream."""

    steps: int
    gradients: float
    before: Tensor | None = None
    found: list[float] = field(default_factory=list)

    @torch.no_grad()
    def watch(self, step: int, model: TransformerLM) -> Mapping[str, float]:
        if self.gradients != 1.0:
            for param in model.parameters():
                if param.grad is not None:
                    param.grad.mul_(self.gradients)
        if step <= self.steps:
            x, _ = held_out_batch(_PROBES, model.config.context_length, text="novels_en")
            with watch_outputs([model.layers[-1]]) as seen:
                model(x)
            if self.before is not None:
                change = (seen[0] - self.before).norm(dim=-1) / self.before.norm(dim=-1)
                self.found.append(float(change.mean()))
            self.before = seen[0]
        return {}


_SEEDS = (0, 1, 2, 3)
_RATES = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032]

MAP = Experiment(
    chapter=2,
    name="map",
    question="Which gains of the initialization and which rates are usable, by the norm's place and with a warm-up?",
    run=map_run,
    grid=product(
        placement=["none", "post", "pre", "double", "deepnorm"],
        gain=[0.25, 0.5, 1.0],
        start=["none", "ramp"],
        lr=_RATES,
    ),
    seeds=_SEEDS,
    scientific=["placement", "gain", "start"],
    nuisance=["lr"],
    fixed={"layers": 6, "steps": 300},
    folder=_FOLDER,
    seconds=8,
    large={"layers": 12, "steps": 1200},
    large_seconds=60,
)

DEEPER = Experiment(
    chapter=2,
    name="deeper",
    question="How does the map change in a network three times as deep?",
    run=map_run,
    grid=product(
        placement=["none", "post", "pre", "deepnorm"], gain=[0.25, 1.0], start=["none", "ramp"], lr=_RATES
    ),
    seeds=_SEEDS,
    scientific=["placement", "gain", "start"],
    nuisance=["lr"],
    fixed={"layers": 18, "steps": 300},
    folder=_FOLDER,
    seconds=21,
    large={"layers": 36, "steps": 1200},
    large_seconds=170,
)

_COMMON: dict[str, Sequence[Value]] = {
    "gain": [1.0],
    "outputs_only": [False],
    "gradients": [1.0],
    "lr": _RATES,
}

CAUSES = Experiment(
    chapter=2,
    name="causes",
    question="Does the size of the gradients matter, the distance walked, or only what writes into the stream?",
    run=map_run,
    grid=[
        *product(**_COMMON | {"placement": ["post", "pre"], "start": ["none"], "gradients": [0.01, 100.0]}),
        *product(**_COMMON | {"placement": ["post", "pre"], "start": ["half"]}),
        *product(
            **_COMMON
            # GPT-2's factor for six layers of two sublayers.
            | {
                "placement": ["none", "post", "pre"],
                "start": ["none"],
                "gain": [12**-0.5],
                "outputs_only": [True],
            }
        ),
    ],
    seeds=_SEEDS,
    scientific=["placement", "gain", "start", "gradients", "outputs_only"],
    nuisance=["lr"],
    fixed={"layers": 6, "steps": 300},
    folder=_FOLDER,
    seconds=8,
)

LONGER = Experiment(
    chapter=2,
    name="longer",
    question="Which differences of the map are left in runs four times as long?",
    run=map_run,
    grid=product(
        placement=["post", "pre"], gain=[0.25, 1.0], start=["none", "ramp"], lr=[0.001, 0.002, 0.004, 0.008]
    ),
    seeds=_SEEDS,
    scientific=["placement", "gain", "start"],
    nuisance=["lr"],
    fixed={"layers": 6, "steps": 1200},
    folder=_FOLDER,
    seconds=32,
)
