"""Right and wrong answers to chapter 6's exercises on softmax, its logarithm and its gradient."""

import itertools
import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch

from tests.exercises.answers import Answers, run_tables

# In a notebook NumPy warns of an overflow and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

Logits = Sequence[float]
Chunks = Any  # an iterable of lists

# --- log-softmax ------------------------------------------------------------------------------------------------------


def log_softmax_by_torch(logits: Logits) -> torch.Tensor:
    return torch.tensor(logits).log_softmax(-1)


def log_softmax_by_numpy(logits: Logits) -> np.ndarray:
    x = np.array(logits) - max(logits)
    return x - np.log(np.exp(x).sum())


def log_softmax_two_at_a_time(logits: Logits) -> list[float]:
    log_z = np.logaddexp.reduce(logits)
    return [x - log_z for x in logits]


def log_softmax_recursive(logits: Logits) -> tuple[float, ...]:
    def log_sum(x: Logits) -> float:
        if len(x) == 1:
            return x[0]
        low, high = sorted((x[0], log_sum(x[1:])))
        return high + math.log1p(math.exp(low - high))

    return tuple(x - log_sum(logits) for x in logits)


def log_of_softmax(logits: Logits) -> list[float]:
    exps = [math.exp(x) for x in logits]
    return [math.log(x / sum(exps)) for x in exps]


def log_of_softmax_by_numpy(logits: Logits) -> np.ndarray:
    return np.log(np.exp(logits) / np.exp(logits).sum())


def minus_log_of_sum(logits: Logits) -> list[float]:
    return [x - math.log(sum(map(math.exp, logits))) for x in logits]


def minus_log_of_sum_by_numpy(logits: Logits) -> np.ndarray:
    return np.array(logits) - np.log(np.sum(np.exp(np.array(logits))))


def log_of_shifted_softmax(logits: Logits) -> list[float]:
    exps = [math.exp(x - max(logits)) for x in logits]
    return [math.log(x / sum(exps)) for x in exps]


def log_of_torch_softmax(logits: Logits) -> torch.Tensor:
    return torch.log(torch.softmax(torch.tensor(logits), dim=0))


def shifted_once(logits: Logits) -> np.ndarray:
    return np.array(logits) - np.log(np.exp(np.array(logits) - max(logits)).sum())


def log_z_of_float32(logits: Logits) -> torch.Tensor:
    x = torch.tensor(logits)
    return x - (x.max() + torch.log(torch.exp(x - x.max()).sum()))


def log2_softmax(logits: Logits) -> torch.Tensor:
    return torch.tensor(logits).log_softmax(0) / math.log(2)


def losses(logits: Logits) -> list[float]:
    return [max(logits) + math.log(sum(math.exp(x - max(logits)) for x in logits)) - x for x in logits]


def only_softmax(logits: Logits) -> np.ndarray:
    exps = np.exp(np.array(logits) - np.max(logits))
    return exps / exps.sum()


def clamped(logits: Logits) -> torch.Tensor:
    return torch.log(torch.tensor(logits).softmax(0) + 1e-9)


def shifted_by_the_mean(logits: Logits) -> list[float]:
    mean = sum(logits) / len(logits)
    log_sum = math.log(sum(math.exp(x - mean) for x in logits))
    return [x - mean - log_sum for x in logits]


# --- the gradient -----------------------------------------------------------------------------------------------------


def gradient_by_autograd(logits: Logits, target: int) -> torch.Tensor | None:
    x = torch.tensor(logits, requires_grad=True)
    (-x.log_softmax(0)[target]).backward()
    return x.grad


def gradient_by_numpy(logits: Logits, target: int) -> np.ndarray:
    exps = np.exp(np.array(logits) - np.max(logits))
    return exps / exps.sum() - np.eye(len(logits))[target]


def gradient_by_differences(logits: Logits, target: int) -> list[float]:
    def loss(x: Logits) -> float:
        return np.logaddexp.reduce(x) - x[target]

    return [
        (
            loss([x + 1e-4 * (i == j) for j, x in enumerate(logits)])
            - loss([x - 1e-4 * (i == j) for j, x in enumerate(logits)])
        )
        / 2e-4
        for i in range(len(logits))
    ]


