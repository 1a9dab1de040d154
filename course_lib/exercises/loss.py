"""The exercises of chapter 6, Loss. Results come from exact arithmetic, numbers worked out by hand, and torch."""

import itertools
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext

import torch

from course_lib.exercises.checking import Case, Exercise, Mistake

# --- a model that knows nothing ---------------------------------------------------------------------------------------


def _ignorance_cases() -> Iterator[Case]:
    # A choice among 2^k tokens costs k bits; by hand.
    yield Case((256, 1000, 1000), 8.0, "One byte of 256 equally likely ones costs 8 bits.")
    yield Case((65_536, 1000, 4000), 4.0, "A token costs log2(65,536) = 16 bits and stands for four bytes.")
    yield Case((1024, 30, 100), 3.0, "30 tokens of 10 bits each are 300 bits, over 100 bytes.")
    yield Case((2, 7, 7), 1.0, "A coin is one bit.")


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
            lambda vocab_size, tokens, size: math.log2(vocab_size),
            "This is the price of a token. A token stands for size / tokens bytes.",
        ),
        Mistake(
            lambda vocab_size, tokens, size: math.log2(vocab_size) * size / tokens,
            "This multiplies by bytes per token; the price of a token is shared among its bytes: divide.",
        ),
    ),
)

# --- log-softmax ------------------------------------------------------------------------------------------------------


def _log_softmax_exact(logits: Sequence[float]) -> list[float]:
    """With 60 digits and unlimited exponents nothing overflows, whatever the formula."""
    with localcontext() as context:
        context.prec = 60
        log_sum = sum((Decimal(x).exp() for x in logits if x > -math.inf), Decimal(0)).ln()
        return [float(Decimal(x) - log_sum) if x > -math.inf else -math.inf for x in logits]


def _log_softmax_cases() -> Iterator[Case]:
    reasons = (
        ([0.0, 0.0], "Two equal logits: probability one half each, log(1/2) = -0.693."),
        ([1.0, 2.0, 3.0], "log(exp(1) / (exp(1) + exp(2) + exp(3))) for the first, and so on."),
        ([0.0, -800.0], "exp(-800) is 0 in a float, yet its logarithm is just -800: form no probability."),
        (
            [1000.0, 1000.0],
            "exp(1000) is too large for a float; subtracting a number from all logits changes nothing.",
        ),
        (
            [-1000.0, -1000.0, -1001.0],
            "exp(-1000) is 0 in a float, and 0 has no logarithm: subtract the maximum.",
        ),
        ([10_000.0, 0.0, -10_000.0], "Logits may be far apart."),
        (
            [5.0, -math.inf, 5.0],
            "A masked token has the logit -inf, probability 0, and log-probability -inf.",
        ),
    )
    for logits, why in reasons:
        yield Case((logits,), _log_softmax_exact(logits), why)


def _overflowing(logits: Sequence[float]) -> list[float]:
    # torch gives inf and NaN where Python's math would raise.
    x = torch.tensor(logits, dtype=torch.float64).exp()
    return [float(value) for value in (x / x.sum()).log()]


def _log_of_shifted(logits: Sequence[float]) -> list[float]:
    return [float(value) for value in torch.tensor(logits, dtype=torch.float64).softmax(0).log()]


def _sum_not_shifted_back(logits: Sequence[float]) -> list[float]:
    largest = max(logits)
    log_sum = math.log(sum(math.exp(x - largest) for x in logits))
    return [x - log_sum for x in logits]


LOG_SOFTMAX = Exercise(
    id="loss-log-softmax",
    chapter=6,
    cases=_log_softmax_cases,
    hint="Let m be the largest logit. log softmax(x)_i = (x_i - m) - log(sum of exp(x_j - m)). No exponential is above "
    "1, at least one is 1, and no probability is formed.",
    mistakes=(
        Mistake(
            _overflowing,
            "The formula is right and the numbers are not: exp overflows to inf above 709 and becomes 0 below -745. "
            "Subtract the maximum first.",
        ),
        Mistake(
            _log_of_shifted,
            "The maximum is subtracted, but the logarithm is taken of a probability, and a small one is 0 in a float. "
            "Take the logarithm of the sum only.",
        ),
        Mistake(
            _sum_not_shifted_back,
            "The sum was taken of shifted logits, so the logits need the same shift: the probabilities do not add up "
            "to 1.",
        ),
    ),
)

# --- the gradient -----------------------------------------------------------------------------------------------------


def _gradient_cases() -> Iterator[Case]:
    yield Case(([0.0, 0.0], 0), [-0.5, 0.5], "softmax is (1/2, 1/2); the target's entry is 1/2 - 1.")
    yield Case(([0.0, 0.0, 0.0, 0.0], 3), [0.25, 0.25, 0.25, -0.75], "The entries add up to 0.")
    for logits, target in (([2.0, -1.0, 0.5], 1), ([1.0, 2.0, 3.0, 4.0], 0), ([-3.0, 3.0], 1)):
        yield Case((logits, target), _by_autograd(logits, target), "Autograd gives another gradient.")
    yield Case(([800.0, 0.0], 1), [1.0, -1.0], "Large logits: subtract the maximum in softmax.")


