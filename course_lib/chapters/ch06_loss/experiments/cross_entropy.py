"""Chapter 6: the same loss by several formulas, in several number formats and units, and with less memory."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from course_lib.data import stories
from course_lib.diagnostics import memory_timeline
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.measure import take_turns
from course_lib.lab.small_runs import one_thread
from course_lib.loss import bits_per_byte, cross_entropy, linear_cross_entropy, logsumexp, perplexity
from course_lib.tokenizer import Tokenizer, shrink, train_bpe

FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""The number formats that models are trained in, by name."""

# --- formulas in number formats ---------------------------------------------------------------------------------------


def naive(logits: Tensor, targets: Tensor) -> Tensor:
    """-log(exp(x_target) / sum(exp(x))), as the definition reads: (..., V), (...) → (...)."""
    exponentials = logits.exp()
    probability = exponentials.gather(-1, targets.unsqueeze(-1)) / exponentials.sum(-1, keepdim=True)
    return -probability.squeeze(-1).log()


def log_of_softmax(logits: Tensor, targets: Tensor) -> Tensor:
    """-log(softmax(x)_target): the maximum is subtracted, but a probability is formed before its logarithm is taken."""
    return -logits.softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1).log()


def log_sum_exp(logits: Tensor, targets: Tensor) -> Tensor:
    """logsumexp(x) - x_target with the maximum subtracted from both: no probability, no large number."""
    shifted = logits - logits.amax(-1, keepdim=True)
    return logsumexp(shifted, -1) - shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "naive": naive,
    "log of softmax": log_of_softmax,
    "log-sum-exp": log_sum_exp,
}
"""Three ways to write one loss; each operation's result is rounded to the logits' number format."""


def formats() -> pd.DataFrame:
    """The ranges and steps of the number formats.

    Columns: format, largest, exp overflows at (log of the largest), smallest (positive, denormal), exp is 0 below (its
    logarithm), step at 1 and at 256 (distance to the next number).
    """
    rows = []
    for name, dtype in FORMATS.items():
        info = torch.finfo(dtype)
        smallest = info.smallest_normal * info.eps
        limits = (info.max, np.log(info.max), smallest, np.log(smallest))
        rows.append((name, *limits, info.eps, 256 * info.eps))
    limit_columns = ["largest", "exp overflows at", "smallest", "exp is 0 below"]
    columns = ["format", *limit_columns, "step at 1", "step at 256"]
    return pd.DataFrame(rows, columns=columns)


@float32_on_cpu()
def in_formats(rows: Sequence[Sequence[float]] | NDArray[np.float64], target: int) -> pd.DataFrame:
    """The loss of each row of logits (N, V) by every formula in every format.

    Columns: formula, format, row, loss, exact (log-sum-exp in float64 on unrounded logits).
    """
    logits = torch.as_tensor(np.asarray(rows, dtype=np.float64))
    targets = torch.full((len(logits),), target)
    exact = log_sum_exp(logits, targets).numpy()
    with one_thread():
        parts = [
            pd.DataFrame(
                {
                    "formula": formula,
                    "format": name,
                    "row": np.arange(len(logits)),
                    "loss": function(logits.to(dtype), targets).double().numpy(),
                    "exact": exact,
                }
            )
            for formula, function in FORMULAS.items()
            for name, dtype in FORMATS.items()
        ]
    return pd.concat(parts, ignore_index=True)


def over_gap(gaps: Sequence[float]) -> pd.DataFrame:
    """A target whose logit is ``gap`` below the only other one: the loss is log(1 + exp(gap)), nearly the gap itself.

    Columns as :func:`in_formats` gives them, with gap for row.
    """
    results = in_formats([[0.0, gap] for gap in gaps], target=0)
    return results.assign(gap=np.asarray(gaps, dtype=float)[results["row"]]).drop(columns="row")


@float32_on_cpu()
def after_rounding(logits: Tensor, targets: Tensor, offsets: Sequence[float]) -> pd.DataFrame:
    """The excess loss when all logits (N, V) drift by an offset and are stored in a format; the loss is in float32.

    Columns: format, offset, excess (mean loss in nats minus that of the original logits).
    """
    rows = []
    with one_thread():
        exact = cross_entropy(logits.double(), targets).item()
        for name, dtype in FORMATS.items():
            for offset in offsets:
                stored = (logits.double() + offset).to(dtype).float()
                rows.append((name, offset, cross_entropy(stored, targets).item() - exact))
    return pd.DataFrame(rows, columns=["format", "offset", "excess"])


# --- units ------------------------------------------------------------------------------------------------------------


