"""What a reader of chapter 6 might write."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
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
Files = Sequence[tuple[float, int, int]]

# --- a model that knows nothing ---------------------------------------------------------------------------------------


def ignorance_by_torch(vocab_size: int, tokens: int, size: int) -> torch.Tensor:
    loss = torch.nn.functional.cross_entropy(torch.zeros(tokens, vocab_size), torch.zeros(tokens).long())
    return loss / math.log(2) * tokens / size


def ignorance_token_by_token(vocab_size: int, tokens: int, size: int) -> float:
    bits = 0.0
    for _ in range(tokens):
        bits -= math.log(1 / vocab_size, 2)
    return bits / size


def ignorance_by_numpy(vocab_size: int, tokens: int, size: int) -> np.float64:
    return np.log2(np.full(tokens, vocab_size)).sum() / size


def ignorance_in_nats(vocab_size: int, tokens: int, size: int) -> float:
    return -math.log(1 / vocab_size) * (tokens / size)


def ignorance_in_digits(vocab_size: int, tokens: int, size: int) -> float:
    return np.log10(vocab_size) * tokens / size


def ignorance_negative(vocab_size: int, tokens: int, size: int) -> float:
    return tokens * math.log2(1 / vocab_size) / size


def ignorance_of_a_token(vocab_size: int, tokens: int, size: int) -> float:
    return math.log2(vocab_size)


def ignorance_of_the_text(vocab_size: int, tokens: int, size: int) -> float:
    return tokens * math.log2(vocab_size)


def ignorance_upside_down(vocab_size: int, tokens: int, size: int) -> float:
    return math.log2(vocab_size) / (tokens / size)


def ignorance_whole(vocab_size: int, tokens: int, size: int) -> float:
    return math.log2(vocab_size) * tokens // size


def ignorance_of_an_id(vocab_size: int, tokens: int, size: int) -> float:
    return (vocab_size - 1).bit_length() * tokens / size


def ignorance_in_whole_bits(vocab_size: int, tokens: int, size: int) -> float:
    return int(math.log2(vocab_size)) * tokens / size


def ignorance_is_eight_bits(vocab_size: int, tokens: int, size: int) -> float:
    return 8.0


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


# --- several files ----------------------------------------------------------------------------------------------------


def pooled_in_a_loop(files: Files) -> float:
    bits, length = 0.0, 0
    for loss, tokens, size in files:
        bits += loss * tokens * math.log2(math.e)
        length += size
    return bits / length


def pooled_by_numpy(files: Files) -> np.float64:
    loss, tokens, size = np.array(files).T
    return (loss @ tokens) / np.log(2) / size.sum()


def pooled_in_float32(files: Files) -> torch.Tensor:
    table = torch.tensor(files)
    return (table[:, 0] * table[:, 1]).sum() / table[:, 2].sum() / 0.6931472


def pooled_mean_by_bytes(files: Files) -> float:
    return float(
        np.average(
            [loss * tokens / max(size, 1) / np.log(2) for loss, tokens, size in files],
            weights=[size for *_, size in files],
        )
    )


def pooled_exactly(files: Files) -> Fraction:
    nats = sum(Fraction(loss) * tokens for loss, tokens, _ in files)
    return nats / Fraction(math.log(2)) / sum(size for *_, size in files)


def pooled_nats(files: Files) -> float:
    return sum(loss * tokens for loss, tokens, _ in files) / sum(size for *_, size in files)


def pooled_wrong_factor(files: Files) -> float:
    return pooled_nats(files) * math.log(2)


def pooled_mean_of_files(files: Files) -> float:
    return sum(loss * tokens / size / math.log(2) for loss, tokens, size in files) / len(files)


def pooled_mean_of_full_files(files: Files) -> float:
    return float(np.mean([loss * tokens / size / math.log(2) for loss, tokens, size in files if size > 0]))


def pooled_mean_loss(files: Files) -> float:
    loss, tokens, size = np.array(files).T
    return loss.mean() * tokens.sum() / size.sum() / np.log(2)


def pooled_by_tokens(files: Files) -> float:
    ratios = [loss * tokens / max(size, 1) / math.log(2) for loss, tokens, size in files]
    return float(np.average(ratios, weights=[tokens for _, tokens, _ in files]))


def pooled_per_token(files: Files) -> float:
    return sum(a * b for a, b, _ in files) / sum(b for _, b, _ in files) / math.log(2)


def pooled_without_tokens(files: Files) -> float:
    return sum(loss for loss, *_ in files) / math.log(2) / sum(size for *_, size in files)


ANSWERS = {
    "loss-ignorance": Answers(
        right=(ignorance_by_torch, ignorance_token_by_token, ignorance_by_numpy),
        wrong=(
            (ignorance_in_nats, "These are nats"),
            (ignorance_in_digits, "This logarithm has base 10"),
            (ignorance_negative, "The sign is turned"),
            (ignorance_of_a_token, "This is the price of a token."),
            (ignorance_of_the_text, "These are the bits of the whole text"),
            (ignorance_upside_down, "This multiplies by bytes per token"),
            (ignorance_whole, "// rounds down"),
            (ignorance_of_an_id, "This rounds the bits of a token up"),
            (ignorance_in_whole_bits, "This rounds the bits of a token down"),
            (ignorance_is_eight_bits, "A token costs log2(65,536) = 16 bits and stands for four bytes."),
        ),
    ),
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
            (stream_takes_the_largest, "This is the largest chunk's"),
            (stream_largest_logit, "This is the largest logit."),
            (stream_twice, "These chunks come from an iterator, and only once."),
            (stream_by_index, "These chunks come from an iterator, and only once."),
            (stream_shifted_by_the_first, "A later chunk holds the maximum: rescale the sum."),
        ),
    ),
    "loss-pooled": Answers(
        right=(pooled_in_a_loop, pooled_by_numpy, pooled_in_float32, pooled_mean_by_bytes, pooled_exactly),
        wrong=(
            (pooled_nats, "These are nats per byte."),
            (pooled_wrong_factor, "One nat is 1 / log(2) = 1.44 bits"),
            (pooled_mean_of_files, "This is the mean of the files' figures"),
            (pooled_mean_of_full_files, "This is the mean of the files' figures"),
            (pooled_mean_loss, "The losses were averaged as if every file had as many tokens."),
            (pooled_by_tokens, "A file's bits per byte are weighed by its tokens here."),
            (pooled_per_token, "These are bits per token"),
            (pooled_without_tokens, "10 tokens of one bit each, over 20 bytes."),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