def _by_autograd(logits: Sequence[float], target: int) -> list[float]:
    x = torch.tensor([logits], dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(x, torch.tensor([target]))
    return [float(value) for value in torch.autograd.grad(loss, x)[0][0]]


def _softmax(logits: Sequence[float]) -> list[float]:
    return [float(value) for value in torch.tensor(logits, dtype=torch.float64).softmax(0)]


def _target_only(logits: Sequence[float], target: int) -> list[float]:
    return [p - 1 if i == target else 0.0 for i, p in enumerate(_softmax(logits))]


def _through_probability(logits: Sequence[float], target: int) -> list[float]:
    # The derivative of the probability itself, without the logarithm.
    p = _softmax(logits)
    return [p[target] * (p[i] - (i == target)) for i in range(len(p))]


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
            lambda logits, target: _softmax(logits),
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
    ),
)

# --- log Z in one pass ------------------------------------------------------------------------------------------------


def _stream_cases() -> Iterator[Case]:
    yield Case(([[0.0, 0.0]],), math.log(2), "exp(0) + exp(0) = 2.")
    yield Case(([[1.0], [2.0, 3.0]],), math.log(math.e + math.e**2 + math.e**3), "One sum over both chunks.")
    yield Case(
        ([[0.0], [1000.0], [1000.0]],),
        1000 + math.log(2),
        "A later chunk holds the maximum: rescale the sum.",
    )
    yield Case(
        ([[1000.0, 999.0], [0.0]],), _log_z([1000.0, 999.0, 0.0]), "The maximum comes first and stays."
    )
    yield Case(
        ([[-1000.0], [-1001.0]],),
        _log_z([-1000.0, -1001.0]),
        "All logits are far below 0: start with no maximum.",
    )
    logits = [math.sin(7.0 * i) * 50 for i in range(24)]
    for size in (1, 5, 24):
        chunks = [list(chunk) for chunk in (logits[i : i + size] for i in range(0, 24, size))]
        yield Case((chunks,), _log_z(logits), "The result does not depend on how the logits are cut.")


def _log_z(logits: Sequence[float]) -> float:
    return float(torch.tensor(logits, dtype=torch.float64).logsumexp(0))


def _not_rescaled(chunks: Sequence[Sequence[float]]) -> float:
    largest, total = -math.inf, 0.0
    for chunk in chunks:
        largest = max(largest, *chunk)
        total += sum(math.exp(x - largest) for x in chunk)
    return largest + math.log(total)


def _shifted_by_zero(chunks: Sequence[Sequence[float]]) -> float:
    return float(torch.tensor(list(itertools.chain(*chunks)), dtype=torch.float64).exp().sum().log())


def _sum_of_logs(chunks: Sequence[Sequence[float]]) -> float:
    return sum(map(_log_z, chunks))


def _largest_of_chunks(chunks: Sequence[Sequence[float]]) -> float:
    return max(map(_log_z, chunks))


STREAM = Exercise(
    id="loss-streaming-log-z",
    chapter=6,
    cases=_stream_cases,
    hint="Keep two numbers: the largest logit m so far, and the sum s of exp(x - m). When a chunk brings a larger m', "
    "the old sum was relative to m: multiply it by exp(m - m'). Start with m = -inf and s = 0 (exp(-inf) is 0).",
    mistakes=(
        Mistake(
            _not_rescaled,
            "When the maximum changes, the sum so far is relative to the old one: multiply it by exp(old - new).",
        ),
        Mistake(
            _shifted_by_zero,
            "Without a maximum subtracted, exp overflows above 709 and is 0 below -745.",
        ),
        Mistake(
            _sum_of_logs,
            "The logarithms of the chunks' sums do not add up to the logarithm of the sum: that would be the product.",
        ),
        Mistake(_largest_of_chunks, "This is the largest chunk's; the others count as well."),
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
    yield Case(([(2.0, 7, 9), (1.0, 0, 0)],), 14 / one_bit / 9, "An empty file adds nothing.")


def _mean_of_ratios(files: Sequence[tuple[float, int, int]]) -> float:
    ratios = [loss * tokens / (size * math.log(2)) for loss, tokens, size in files if size]
    return sum(ratios) / len(ratios)


def _mean_loss_first(files: Sequence[tuple[float, int, int]]) -> float:
    loss = sum(loss for loss, _, _ in files) / len(files)
    return loss * sum(tokens for _, tokens, _ in files) / sum(size for _, _, size in files) / math.log(2)


def _pooled_nats(files: Sequence[tuple[float, int, int]]) -> float:
    return sum(loss * tokens for loss, tokens, _ in files) / sum(size for _, _, size in files)


def _per_token(files: Sequence[tuple[float, int, int]]) -> float:
    nats = sum(loss * tokens for loss, tokens, _ in files)
    return nats / math.log(2) / sum(tokens for _, tokens, _ in files)


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
            _mean_of_ratios,
            "This is the mean of the files' figures: a file of ten bytes counts as much as one of a thousand.",
        ),
        Mistake(
            _mean_loss_first,
            "The losses were averaged as if every file had as many tokens. Weigh each by its tokens.",
        ),
        Mistake(_per_token, "These are bits per token; the question is bits per byte."),
    ),
)

EXERCISES = (IGNORANCE, LOG_SOFTMAX, GRADIENT, STREAM, POOLED)
