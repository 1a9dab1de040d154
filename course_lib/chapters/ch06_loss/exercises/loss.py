"""The exercises of chapter 6, Loss. Results are worked out by hand or come from torch."""

import math
from collections.abc import Iterator, Sequence

import torch

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.chapters.ch06_loss.exercises.log_sum_exp import LOG_SOFTMAX, STREAM, softmax

# --- a model that knows nothing ---------------------------------------------------------------------------------------


def _ignorance_cases() -> Iterator[Case]:
    # A choice among 2^k tokens costs k bits; by hand.
    yield Case((256, 1000, 1000), 8.0, "One byte of 256 equally likely ones costs 8 bits.")
    yield Case((65_536, 1000, 4000), 4.0, "A token costs log2(65,536) = 16 bits and stands for four bytes.")
    yield Case((1024, 30, 100), 3.0, "30 tokens of 10 bits each are 300 bits, over 100 bytes.")
    yield Case((2, 7, 7), 1.0, "A coin is one bit.")
    for vocab_size, tokens, size in ((50_257, 1000, 4300), (151_643, 777, 3001)):
        with torch.device("cpu"):
            logits = torch.zeros(1, vocab_size, dtype=torch.float64)
            nats = torch.nn.functional.cross_entropy(logits, torch.tensor([0]))
        yield Case(
            (vocab_size, tokens, size),
            float(nats) / math.log(2) * tokens / size,
            "A vocabulary is seldom a power of two: neither its logarithm nor the result is a whole number.",
        )


IGNORANCE = Exercise(
    id="loss-ignorance",
    chapter=6,
    cases=_ignorance_cases,
    hint="Every token has probability 1/V. Its loss is minus the logarithm of that, in base 2 for bits. All tokens "
    "together cost tokens times that; share it among the bytes.",
    mistakes=(
        Mistake(
            lambda vocab_size, tokens, size: math.log(vocab_size) * tokens / size,
            "These are nats: the natural logarithm. One nat is 1.44 bits.",
        ),
        Mistake(
            lambda vocab_size, tokens, size: math.log10(vocab_size) * tokens / size,
            "This logarithm has base 10 and counts digits. Bits have base 2: log2.",
        ),
        Mistake(
            lambda vocab_size, tokens, size: math.log2(1 / vocab_size) * tokens / size,
            "The sign is turned: the logarithm of 1/V is negative, and a loss is minus it.",
        ),
        Mistake(
            lambda vocab_size, tokens, size: math.log2(vocab_size),
            "This is the price of a token. A token stands for size / tokens bytes.",
        ),
        Mistake(
            lambda vocab_size, tokens, size: math.log2(vocab_size) * tokens,
            "These are the bits of the whole text: divide by its bytes.",
        ),
        Mistake(
            lambda vocab_size, tokens, size: math.log2(vocab_size) * size / tokens,
            "This multiplies by bytes per token; the price of a token is shared among its bytes: divide.",
        ),
        Mistake(
            lambda vocab_size, tokens, size: math.log2(vocab_size) * tokens // size,
            "// rounds down to a whole number: divide with /.",
        ),
        Mistake(
            lambda vocab_size, tokens, size: math.ceil(math.log2(vocab_size)) * tokens / size,
            "This rounds the bits of a token up, as for an id in a file. A loss is not a number of binary digits: it "
            "need not be whole.",
        ),
        Mistake(
            lambda vocab_size, tokens, size: (vocab_size.bit_length() - 1) * tokens / size,
            "This rounds the bits of a token down. A loss is not a number of binary digits: it need not be whole.",
        ),
    ),
)

# --- the gradient -----------------------------------------------------------------------------------------------------


def _gradient_cases() -> Iterator[Case]:
    yield Case(([0.0, 0.0], 0), [-0.5, 0.5], "softmax is (1/2, 1/2); the target's entry is 1/2 - 1.")
    yield Case(([0.0, 0.0, 0.0, 0.0], 3), [0.25, 0.25, 0.25, -0.75], "The entries add up to 0.")
    for logits, target in (([2.0, -1.0, 0.5], 1), ([1.0, 2.0, 3.0, 4.0], 0), ([-1.5, 0.25], 1)):
        yield Case((logits, target), _by_autograd(logits, target), "Autograd gives another gradient.")
    for logits, gradient in (([800.0, 0.0], [1.0, -1.0]), ([-900.0, -900.0], [0.5, -0.5])):
        yield Case(
            (logits, 1),
            gradient,
            "exp(800) is too large for a float, exp(-900) is 0: subtract the maximum first.",
        )