def gradient_in_place(logits: Logits, target: int) -> torch.Tensor:
    p = torch.softmax(torch.tensor(logits), 0)
    p[target] -= 1
    return p


def gradient_downhill(logits: Logits, target: int) -> np.ndarray:
    return -gradient_by_numpy(logits, target)


def gradient_is_softmax(logits: Logits, target: int) -> np.ndarray:
    return only_softmax(logits)


def gradient_of_target_only(logits: Logits, target: int) -> list[float]:
    return [p - 1 if i == target else 0 for i, p in enumerate(only_softmax(logits))]


def gradient_of_probability(logits: Logits, target: int) -> torch.Tensor:
    x = torch.tensor(logits, requires_grad=True)
    return torch.autograd.grad(-x.softmax(0)[target], x)[0]


def gradient_by_probability(logits: Logits, target: int) -> list[float]:
    p = only_softmax(logits)
    return [-1 / p[i] if i == target and p[i] > 0 else 0.0 for i in range(len(p))]


def gradient_minus_one(logits: Logits, target: int) -> np.ndarray:
    return only_softmax(logits) - 1


def gradient_averaged(logits: Logits, target: int) -> np.ndarray:
    return gradient_by_numpy(logits, target) / len(logits)


def gradient_overflows(logits: Logits, target: int) -> list[float]:
    exps = [math.exp(x) for x in logits]
    return [x / sum(exps) - (i == target) for i, x in enumerate(exps)]


def gradient_overflows_in_numpy(logits: Logits, target: int) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum() - np.eye(len(logits))[target]


# --- log Z in one pass ------------------------------------------------------------------------------------------------


def stream_by_logaddexp(chunks: Chunks) -> Any:
    log_z = -np.inf
    for chunk in chunks:
        log_z = np.logaddexp(log_z, np.logaddexp.reduce(chunk))
    return log_z


def stream_by_torch(chunks: Chunks) -> torch.Tensor:
    logs = [torch.tensor(chunk).logsumexp(0) for chunk in chunks]
    return torch.stack(logs).logsumexp(0)


def stream_logit_by_logit(chunks: Chunks) -> float:
    largest, total = -math.inf, 0.0
    for x in itertools.chain.from_iterable(chunks):
        if x > largest:
            largest, total = x, total * math.exp(largest - x) + 1
        elif x > -math.inf:
            total += math.exp(x - largest)
    return math.log(total) + largest


def stream_reduced(chunks: Chunks) -> float:
    def add(a: float, b: float) -> float:
        return b if a == -math.inf else max(a, b) + math.log1p(math.exp(-abs(a - b)))

    return reduce(add, (x for chunk in chunks for x in chunk))


def _stream(chunks: Chunks, first: float = -math.inf) -> tuple[float, float]:
    largest, total = first, 0.0
    for chunk in chunks:
        new = max(largest, *chunk)
        total = total * np.exp(largest - new) + sum(np.exp(x - new) for x in chunk)
        largest = new
    return largest, total


def stream_of_masks_is_nan(chunks: Chunks) -> float:
    largest, total = _stream(chunks)
    return largest + np.log(total)


def stream_from_zero(chunks: Chunks) -> float:
    largest, total = _stream(chunks, first=0.0)
    return largest + math.log(total)


def stream_not_rescaled(chunks: Chunks) -> float:
    largest, total = -math.inf, 0.0
    for chunk in chunks:
        largest = max(largest, max(chunk))
        if largest > -math.inf:
            total += sum(math.exp(x - largest) for x in chunk)
    return largest + math.log(total)


def stream_rescaled_upwards(chunks: Chunks) -> float:
    largest, total = -math.inf, 0.0
    for chunk in chunks:
        new = max(largest, *chunk)
        if new == -math.inf:
            continue
        total = total * math.exp(new - largest) + sum(math.exp(x - new) for x in chunk)
        largest = new
    return largest + math.log(total)


def stream_not_shifted_back(chunks: Chunks) -> float:
    chunks = [[x for x in chunk if x > -math.inf] for chunk in chunks]
    return math.log(_stream([chunk for chunk in chunks if chunk])[1])


def stream_overflows(chunks: Chunks) -> float:
    total = 0.0
    for chunk in chunks:
        total += sum(math.exp(x) for x in chunk)
    return math.log(total)


