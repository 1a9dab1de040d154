"""The exercises of chapter 2, Normalization. Results: hand calculation, NumPy in float64, torch's autograd."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from course_lib.answers.checking import Case, Exercise, Mistake
from course_lib.answers.methods import Methods

Array = NDArray[Any]

# --- the share of a late layer ----------------------------------------------------------------------------------------


def _relative_increment_cases() -> Iterator[Case]:
    # sqrt(s / (1 + s (k - 1))): worked out by hand.
    yield Case(
        (1, 1.0), 1.0, "Layer 1 reads the embedding, variance 1, and adds an increment of the same size."
    )
    yield Case(
        (4, 1.0), 0.5, "Layer 4 reads 1 + 3 variances; the increment has 1: a quarter, and the root of it."
    )
    yield Case(
        (100, 1.0), 0.1, "Layer 100 reads a stream of variance 100: a tenth, and less from layer 101 on."
    )
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


def _floats(values: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(values, dtype=dtype, device="cpu")  # whatever torch's defaults are


def _numbers(seed: int, *shape: int, at: float = 0.5) -> Tensor:
    """Normal numbers off the origin, so that means are not 0."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return at + torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")


def _scale_norm_cases() -> Iterator[Case]:
    yield Case(
        (_floats([3.0, 4.0]), _floats(10.0)),
        [6.0, 8.0],
        "The norm of (3, 4) is 5, so the factor is 10 / 5 = 2.",
    )
    yield Case(
        (_floats([[1.0, 1.0, 1.0, -1.0], [0.0, -2.0, 0.0, 0.0]]), _floats(2.0)),
        [[1.0, 1.0, 1.0, -1.0], [0.0, -2.0, 0.0, 0.0]],
        "Two tokens, each with a norm of 2: each is scaled by its own norm, and no mean is subtracted.",
    )
    yield Case(
        (_floats([1e-3, 0.0, 0.0]), _floats(1.0)),
        [1.0, 0.0, 0.0],
        "However short the vector, its length becomes g.",
    )
    for seed, shape in enumerate(((3, 5), (2, 3, 3), (2, 1, 2, 6))):
        x, g = _numbers(seed, *shape), _floats(1.5 + seed)
        norms = np.sqrt(np.sum(np.square(_wide(x)), axis=-1))
        yield Case(
            (x, g),
            _wide(x) * float(g) / norms[..., None],
            f"x has the shape {shape}: the norm is taken over the last dimension, for every token by itself.",
        )


def _wide(x: Tensor) -> Array:
    return np.asarray(x.tolist(), dtype=np.float64)


def _scaled(size: Callable[[Array], Array]) -> Callable[[Tensor, Tensor], Array]:
    """An answer that multiplies by g and divides by ``size``, an array that broadcasts against x."""
    return lambda x, g: _wide(x) * float(g) / size(_wide(x))


def _norm(x: Array, axis: int | None = -1) -> Array:
    return np.asarray(np.sqrt(np.sum(np.square(x), axis=axis, keepdims=True)))


def _scaled_without_mean(x: Tensor, g: Tensor) -> Array:
    centred = _wide(x) - _wide(x).mean(-1, keepdims=True)
    return np.asarray(centred * float(g) / _norm(centred))


SCALE_NORM = Exercise(
    id="norm-scale-norm",
    chapter=2,
    cases=_scale_norm_cases,
    hint="The Euclidean norm of each token: the root of the sum of squares (not of their mean) over the last "
    "dimension, with keepdim=True so that it divides x. Then every component times g over that norm.",
    mistakes=(
        Mistake(
            _scaled(lambda x: np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True))),
            "This divides by the root of the mean square, as RMSNorm does. ScaleNorm divides by the norm, the root of "
            "the sum; with g = sqrt(d) the two agree.",
        ),
        Mistake(
            _scaled(lambda x: _norm(x, None)),
            "This takes one norm of the whole tensor. Every token has its own: sum over the last dimension.",
        ),
        Mistake(
            _scaled(lambda x: _norm(x) ** 2), "This divides by the square of the norm: a root is missing."
        ),
        Mistake(
            _scaled(lambda x: np.sum(np.abs(x), axis=-1, keepdims=True)),
            "This divides by the sum of the absolute values. The norm is the root of the sum of squares.",
        ),
        Mistake(
            lambda x, g: _wide(x) / _norm(_wide(x)),
            "This has length 1 whatever g is: g, the one learned number, is missing.",
        ),
        Mistake(
            _scaled_without_mean,
            "This subtracts the mean first, as LayerNorm does. ScaleNorm only divides by the norm.",
        ),
    ),
)

# --- RMSNorm as a module ----------------------------------------------------------------------------------------------

Made = tuple[Tensor, float]