def _by_autograd(logits: Sequence[float], target: int) -> list[float]:
    with torch.device("cpu"):
        x = torch.tensor([logits], dtype=torch.float64, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(x, torch.tensor([target]))
        return [float(value) for value in torch.autograd.grad(loss, x)[0][0]]


def _target_only(logits: Sequence[float], target: int) -> list[float]:
    return [p - 1 if i == target else 0.0 for i, p in enumerate(softmax(logits))]


def _through_probability(logits: Sequence[float], target: int) -> list[float]:
    # The derivative of the probability itself, without the logarithm.
    p = softmax(logits)
    return [p[target] * (p[i] - (i == target)) for i in range(len(p))]


def _by_probability(logits: Sequence[float], target: int) -> list[float]:
    p = softmax(logits)
    return [-1 / p[i] if i == target and p[i] else 0.0 for i in range(len(p))]


GRADIENT = Exercise(
    id="loss-gradient",
    chapter=6,
    cases=_gradient_cases,
    hint="The loss is log(sum of exp(x_j)) - x_target. Differentiate each part by x_i: the first gives softmax(x)_i, "
    "the second 1 for the target and 0 for the others.",
    mistakes=(
        Mistake(
            lambda logits, target: [-g for g in _by_autograd(logits, target)],
            "The sign is turned: this is the direction in which the loss falls. The gradient of the target's logit is "
            "negative.",
        ),
        Mistake(
            lambda logits, target: softmax(logits),
            "These are the probabilities. The loss also holds - x_target, whose derivative is -1 for the target.",
        ),
        Mistake(
            _target_only,
            "Every logit has a gradient, since every logit is in the sum: what the target gains, the others lose.",
        ),
        Mistake(
            _through_probability,
            "This is the gradient of minus the probability. The loss is minus its logarithm: divide by it.",
        ),
        Mistake(
            _by_probability,
            "This is the derivative with respect to the probability. Continue through softmax, to the logits.",
        ),
        Mistake(
            lambda logits, target: [p - 1 for p in softmax(logits)],
            "1 is subtracted from every entry. Only the target's logit has a separate term in the loss.",
        ),
        Mistake(
            lambda logits, target: [g / len(logits) for g in _by_autograd(logits, target)],
            "This is divided by the number of logits. The loss of one row is not a mean over its logits.",
        ),
    ),
)

# --- several files ----------------------------------------------------------------------------------------------------


def _pooled_cases() -> Iterator[Case]:
    # (nats per token, tokens, bytes); ln 2 nats are one bit, so these are bits by hand.
    one_bit = math.log(2)
    yield Case(([(one_bit, 10, 20)],), 0.5, "10 tokens of one bit each, over 20 bytes.")
    yield Case(
        ([(one_bit, 100, 100), (3 * one_bit, 100, 300)],),
        1.0,
        "100 + 300 bits over 400 bytes, not a mean of 1 and 1.",
    )
    yield Case(
        ([(one_bit, 1000, 1000), (8 * one_bit, 10, 10)],),
        1080 / 1010,
        "A short file counts for little: 1,080 bits, 1,010 bytes.",
    )
    yield Case(([(2 * one_bit, 300, 400), (4 * one_bit, 100, 600)],), 1.0, "600 + 400 bits over 1,000 bytes.")
    yield Case(
        ([(3.25, 1234, 5678), (2.5, 18, 60), (4.0, 3, 12)],),
        4067.5 / one_bit / 5750,
        "4,010.5 + 45 + 12 nats, over 5,750 bytes.",
    )
    yield Case(([(2.0, 7, 9), (1.0, 0, 0)],), 14 / one_bit / 9, "An empty file adds nothing.")


def _mean_of_ratios(files: Sequence[tuple[float, int, int]]) -> float:
    ratios = [loss * tokens / (size * math.log(2)) for loss, tokens, size in files if size]
    return sum(ratios) / len(ratios)


def _mean_of_all_ratios(files: Sequence[tuple[float, int, int]]) -> float:
    return sum(loss * tokens / (size * math.log(2)) for loss, tokens, size in files) / len(files)


def _weighed_by_tokens(files: Sequence[tuple[float, int, int]]) -> float:
    bits = sum(loss * tokens / (size * math.log(2)) * tokens for loss, tokens, size in files if size)
    return bits / sum(tokens for _, tokens, _ in files)


def _mean_loss_first(files: Sequence[tuple[float, int, int]]) -> float:
    loss = sum(loss for loss, _, _ in files) / len(files)
    return loss * sum(tokens for _, tokens, _ in files) / sum(size for _, _, size in files) / math.log(2)


def _pooled_nats(files: Sequence[tuple[float, int, int]]) -> float:
    return sum(loss * tokens for loss, tokens, _ in files) / sum(size for _, _, size in files)


def _per_token(files: Sequence[tuple[float, int, int]]) -> float:
    nats = sum(loss * tokens for loss, tokens, _ in files)
    return nats / math.log(2) / sum(tokens for _, tokens, _ in files)


_MEAN_OF_RATIOS = (
    "This is the mean of the files' figures: a file of ten bytes counts as much as one of a thousand."
)

POOLED = Exercise(
    id="loss-pooled",
    chapter=6,
    cases=_pooled_cases,
    hint="Bits add up and bytes add up; ratios do not. Sum loss times tokens over the files, turn nats into bits, and "
    "divide once, by all bytes.",
    mistakes=(
        Mistake(
            _pooled_nats,
            "These are nats per byte. Divide by log(2) for bits.",
        ),
        Mistake(
            lambda files: _pooled_nats(files) * math.log(2),
            "One nat is 1 / log(2) = 1.44 bits: divide by log(2), do not multiply.",
        ),
        Mistake(_mean_of_ratios, _MEAN_OF_RATIOS),
        Mistake(_mean_of_all_ratios, _MEAN_OF_RATIOS),
        Mistake(
            _weighed_by_tokens,
            "A file's bits per byte are weighed by its tokens here. What is per byte is weighed by bytes.",
        ),
        Mistake(
            _mean_loss_first,
            "The losses were averaged as if every file had as many tokens. Weigh each by its tokens.",
        ),
        Mistake(_per_token, "These are bits per token; the question is bits per byte."),
    ),
)

EXERCISES = (IGNORANCE, LOG_SOFTMAX, GRADIENT, STREAM, POOLED)