def stream_overflows_in_numpy(chunks: Chunks) -> float:
    return np.log(sum(np.exp(chunk).sum() for chunk in chunks))


def stream_adds_logs(chunks: Chunks) -> float:
    return sum(np.logaddexp.reduce(chunk) for chunk in chunks)


def stream_takes_the_largest(chunks: Chunks) -> float:
    return max(np.logaddexp.reduce(chunk) for chunk in chunks)


def stream_largest_logit(chunks: Chunks) -> float:
    return max(max(chunk) for chunk in chunks)


def stream_twice(chunks: Chunks) -> float:
    largest = max(max(chunk) for chunk in chunks)
    return largest + math.log(sum(math.exp(x - largest) for chunk in chunks for x in chunk))


def stream_by_index(chunks: Chunks) -> float:
    return float(np.logaddexp.reduce([x for i in range(len(chunks)) for x in chunks[i]]))


def stream_shifted_by_the_first(chunks: Chunks) -> float:
    first, total = None, 0.0
    for chunk in chunks:
        first = max(chunk) if first is None else first
        total += sum(math.exp(x - first) for x in chunk)
    return (first or 0.0) + math.log(total)


ANSWERS = {
    "loss-log-softmax": Answers(
        right=(log_softmax_by_torch, log_softmax_by_numpy, log_softmax_two_at_a_time, log_softmax_recursive),
        wrong=(
            (log_of_softmax, "The formula is right and the numbers are not"),
            (log_of_softmax_by_numpy, "The formula is right and the numbers are not"),
            (minus_log_of_sum, "The formula is right and the numbers are not"),
            (minus_log_of_sum_by_numpy, "The formula is right and the numbers are not"),
            (
                log_of_shifted_softmax,
                "The maximum is subtracted, but the logarithm is taken of a probability",
            ),
            (log_of_torch_softmax, "The maximum is subtracted, but the logarithm is taken of a probability"),
            (shifted_once, "The sum was taken of shifted logits"),
            (log_z_of_float32, "This is right, but computed in float32"),
            (log2_softmax, "These are bits"),
            (losses, "The sign is turned"),
            (only_softmax, "These are the probabilities"),
            (clamped, "exp(-800) is 0 in a float, yet its logarithm is just -800"),
            (shifted_by_the_mean, "Logits may be far apart. Only the largest of them"),
        ),
    ),
    "loss-gradient": Answers(
        right=(gradient_by_autograd, gradient_by_numpy, gradient_by_differences, gradient_in_place),
        wrong=(
            (gradient_downhill, "The sign is turned"),
            (gradient_is_softmax, "These are the probabilities."),
            (gradient_of_target_only, "Every logit has a gradient"),
            (gradient_of_probability, "This is the gradient of minus the probability."),
            (gradient_by_probability, "This is the derivative with respect to the probability."),
            (gradient_minus_one, "1 is subtracted from every entry."),
            (gradient_averaged, "This is divided by the number of logits."),
            (gradient_overflows, "exp(800) is too large for a float"),
            (gradient_overflows_in_numpy, "exp(800) is too large for a float"),
        ),
    ),
    "loss-streaming-log-z": Answers(
        right=(stream_by_logaddexp, stream_by_torch, stream_logit_by_logit, stream_reduced),
        wrong=(
            (stream_of_masks_is_nan, "So far every token was masked"),
            (stream_from_zero, "All logits are far below 0: start with no maximum."),
            (stream_not_rescaled, "When the maximum changes, the sum so far is relative to the old one"),
            (stream_rescaled_upwards, "The sum so far is rescaled the wrong way"),
            (stream_not_shifted_back, "This is the logarithm of the shifted sum"),
            (stream_overflows, "Without a maximum subtracted, exp overflows"),
            (stream_overflows_in_numpy, "Without a maximum subtracted, exp overflows"),
            (stream_adds_logs, "The logarithms of the chunks' sums do not add up"),
            (stream_takes_the_largest, "This is log Z of the largest chunk alone"),
            (stream_largest_logit, "This is the largest logit."),
            (stream_twice, "These chunks come from an iterator, and only once."),
            (stream_by_index, "These chunks come from an iterator, and only once."),
            (stream_shifted_by_the_first, "A later chunk holds the maximum: rescale the sum."),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