def _rms_module_cases() -> Iterator[Case]:
    def case(weight: Tensor, eps: float, x: Tensor, why: str) -> Case:
        made = (weight, eps)
        return Case((made, x), _rms_normed(made, x), why)

    yield case(
        _floats([2.0, 1.0]),
        1e-5,
        _floats([[3.0, -3.0], [1.0, 7.0]]),
        "The root mean square of (3, -3) is 3, of (1, 7) it is 5; the weight doubles the first feature.",
    )
    yield case(
        _numbers(2, 4),
        1e-2,
        0.02 * _numbers(3, 3, 4),
        "These inputs are small against the root of eps: x / sqrt(mean(x²) + eps), with eps inside the root.",
    )
    yield case(
        _numbers(0, 5),
        1e-5,
        _numbers(1, 2, 3, 5),
        "Leading dimensions, such as batch and position, stay as they are: the mean is over the last one.",
    )
    yield case(_numbers(4, 3), 1e-5, _numbers(5, 3), "A single token without a batch has the shape (d,).")
    yield case(
        _numbers(6, 4),
        1e-5,
        (300 * _numbers(7, 2, 4)).to(torch.float16),
        "x is in float16, which ends at 65,504: squares of numbers above 255 are infinite. Square in float32, and give "
        "the result in the dtype of x.",
    )
    yield case(
        _numbers(8, 6),
        1e-5,
        _numbers(9, 2, 6).to(torch.bfloat16),
        "x is in bfloat16, with 8 bits of precision: compute in float32, the product with the weight included, and "
        "convert the result back to the dtype of x at the end.",
    )


def _rms_formula(
    formula: Callable[[Tensor, Tensor, float], Tensor], *, back: bool = True
) -> Callable[[Made, Tensor], dict[str, Tensor]]:
    """A module that computes ``formula(x, weight, eps)`` in float32, as a function of a case's arguments."""

    def module(made: Made, x: Tensor) -> dict[str, Tensor]:
        result = formula(x.float(), *made)
        return {"forward": result.to(x.dtype) if back else result}

    return module


def _mean_square(x: Tensor) -> Tensor:
    return x.square().mean(-1, keepdim=True)


_rms_normed = _rms_formula(lambda x, weight, eps: x * torch.rsqrt(_mean_square(x) + eps) * weight)


def _layer_normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(_mean_square(centred) + eps) * weight


RMS_MODULE = Exercise(
    id="norm-rms-module",
    chapter=2,
    cases=_rms_module_cases,
    methods=Methods(("forward",)),
    hint="wide = x.float(); the mean of wide.square() over the last dimension, with keepdim=True; then wide times "
    "torch.rsqrt(mean + eps) times the weight, and .to(x.dtype) of all that.",
    mistakes=(
        Mistake(
            _rms_formula(lambda x, weight, eps: x * torch.rsqrt(_mean_square(x) + eps) * weight, back=False),
            "The result stays in float32. A layer gives back the dtype that it got: .to(x.dtype) at the end.",
        ),
        Mistake(
            _rms_formula(lambda x, weight, eps: x / (_mean_square(x).sqrt() + eps) * weight),
            "Here eps is added to the root. It belongs inside: sqrt(mean(x²) + eps).",
        ),
        Mistake(
            _rms_formula(lambda x, weight, eps: x * torch.rsqrt(_mean_square(x)) * weight),
            "eps is missing. It is added to the mean square, inside the root.",
        ),
        Mistake(
            _rms_formula(lambda x, weight, eps: x * torch.rsqrt(_mean_square(x) + eps)),
            "The weight, one number for each feature, is missing.",
        ),
        Mistake(
            _rms_formula(lambda x, weight, eps: x * torch.rsqrt(_mean_square(x) + eps) * (1 + weight)),
            "This multiplies by 1 + weight, as Gemma does. Here the weight is the factor itself.",
        ),
        Mistake(_rms_formula(_layer_normed), "This is LayerNorm: RMSNorm does not subtract the mean."),
        Mistake(
            _rms_formula(
                lambda x, weight, eps: x * torch.rsqrt(x.square().sum(-1, keepdim=True) + eps) * weight
            ),
            "This divides by the norm, the root of the sum of squares. RMSNorm takes the root of their mean.",
        ),
        Mistake(
            _rms_formula(lambda x, weight, eps: x * torch.rsqrt(x.square().mean() + eps) * weight),
            "This takes one mean of the whole tensor. Every token has its own: mean over the last dimension.",
        ),
        Mistake(
            _rms_formula(lambda x, weight, eps: x / (_mean_square(x) + eps) * weight),
            "This divides by the mean square: a root is missing.",
        ),
    ),
)

# --- the gradient of RMSNorm ------------------------------------------------------------------------------------------

Gradients = tuple[Array, Array]


