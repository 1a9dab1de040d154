"""The exercises of chapter 2, Normalization. Results come from hand calculation and from torch's autograd."""

import math
from collections.abc import Callable, Iterator, Sequence

from course_lib.answers.checking import Case, Exercise, Mistake

# --- the share of a late layer ----------------------------------------------------------------------------------------


def _relative_increment_cases() -> Iterator[Case]:
    # sqrt(s / (1 + s (k - 1))): worked out by hand.
    yield Case(
        (1, 1.0), 1.0, "Layer 1 reads the embedding, variance 1, and adds an increment of the same size."
    )
    yield Case(
        (4, 1.0), 0.5, "Layer 4 reads 1 + 3 variances; the increment has 1: a quarter, and the root of it."
    )
    yield Case((100, 1.0), 0.1, "Layer 100 reads a stream of variance 100.")
    yield Case(
        (6, 0.25),
        1 / 3,
        "The stream before layer 6 has variance 1 + 5 / 4 = 9 / 4, the increment 1 / 4: a ninth, and the root of it.",
    )
    yield Case((1, 0.04), 0.2, "Before layer 1 nothing was added yet.")


RELATIVE_INCREMENT = Exercise(
    id="norm-relative-increment",
    chapter=2,
    cases=_relative_increment_cases,
    hint="Variances of independent sums add up: write down the variance of the stream that layer k reads. A norm is "
    "the root of a variance (times the root of d, which cancels).",
    mistakes=(
        Mistake(
            lambda layer, variance: variance / (1 + variance * (layer - 1)),
            "This is the ratio of the variances. The ratio of the norms is its square root.",
        ),
        Mistake(
            lambda layer, variance: math.sqrt(variance / (1 + variance * layer)),
            "This compares with the stream after the layer. It reads what the k - 1 layers before it have added.",
        ),
        Mistake(
            lambda layer, variance: math.sqrt(variance / (variance * layer)),
            "This is 1 / sqrt(k), whatever the variance. The embedding is part of the stream, with a variance of 1.",
        ),
        Mistake(
            lambda layer, variance: math.sqrt((1 + variance * (layer - 1)) / variance),
            "This is the stream relative to the increment: the fraction is upside down.",
        ),
        Mistake(
            lambda layer, variance: math.sqrt(variance) / (1 + math.sqrt(variance) * (layer - 1)),
            "Independent vectors do not point the same way: their variances add up, not their norms.",
        ),
    ),
)

# --- ScaleNorm --------------------------------------------------------------------------------------------------------


def _scale_norm_cases() -> Iterator[Case]:
    yield Case(([3.0, 4.0], 10.0), [6.0, 8.0], "The norm of (3, 4) is 5, so the factor is 10 / 5 = 2.")
    yield Case(([0.0, -2.0, 0.0], 1.0), [0.0, -1.0, 0.0], "The norm is 2, and the sign stays.")
    yield Case(([1.0, 1.0, 1.0, 1.0], 2.0), [1.0] * 4, "The norm of four ones is 2. No mean is subtracted.")
    yield Case(([2.0, 3.0, 6.0], 14.0), [4.0, 6.0, 12.0], "4 + 9 + 36 = 49: the norm is 7.")
    x = [0.3, -1.7, 2.2, 0.9, -0.1]
    yield Case(
        (x, 1.5),
        [value * 1.5 / math.dist(x, [0.0] * 5) for value in x],
        "The squares add up to 8.64, so the factor is 1.5 / 2.939.",
    )
    yield Case(([1e-3, 0.0], 1.0), [1.0, 0.0], "However short the vector, its length becomes g.")


def _scaled_without_mean(x: Sequence[float], g: float) -> list[float]:
    centred = [value - sum(x) / len(x) for value in x]
    norm = math.sqrt(sum(value * value for value in centred))
    return [g * value / norm for value in centred]


def _scaled(x: Sequence[float], factor: float) -> list[float]:
    return [value * factor for value in x]


