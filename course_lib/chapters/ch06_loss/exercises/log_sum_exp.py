"""The exercises of chapter 6 on logarithms of sums of exponentials. Results come from exact arithmetic and torch."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal, localcontext

import torch
from torch import Tensor

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.answers.formatting import show

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
        (
            [10_000.0, 0.0, -10_000.0],
            "Logits may be far apart. Only the largest of them, subtracted from all, leaves no exponent above 0.",
        ),
        (
            [5.0, -math.inf, 5.0],
            "A masked token has the logit -inf, probability 0, and log-probability -inf.",
        ),
    )
    for logits, why in reasons:
        yield Case((logits,), _log_softmax_exact(logits), why)


def _float64(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device="cpu")


def softmax(logits: Sequence[float]) -> list[float]:
    """The probabilities, by torch."""
    return [float(value) for value in _float64(logits).softmax(0)]


def _overflowing(logits: Sequence[float]) -> list[float]:
    # torch gives inf and NaN where Python's math would raise.
    x = _float64(logits).exp()
    return [float(value) for value in (x / x.sum()).log()]


def _overflowing_in_python(logits: Sequence[float]) -> list[float]:
    exps = [math.exp(x) for x in logits]
    return [math.log(value / sum(exps)) for value in exps]


def _overflowing_sum(logits: Sequence[float]) -> list[float]:
    x = _float64(logits)
    return [float(value) for value in x - x.exp().sum().log()]


def _overflowing_sum_in_python(logits: Sequence[float]) -> list[float]:
    log_sum = math.log(sum(math.exp(x) for x in logits))
    return [x - log_sum for x in logits]


def _log_of_shifted(logits: Sequence[float]) -> list[float]:
    return [float(value) for value in _float64(logits).softmax(0).log()]


def _log_of_shifted_in_python(logits: Sequence[float]) -> list[float]:
    return [math.log(p) for p in softmax(logits)]


def _sum_not_shifted_back(logits: Sequence[float]) -> list[float]:
    largest = max(logits)
    log_sum = math.log(sum(math.exp(x - largest) for x in logits))
    return [x - log_sum for x in logits]


def _log_z_in_float32(logits: Sequence[float]) -> list[float]:
    x = torch.tensor(logits, dtype=torch.float32, device="cpu")
    return [float(value) for value in x - x.logsumexp(0)]


_OVERFLOW = (
    "The formula is right and the numbers are not: exp overflows above 709 and becomes 0 below -745. Subtract the "
    "maximum first."
)
_NO_PROBABILITY = (
    "The maximum is subtracted, but the logarithm is taken of a probability, and a small one is 0 in a float. Take the "
    "logarithm of the sum only."
)

LOG_SOFTMAX = Exercise(
    id="loss-log-softmax",
    chapter=6,
    cases=_log_softmax_cases,
    hint="Let m be the largest logit. log softmax(x)_i = (x_i - m) - log(sum of exp(x_j - m)). No exponential is above "
    "1, at least one is 1, and no probability is formed.",
    mistakes=(
        Mistake(_overflowing, _OVERFLOW),
        Mistake(_overflowing_in_python, _OVERFLOW),
        Mistake(_overflowing_sum, _OVERFLOW),
        Mistake(_overflowing_sum_in_python, _OVERFLOW),
        Mistake(_log_of_shifted, _NO_PROBABILITY),
        Mistake(_log_of_shifted_in_python, _NO_PROBABILITY),
        Mistake(
            _sum_not_shifted_back,
            "The sum was taken of shifted logits, so the logits need the same shift: the probabilities do not add up "
            "to 1.",
        ),
        Mistake(
            _log_z_in_float32,
            "This is right, but computed in float32: log Z is near 1000, where float32 goes in steps of 0.00006. "
            "Subtract the maximum from the logits before anything else, or compute in float64.",
        ),
        Mistake(
            lambda logits: [x / math.log(2) for x in _log_softmax_exact(logits)],
            "These are bits: a logarithm of base 2. Log-softmax is in nats, math.log.",
        ),
        Mistake(
            lambda logits: [-x for x in _log_softmax_exact(logits)],
            "The sign is turned: these are the losses. Logarithms of probabilities are never above 0.",
        ),
        Mistake(
            lambda logits: softmax(logits), "These are the probabilities: their logarithms are asked for."
        ),
    ),
)

# --- log Z in one pass ------------------------------------------------------------------------------------------------


class _Once:
    """Chunks that can be read once, one after the other, as from a head that is computed piece by piece."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, chunks: list[list[float]]) -> None:
        self._chunks = chunks
        self._begun = False

    def __iter__(self) -> Iterator[list[float]]:
        if self._begun:
            raise RuntimeError("these chunks come only once, and they have been read")
        self._begun = True
        return iter(self._chunks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and self._chunks == other._chunks

    def __repr__(self) -> str:
        return f"iter({show(self._chunks)})"


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
    yield Case(([[1.0, 0.5], [-math.inf], [2.0]],), _log_z([1.0, 0.5, 2.0]), "A masked token adds nothing.")
    yield Case(
        ([[-math.inf, -math.inf], [-math.inf], [3.0, 1.0]],),
        _log_z([3.0, 1.0]),
        "So far every token was masked: the maximum is -inf, and -inf minus -inf is NaN. There is nothing to add yet.",
    )
    logits = [math.sin(7.0 * i) * 50 for i in range(24)]
    for size in (1, 5, 24):
        chunks = [list(chunk) for chunk in (logits[i : i + size] for i in range(0, 24, size))]
        yield Case(
            (_Once(chunks),),
            _log_z(logits),
            "These chunks come from an iterator, and only once. Go over them in one loop, with two numbers in hand: "
            "the maximum and the sum so far.",
        )


def _log_z(logits: Sequence[float]) -> float:
    return float(_float64(logits).logsumexp(0))


def _one_pass(
    chunks: Iterable[Sequence[float]], *, rescale: Callable[[float, float], float], shift_back: bool = True
) -> float:
    """The right way except for ``rescale``, the factor on the sum when the maximum grows from one number to another."""
    largest, total = -math.inf, 0.0
    for chunk in chunks:
        new = max(largest, *chunk)
        if new > -math.inf:
            total = total * rescale(largest, new) + sum(math.exp(x - new) for x in chunk)
        largest = new
    return (largest if shift_back else 0.0) + math.log(total)


def _not_rescaled(chunks: Iterable[Sequence[float]]) -> float:
    return _one_pass(chunks, rescale=lambda _old, _new: 1.0)


def _rescaled_upwards(chunks: Iterable[Sequence[float]]) -> float:
    return _one_pass(chunks, rescale=lambda old, new: math.exp(new - old))


def _not_shifted_back(chunks: Iterable[Sequence[float]]) -> float:
    return _one_pass(chunks, rescale=lambda old, new: math.exp(old - new), shift_back=False)


def _shifted_by_zero(chunks: Iterable[Sequence[float]]) -> float:
    return float(_float64(list(itertools.chain(*chunks))).exp().sum().log())


def _shifted_by_zero_in_python(chunks: Iterable[Sequence[float]]) -> float:
    return math.log(sum(math.exp(x) for chunk in chunks for x in chunk))


_NO_SHIFT = "Without a maximum subtracted, exp overflows above 709 and is 0 below -745."

STREAM = Exercise(
    id="loss-streaming-log-z",
    chapter=6,
    cases=_stream_cases,
    hint="Keep two numbers: the largest logit m so far, and the sum s of exp(x - m). When a chunk brings a larger m', "
    "the old sum was relative to m: multiply it by exp(m - m'). Start with m = -inf and s = 0 (exp(-inf) is 0), and "
    "skip chunks as long as m' is still -inf.",
    mistakes=(
        Mistake(
            _not_rescaled,
            "When the maximum changes, the sum so far is relative to the old one: multiply it by exp(old - new).",
        ),
        Mistake(
            _rescaled_upwards,
            "The sum so far is rescaled the wrong way: relative to a larger maximum it is smaller, exp(old - new).",
        ),
        Mistake(
            _not_shifted_back,
            "This is the logarithm of the shifted sum: the maximum that was subtracted must be added at the end.",
        ),
        Mistake(_shifted_by_zero, _NO_SHIFT),
        Mistake(_shifted_by_zero_in_python, _NO_SHIFT),
        Mistake(
            lambda chunks: sum(map(_log_z, chunks)),
            "The logarithms of the chunks' sums do not add up to the logarithm of the sum: that would be the product.",
        ),
        Mistake(
            lambda chunks: max(map(_log_z, chunks)),
            "This is log Z of the largest chunk alone; the others also count.",
        ),
        Mistake(
            lambda chunks: max(itertools.chain(*chunks)),
            "This is the largest logit. It is close to log Z where one logit stands out, and never above it.",
        ),
    ),
)
