"""Strings of random symbols that repeat: only a model that reads one period back can continue them.

Held-out text hardly tells how far a model reads: most of its next bytes follow from the last few. Chapter 4 asks for
positions on such strings, chapter 5 for the heads that copy.
"""

import torch
from torch import Tensor
from torch.nn import functional

from course_lib.lab.small_runs import one_thread, small_config
from course_lib.model import ModelConfig, TransformerLM
from course_lib.optim import AdamW, clip_grad_norm, linear

SYMBOLS = 64
"""Size of the alphabet."""

TRAINED_LENGTH, READ_LENGTH = 64, 256

NEAR, FAR = (8, 32), (70, 100)
"""Shortest and longest period: of training, and beyond the trained length."""


def copying_config(**changes: object) -> ModelConfig:
    """The smallest model, for an alphabet of :data:`SYMBOLS` and long enough to be read at :data:`READ_LENGTH`."""
    return small_config(vocab_size=SYMBOLS, context_length=READ_LENGTH, **changes)


def repeated(
    count: int, length: int, periods: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Strings of random symbols that repeat, with periods between two bounds, both included.

    Returns ids, int64 (count, length + 1), and the period of each, (count,).
    """
    low, high = periods
    period = torch.randint(low, high + 1, (count,), generator=generator)
    symbols = torch.randint(SYMBOLS, (count, high), generator=generator)
    place = torch.arange(length + 1) % period.unsqueeze(-1)
    return symbols.gather(1, place), period


def _logits(model: TransformerLM, ids: Tensor, period: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets of the places that a reader of the whole string could know: those after the first period."""
    known = torch.arange(1, ids.shape[1]) >= period.unsqueeze(-1)
    return model(ids[:, :-1])[known], ids[:, 1:][known]


@torch.no_grad()
def accuracy(
    model: TransformerLM, length: int, periods: tuple[int, int], *, count: int = 64, seed: int = 10_000
) -> float:
    """The share of repeated symbols that the model predicts, on strings that no training run sees."""
    ids, period = repeated(count, length, periods, torch.Generator().manual_seed(seed))
    logits, targets = _logits(model, ids, period)
    return float((logits.argmax(-1) == targets).float().mean())


def train_copying(
    model: TransformerLM,
    steps: int,
    *,
    lr: float,
    seed: int,
    batch_size: int = 16,
    length: int = TRAINED_LENGTH,
    periods: tuple[int, int] = NEAR,
) -> None:
    """Train on repeated strings, on the symbols after the first period only, with a rate that falls to 0."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    with one_thread():
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = linear(step, max_lr=lr, warmup_steps=0, total_steps=steps)
            logits, targets = _logits(model, *repeated(batch_size, length, periods, generator))
            loss = functional.cross_entropy(logits, targets)
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()