SCALE_NORM = Exercise(
    id="norm-scale-norm",
    chapter=2,
    cases=_scale_norm_cases,
    hint="First the Euclidean norm: the root of the sum of squares (not of their mean). Then every component times g "
    "over that norm.",
    mistakes=(
        Mistake(
            lambda x, g: _scaled(x, g / math.sqrt(sum(v * v for v in x) / len(x))),
            "This divides by the root of the mean square, as RMSNorm does. ScaleNorm divides by the norm, the root of "
            "the sum; with g = sqrt(d) the two agree.",
        ),
        Mistake(
            lambda x, g: _scaled(x, g / sum(v * v for v in x)),
            "This divides by the square of the norm: a root is missing.",
        ),
        Mistake(
            lambda x, g: _scaled(x, g / sum(map(abs, x))),
            "This divides by the sum of the absolute values. The norm is the root of the sum of squares.",
        ),
        Mistake(
            lambda x, g: _scaled(x, 1 / math.sqrt(sum(v * v for v in x))),
            "This has length 1 whatever g is: g, the one learned number, is missing.",
        ),
        Mistake(
            _scaled_without_mean,
            "This subtracts the mean first, as LayerNorm does. ScaleNorm only divides by the norm.",
        ),
    ),
)

# --- the gradient of RMSNorm ------------------------------------------------------------------------------------------


def _rms_backward_cases() -> Iterator[Case]:
    yield Case(
        ([2.0, 2.0], [1.0, 1.0]), [0.0, 0.0], "Along x nothing changes: a longer x has the same direction."
    )
    yield Case(
        ([2.0, -2.0], [1.0, 1.0]),
        [0.5, 0.5],
        "Across x the norm only scales, by 1 / 2 here, the root mean square.",
    )
    yield Case(
        ([3.0, 4.0], [1.0, 0.0]),
        [16 / 25 / math.sqrt(12.5), -12 / 25 / math.sqrt(12.5)],
        "Take from dy its part along x: (1, 0) - 3/25 · (3, 4) = (16, -12) / 25, then divide by the root mean square.",
    )
    for x, dy, why in (
        (
            [0.5, -1.5, 2.0],
            [0.1, 0.2, -0.3],
            "Three numbers: the mean square is (0.25 + 2.25 + 4) / 3, the mean of dy · x is (0.05 - 0.3 - 0.6) / 3.",
        ),
        (
            [1.0, 2.0, 3.0, -4.0, 0.5],
            [1.0, -1.0, 0.5, 2.0, 0.0],
            "Five numbers: the mean square is 30.25 / 5, the mean of dy · x is -7.5 / 5.",
        ),
    ):
        yield Case((x, dy), _autograd(x, dy), why)


def _autograd(x: list[float], dy: list[float]) -> list[float]:
    import torch

    with torch.device("cpu"):
        leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        normed = torch.nn.functional.rms_norm(leaf, leaf.shape, eps=0.0)
        (gradient,) = torch.autograd.grad(normed, leaf, torch.tensor(dy, dtype=torch.float64))
    return [float(value) for value in gradient]


def _rms(x: Sequence[float]) -> float:
    return math.sqrt(sum(v * v for v in x) / len(x))


def _without_mean(x: Sequence[float], dy: Sequence[float]) -> list[float]:
    rms = _rms(x)
    along = sum(d * v / rms for d, v in zip(dy, x, strict=True))
    return [(d - v / rms * along) / rms for d, v in zip(dy, x, strict=True)]


def _rms_gradient(x: Sequence[float], dy: Sequence[float]) -> list[float]:
    along = sum(d * v for d, v in zip(dy, x, strict=True)) / sum(v * v for v in x)
    return [(d - v * along) / _rms(x) for d, v in zip(dy, x, strict=True)]


def _unnormed_projection(x: Sequence[float], dy: Sequence[float]) -> list[float]:
    rms = _rms(x)
    along = sum(d * v for d, v in zip(dy, x, strict=True)) / len(x)
    return [(d - v * along) / rms for d, v in zip(dy, x, strict=True)]


