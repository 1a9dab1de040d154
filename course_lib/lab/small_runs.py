"""Small language models for the chapters' experiments: one training loop, tidy curves.

A small run reads a text byte by byte (V = 256), so that it needs no tokenizer and losses are in nats per byte, or in
tokens of a vocabulary trained on that text. It trains on one thread, which is the fastest for models of this size, and
takes about 10 ms of CPU time per step with the default shape. ``train_small`` makes one run, ``compare`` many, with the
same data order for the same seed. ``novels_run`` is where experiments on real text start from.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.optim import Optimizer

from course_lib.data import get_batch
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.run_texts import BYTES, RunText, run_text
from course_lib.loss import cross_entropy
from course_lib.model import ModelConfig, TransformerLM
from course_lib.optim import AdamW, clip_grad_norm, linear

Labels = Mapping[str, Any]
Watch = Callable[[int, TransformerLM], Mapping[str, float]]
MakeOptimizers = Callable[[TransformerLM], Sequence[Optimizer]]

_EVALUATED_AT_ONCE = 64  # windows


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread inside the block: a second one does not help with small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def story_bytes() -> Tensor:
    """The generated stories that small runs train on by default: byte values, int64 (1,000,000,)."""
    return run_text().training


def held_out_bytes() -> Tensor:
    """Generated stories that no run trains on: byte values, int64 (100,000,)."""
    return run_text().held_out


def held_out_batch(
    windows: int, context_length: int, *, text: str | RunText = "stories_en", vocab_size: int = BYTES
) -> tuple[Tensor, Tensor]:
    """Inputs and targets (``windows``, ``context_length``) from a text's held-out part, the same ones in every call."""
    generator = torch.Generator().manual_seed(0)
    return get_batch(_ids(text, vocab_size).held_out, windows, context_length, generator=generator)


def _ids(text: str | RunText, vocab_size: int) -> RunText:
    return run_text(text, vocab_size) if isinstance(text, str) else text


def small_config(**changes: Any) -> ModelConfig:
    """The course's smallest language model, about 0.1 M parameters, with ``changes`` to any field.

    Bytes (V = 256), T = 64, D = 64, two layers of four heads; otherwise the defaults of :class:`ModelConfig`.
    """
    shape = {"vocab_size": BYTES, "context_length": 64, "d_model": 64, "num_layers": 2, "num_heads": 4}
    return ModelConfig(**(shape | changes))


def constant_after(warmup_steps: int = 0) -> Callable[[int], float]:
    """A factor for the learning rate: (step + 1) / warmup_steps during warm-up, then 1."""
    return lambda step: min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


@dataclass(frozen=True, kw_only=True)
class SmallRun:
    """All settings of a small run except its seed; :func:`dataclasses.replace` makes variants.

    Args:
        config: The model.
        steps: Number of updates.
        batch_size: Sequences of ``config.context_length`` bytes per step.
        lr: Peak learning rate of the default optimizer.
        schedule: Factor for the learning rate(s) of each step, from 0; with the course's schedules, use ``max_lr=1``.
            Default: constant.
        betas: Betas of the default optimizer.
        weight_decay: Weight decay of the default optimizer.
        clip: Largest gradient norm, or None.
        z_loss: Weight of the z-loss that training adds to the cross-entropy; the curve's loss does not include it.
        make_optimizers: Makes the optimizer(s) of a model, instead of one AdamW over all parameters.
        prepare: Changes the new model before training, for example its initialization.
        watch: Called as ``watch(step, model)`` between backward and update; the numbers it returns become
            columns of the curve.
        watch_every: Steps between two calls of ``watch``.
        text: What is read, by its name: see :func:`~course_lib.lab.run_texts.run_text`. ``config.vocab_size`` says
            how: 256 for bytes, else tokens of a BPE. Or ids of any other kind.
        validation_windows: Held-out windows that the validation loss is the mean of.
    """

    config: ModelConfig = dataclasses.field(default_factory=small_config)
    steps: int = 200
    batch_size: int = 8
    lr: float = 0.01
    schedule: Callable[[int], float] = dataclasses.field(default_factory=constant_after)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    clip: float | None = None
    z_loss: float = 0.0
    make_optimizers: MakeOptimizers | None = None
    prepare: Callable[[TransformerLM], None] | None = None
    watch: Watch | None = None
    watch_every: int = 1
    text: str | RunText = "stories_en"
    validation_windows: int = 64

    @property
    def ids(self) -> RunText:
        """The ids that the run reads and is judged on."""
        return _ids(self.text, self.config.vocab_size)

    def optimizers(self, model: TransformerLM) -> Sequence[Optimizer]:
        """New optimizers for ``model``."""
        if self.make_optimizers is not None:
            return self.make_optimizers(model)
        return [AdamW(model.parameters(), self.lr, self.betas, weight_decay=self.weight_decay)]