def _rms_backward_cases() -> Iterator[Case]:
    for x, weight, dy, why in (
        (
            _floats([2.0, 2.0]),
            _floats([1.0, 1.0]),
            _floats([1.0, 1.0]),
            "Along x nothing changes: a longer x has the same direction, so dx is 0. The weight's gradient is dy · y.",
        ),
        (
            _floats([[2.0, -2.0]]),
            _floats([1.0, 1.0]),
            _floats([[1.0, 1.0]]),
            "Across x the norm only scales, by 1 / 2 here, the root mean square.",
        ),
        (
            _floats([[3.0, 4.0], [1.0, -7.0]]),
            _floats([2.0, -1.0]),
            _floats([[1.0, 0.0], [0.5, 1.0]]),
            "The weight multiplies dy before anything else; its own gradient is the sum of dy · y over the tokens.",
        ),
        *(
            (
                _numbers(seed, *shape),
                _numbers(seed + 10, shape[-1]),
                _numbers(seed + 20, *shape),
                f"x has the shape {shape}: each token has its own r and part along x; dweight sums over all tokens.",
            )
            for seed, shape in enumerate(((5,), (4, 3), (2, 3, 7)))
        ),
    ):
        yield Case((x, weight, dy), _autograd(x, weight, dy), why)


def _autograd(x: Tensor, weight: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    leaves = [tensor.double().requires_grad_() for tensor in (x, weight)]
    normed = torch.nn.functional.rms_norm(leaves[0], weight.shape, leaves[1], eps=0.0)
    dx, dweight = torch.autograd.grad(normed, leaves, dy.double())
    return dx, dweight


def _backward_by(
    dx: Callable[[Array, Array, Array], Array],
    dweight: Callable[[Array, Array], Array] = lambda y, dy: (dy * y).reshape(-1, y.shape[-1]).sum(0),
    *,
    weigh: bool = True,
) -> Callable[[Tensor, Tensor, Tensor], Gradients]:
    """An answer: ``dx`` of y, the weighted dy and the root mean square; ``dweight`` of y and dy."""

    def answer(x: Tensor, weight: Tensor, dy: Tensor) -> Gradients:
        wide, given = _wide(x), _wide(dy)
        rms = np.sqrt(np.mean(np.square(wide), axis=-1, keepdims=True))
        weighed = given * _wide(weight) if weigh else given
        return dx(wide / rms, weighed, rms), dweight(wide / rms, given)

    return answer


def _along(y: Array, dy: Array) -> Array:
    return np.asarray(np.mean(dy * y, axis=-1, keepdims=True) * y)


def _right_dx(y: Array, dy: Array, rms: Array) -> Array:
    return np.asarray((dy - _along(y, dy)) / rms)


RMS_BACKWARD = Exercise(
    id="norm-rms-backward",
    chapter=2,
    cases=_rms_backward_cases,
    hint="Let r be the root mean square, y = x / r and g = weight · dy. dr/dx_j = x_j / (d r), so dx_j = g_j / r minus "
    "the sum over i of g_i x_i / r², times dr/dx_j. Written with y: dx = (g - y · mean(g · y)) / r. The same weight "
    "multiplies the y of all tokens: dweight = sum of dy · y over them.",
    mistakes=(
        Mistake(
            _backward_by(lambda y, dy, rms: dy / rms),
            "This takes the root mean square for a constant. It depends on every x: subtract the part of dy along x.",
        ),
        Mistake(
            _backward_by(lambda y, dy, rms: (dy - np.sum(dy * y, axis=-1, keepdims=True) * y) / rms),
            "The part along x takes the mean of dy · y over the components, not their sum.",
        ),
        Mistake(
            _backward_by(_right_dx, weigh=False),
            "The weight is missing in dx: what arrives at y is weight · dy.",
        ),
        Mistake(
            _backward_by(_right_dx, lambda y, dy: dy * y),
            "dweight has the shape of the weight: one number for each feature, summed over all tokens.",
        ),
        Mistake(
            _backward_by(_right_dx, lambda y, dy: (dy * y).reshape(-1, y.shape[-1]).mean(0)),
            "The gradients of all tokens add up in dweight: a sum, not a mean.",
        ),
        Mistake(
            _backward_by(lambda y, dy, rms: dy - _along(y, dy)),
            "The part along x is gone, as it must be. What is left must still be divided by the root mean square.",
        ),
        Mistake(
            _backward_by(lambda y, dy, rms: (dy + _along(y, dy)) / rms),
            "The part along x is added: subtract it. A longer x also makes r larger, and y stays the same.",
        ),
        Mistake(
            _backward_by(lambda y, dy, rms: (dy - _along(y * rms, dy)) / rms),
            "Project on the normed vector y = x / r, not on x: the length of x must cancel.",
        ),
        Mistake(
            _backward_by(lambda y, dy, rms: (dy - np.mean(dy, axis=-1, keepdims=True)) / rms),
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

EXERCISES = (RELATIVE_INCREMENT, SCALE_NORM, RMS_MODULE, RMS_BACKWARD, CHAIN_SECONDS)