def units(
    vocab_sizes: Sequence[int], *, seeds: Sequence[int] = (0, 1, 2), num_bytes: int = 600_000
) -> pd.DataFrame:
    """The same kind of model on the same text, tokenized with vocabularies of several sizes.

    The model is a bigram with Witten-Bell smoothing, counted on ``num_bytes`` of generated stories and tested on
    others.

    Columns: vocab_size, seed, tokens, bytes, nats per token, perplexity, bits per byte.
    """
    rows = []
    jobs = [(seed, size) for seed in seeds for size in vocab_sizes]
    largest: dict[int, Tokenizer] = {}
    for seed, size in progress(jobs, description="counting pairs"):
        documents = list(stories(num_bytes, seed=seed))
        if seed not in largest:
            largest[seed] = train_bpe(documents, max(vocab_sizes))
        tokenizer = shrink(largest[seed], size)
        held_out = "\n\n".join(stories(num_bytes // 6, seed=10_000 + seed))
        ids = tokenizer.encode_to_numpy(held_out).astype(np.int64)
        loss = bigram_loss(tokenizer.encode_to_numpy("\n\n".join(documents)).astype(np.int64), ids, size)
        # The first token is given, not predicted, so its bytes do not count.
        size_bytes = len(held_out.encode()) - len(tokenizer.vocab[int(ids[0])])
        tokens = len(ids) - 1
        in_bits = bits_per_byte(loss, tokens, size_bytes)
        rows.append((size, seed, tokens, size_bytes, loss, perplexity(loss), in_bits))
    columns = ["vocab_size", "seed", "tokens", "bytes", "nats per token", "perplexity", "bits per byte"]
    return pd.DataFrame(rows, columns=columns)


def bigram_loss(train: NDArray[np.int64], test: NDArray[np.int64], vocab_size: int) -> float:
    """Mean of -log P(token | token before) over ``test``, in nats, for counts from ``train``.

    Witten & Bell 1991, method C, as interpolation: P(b | a) = (count(a, b) + kinds(a) · P(b)) / (count(a) + kinds(a)),
    with kinds(a) the number of different tokens seen after a, and P(b) = (count(b) + 1) / (all + V).
    """
    pairs, counts = np.unique(train[:-1] * vocab_size + train[1:], return_counts=True)
    first = pairs // vocab_size
    kinds = np.bincount(first, minlength=vocab_size)
    followed = np.bincount(first, weights=counts, minlength=vocab_size)
    single = (np.bincount(train, minlength=vocab_size) + 1) / (len(train) + vocab_size)
    wanted = test[:-1] * vocab_size + test[1:]
    place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    together = np.where(pairs[place] == wanted, counts[place], 0)
    before, after = test[:-1], test[1:]
    total = followed[before] + kinds[before]
    # After a token that was never followed by anything, only P(b) is left.
    probability = np.where(
        total > 0, (together + kinds[before] * single[after]) / np.maximum(total, 1), single[after]
    )
    return float(-np.log(probability).mean())


# --- memory -----------------------------------------------------------------------------------------------------------

HEAD_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "all logits": lambda hidden, weight, targets: cross_entropy(hidden @ weight.T, targets),
    "chunked loss": lambda hidden, weight, targets: cross_entropy(hidden @ weight.T, targets, chunk_size=64),
    "chunked head and loss": lambda hidden, weight, targets: linear_cross_entropy(
        hidden, weight, targets, chunk_size=64
    ),
}
"""From hidden states (N, D) and output head (V, D) to the loss, by how much is in memory at once."""


@float32_on_cpu()
def head_memory(
    vocab_sizes: Sequence[int], *, tokens: int = 384, d_model: int = 96, repeats: int = 3
) -> pd.DataFrame:
    """Forward and backward pass of output head and loss with each of ``HEAD_LOSSES``.

    Columns: method, vocab_size, loss, peak_bytes (most that torch held beyond its inputs), cpu_seconds (least of
    ``repeats`` turns), gradient_difference (largest difference from the gradients of "all logits", over the
    largest gradient).
    """
    generator = torch.Generator().manual_seed(0)
    rows = []
    with one_thread():
        for size in progress(vocab_sizes, description="head and loss"):
            hidden = torch.randn(tokens, d_model, generator=generator).requires_grad_()
            weight = (torch.randn(size, d_model, generator=generator) / d_model**0.5).requires_grad_()
            targets = torch.randint(size, (tokens,), generator=generator)
            steps = {
                method: partial(_head_step, function, hidden, weight, targets)
                for method, function in HEAD_LOSSES.items()
            }
            peaks = {method: int(memory_timeline(step)["bytes"].max()) for method, step in steps.items()}
            seconds = take_turns(steps, repeats)
            _, reference = steps["all logits"]()
            for method, step in steps.items():
                loss, gradients = step()
                difference = max(
                    float((a - b).abs().max() / b.abs().max())
                    for a, b in zip(gradients, reference, strict=True)
                )
                rows.append((method, size, loss, peaks[method], min(seconds[method]), difference))
    columns = ["method", "vocab_size", "loss", "peak_bytes", "cpu_seconds", "gradient_difference"]
    return pd.DataFrame(rows, columns=columns)


def _head_step(
    function: Callable[[Tensor, Tensor, Tensor], Tensor], hidden: Tensor, weight: Tensor, targets: Tensor
) -> tuple[float, tuple[Tensor, ...]]:
    """Loss, and the gradients of ``hidden`` and ``weight``."""
    loss = function(hidden, weight, targets)
    return loss.item(), torch.autograd.grad(loss, (hidden, weight))