def linear_to_zero(steps: int, warmup: float = 0.05) -> Callable[[int], float]:
    """A factor for the learning rate: a line up to 1 for a share ``warmup`` of the run, then one down to 0 at its end.

    No step has a rate of 0.
    """
    shape = {"max_lr": 1.0, "min_lr": 0.0, "warmup_steps": round(warmup * steps), "total_steps": steps + 1}
    return lambda step: linear(step + 1, **shape)  # type: ignore[arg-type]


def novels_run(steps: int = 600, **changes: Any) -> SmallRun:
    """The default run on real text, where every chapter's experiments start from; ``changes`` to any field.

    The smallest model reads Austen's novels in 600 batches of 8 x 64 bytes (8 % of the text), with AdamW(0.9, 0.95), a
    peak rate of 0.008, weight decay 0.1 and gradients clipped at 1. It takes 8 s of one core and ends at 2.48 bits per
    byte on held-out chapters, below the trigram's 2.70; the loss is measured on 800 windows (51 kB).
    """
    default = SmallRun(
        steps=steps,
        lr=0.008,
        weight_decay=0.1,
        clip=1.0,
        schedule=linear_to_zero(steps),
        text="novels_en",
        validation_windows=800,
    )
    return dataclasses.replace(default, **changes)


def novels_tokens_run(steps: int = 1200, **changes: Any) -> SmallRun:
    """The default run on real text in tokens: :func:`novels_run` with a vocabulary of 4,096, and ``changes``.

    The novels are read 1.3 times, in batches of 16 x 64 tokens, at a peak rate of 0.024. It takes 80 to 100 s of one
    core and ends at 1.581 bits per byte (four seeds: 1.580 to 1.582), below the bigram's 1.628; the trigram reaches
    1.526. The valley is flat: 1.607 at a peak of 0.006, 1.588 at 0.012, 1.582 at 0.048 (one seed each).
    """
    config = small_config(vocab_size=4_096)
    return novels_run(steps, **({"config": config, "batch_size": 16, "lr": 0.024} | changes))


@dataclass(frozen=True)
class Trained:
    """A finished run.

    ``curve``: one row per step with the columns step, loss (training, nats per token) and the columns from ``watch``.
    ``validation_loss``: nats per token of held-out text. ``bits_per_byte``: the same loss, comparable between
    vocabularies. ``cpu_seconds``: training and validation together.
    """

    model: TransformerLM
    curve: pd.DataFrame
    validation_loss: float
    bits_per_byte: float
    cpu_seconds: float


@float32_on_cpu()
def new_model(settings: SmallRun, seed: int) -> TransformerLM:
    """The model of a run before its first step; the seed determines its weights."""
    torch.manual_seed(seed)
    model = TransformerLM(settings.config)
    if settings.prepare is not None:
        settings.prepare(model)
    return model


@float32_on_cpu()
def train_small(settings: SmallRun, *, seed: int, model: TransformerLM | None = None) -> Trained:
    """Train a new model, or ``model`` further (in place, with a new optimizer), for ``settings.steps``.

    The seed determines weights and batches. The run ends when the loss is no longer finite; the rest of its curve and
    its validation loss are then infinite.
    """
    started = time.process_time()
    with one_thread():
        if model is None:
            model = new_model(settings, seed)
        curve = _train(model.train(), settings, seed)
        model.eval()
        diverged = not np.isfinite(curve["loss"].iloc[-1])
        loss = np.inf if diverged else held_out_loss(model, settings)
    bits = settings.ids.bits_per_byte(loss)
    return Trained(model, curve, loss, bits, time.process_time() - started)


