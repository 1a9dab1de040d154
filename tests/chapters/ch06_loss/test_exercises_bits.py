"""Right and wrong answers to chapter 6's exercises on bits per byte."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.exercises.answers import Answers, run_tables

# In a notebook NumPy warns of an overflow and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

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