RMS_BACKWARD = Exercise(
    id="norm-rms-backward",
    chapter=2,
    cases=_rms_backward_cases,
    hint="With r the root mean square, y_i = x_i / r and dr/dx_j = x_j / (d r). So dx_j = dy_j / r minus the sum over "
    "i of dy_i x_i / r², times dr/dx_j. Written with y: dx = (dy - y · mean(dy · y)) / r.",
    mistakes=(
        Mistake(
            lambda x, dy: [d / _rms(x) for d in dy],
            "This takes the root mean square for a constant. It depends on every x: subtract the part of dy along x.",
        ),
        Mistake(
            _without_mean, "The part along x takes the mean of dy · y over the components, not their sum."
        ),
        Mistake(
            lambda x, dy: [_rms(x) * dx for dx in _rms_gradient(x, dy)],
            "The part along x is gone, as it must be. What is left must still be divided by the root mean square.",
        ),
        Mistake(
            lambda x, dy: [2 * d / _rms(x) - dx for d, dx in zip(dy, _rms_gradient(x, dy), strict=True)],
            "The part along x is added: subtract it. A longer x also makes r larger, and y stays the same.",
        ),
        Mistake(
            _unnormed_projection,
            "Project on the normed vector y = x / r, not on x: the length of x must cancel.",
        ),
        Mistake(
            lambda x, dy: [(d - sum(dy) / len(dy)) / _rms(x) for d in dy],
            "Subtracting the mean of dy is a part of LayerNorm's gradient. RMSNorm removes the part along x.",
        ),
    ),
)

# --- roofline of a chain ----------------------------------------------------------------------------------------------


def _chain_seconds_cases() -> Iterator[Case]:
    # n numbers are 4 n bytes; every operation reads and writes them, one fused kernel does so once.
    yield Case(
        (1_000_000, 1, False, 8e9, 1e12), 1e-3, "One operation reads 4 MB and writes 4 MB: 8 MB at 8 GB/s."
    )
    yield Case((1_000_000, 7, False, 8e9, 1e12), 7e-3, "Seven operations move the 8 MB seven times.")
    yield Case((1_000_000, 7, True, 8e9, 1e12), 1e-3, "Fused, the numbers are read once and written once.")
    yield Case(
        (1_000_000, 50, True, 8e9, 1e10),
        5e-3,
        "50 million operations at 10 GFLOP/s take 5 ms, longer than the 1 ms of moving: arithmetic is the limit now.",
    )
    yield Case(
        (1_000, 3, False, 1e12, 1e9),
        3e-6,
        "Here moving takes 24 ns and the 3,000 operations 3 µs; the slower of the two decides.",
    )


def _chain(
    passes: int, combine: Callable[[float, float], float], *, fuse: bool = True, number: int = 4
) -> Callable[[int, int, bool, float, float], float]:
    """An answer, right or wrong, by the number of passes over n numbers of ``number`` bytes and the times combined."""

    def seconds(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
        times = 1 if fused and fuse else operations
        return combine(passes * number * n * times / bandwidth, n * operations / peak)

    return seconds


CHAIN_SECONDS = Exercise(
    id="norm-chain-seconds",
    chapter=2,
    cases=_chain_seconds_cases,
    hint="Count the bytes first: 4 n read and 4 n written, by each operation or by the one fused kernel. Then the time "
    "to move them, the time to compute, and the larger of the two: a good kernel does both at once.",
    mistakes=(
        Mistake(
            _chain(1, max), "Every operation reads its input and also writes its result: twice 4 n bytes."
        ),
        Mistake(
            _chain(2, lambda move, compute: move + compute),
            "The sum would be right if nothing overlapped. In the roofline model the slower of the two decides: max.",
        ),
        Mistake(
            _chain(2, max, fuse=False),
            "A fused kernel keeps what is in between in registers: one read, one write.",
        ),
        Mistake(_chain(2, max, number=1), "A float32 has 4 bytes."),
        Mistake(
            _chain(2, lambda move, compute: move),
            "This is the time of moving. A fused chain can be long enough that its arithmetic takes longer.",
        ),
    ),
)

EXERCISES = (RELATIVE_INCREMENT, SCALE_NORM, RMS_BACKWARD, CHAIN_SECONDS)