def _train(model: TransformerLM, settings: SmallRun, seed: int) -> pd.DataFrame:
    tokens = settings.ids.training
    generator = torch.Generator().manual_seed(seed)
    optimizers = settings.optimizers(model)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    peaks = [group["lr"] for group in groups]
    rows: list[dict[str, float]] = []
    for step in range(settings.steps):
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * settings.schedule(step)
        x, y = get_batch(tokens, settings.batch_size, settings.config.context_length, generator=generator)
        logits = model(x)
        loss = cross_entropy(logits, y)
        rows.append({"step": step, "loss": loss.item()})
        if not np.isfinite(rows[-1]["loss"]):
            rows += [{"step": later, "loss": np.inf} for later in range(step + 1, settings.steps)]
            break
        if settings.z_loss:
            loss = cross_entropy(logits, y, z_loss=settings.z_loss)
        model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.watch is not None and step % settings.watch_every == 0:
            rows[-1].update(settings.watch(step, model))
        if settings.clip is not None:
            clip_grad_norm(model.parameters(), settings.clip)
        for optimizer in optimizers:
            optimizer.step()
    return pd.DataFrame(rows).fillna({"loss": np.inf})


def held_out_loss(model: TransformerLM, settings: SmallRun) -> float:
    """The validation loss of a run's model, in nats per token; also at a moment of the run, from its ``watch``."""
    return validation_loss(model, windows=settings.validation_windows, text=settings.text)


@float32_on_cpu()
@torch.no_grad()
def validation_loss(
    model: TransformerLM,
    *,
    context_length: int | None = None,
    windows: int = 64,
    text: str | RunText = "stories_en",
) -> float:
    """Mean loss in nats per token over ``windows`` windows of a text's held-out part, the same for every model.

    ``context_length``: tokens per window, by default the model's context length.
    """
    length = model.config.context_length if context_length is None else context_length
    inputs, targets = held_out_batch(windows, length, text=text, vocab_size=model.config.vocab_size)
    was_training = model.training
    model.eval()
    with one_thread():
        starts = range(0, windows, _EVALUATED_AT_ONCE)
        parts = [slice(start, start + _EVALUATED_AT_ONCE) for start in starts]
        total = sum(
            len(inputs[part]) * cross_entropy(model(inputs[part]), targets[part]).item() for part in parts
        )
    model.train(was_training)
    return total / windows


@dataclass(frozen=True)
class Comparison:
    """The runs of :func:`compare`, with one column per label.

    ``curves``: labels, seed, step, loss and the watched numbers. ``finals``: labels, seed, loss (mean training loss of
    the last tenth of the steps), validation_loss, bits_per_byte, cpu_seconds. ``models``: the trained models, in the
    order of ``finals``.
    """

    curves: pd.DataFrame
    finals: pd.DataFrame
    models: list[TransformerLM]


def compare(
    cases: Iterable[tuple[Labels, SmallRun]], seeds: Sequence[int], *, description: str = "training"
) -> Comparison:
    """Train every case with every seed.

    Args:
        cases: Pairs of labels, such as ``{"placement": "pre", "warmup": 0}``, and settings.
        seeds: Seeds of weights and batches.
        description: Label of the progress bar.
    """
    curves, finals, models = [], [], []
    jobs = [(labels, settings, seed) for labels, settings in cases for seed in seeds]
    for labels, settings, seed in progress(jobs, description=description, unit="run"):
        trained = train_small(settings, seed=seed)
        models.append(trained.model)
        marked = {**labels, "seed": seed}
        curves.append(trained.curve.assign(**marked)[[*marked, *trained.curve.columns]])
        loss = trained.curve["loss"].tail(max(1, settings.steps // 10)).mean()
        finals.append(
            marked
            | {
                "loss": loss,
                "validation_loss": trained.validation_loss,
                "bits_per_byte": trained.bits_per_byte,
                "cpu_seconds": trained.cpu_seconds,
            }
        )
    return Comparison(pd.concat(curves, ignore_index=True), pd.DataFrame(finals), models)
