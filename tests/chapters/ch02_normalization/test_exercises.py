"""Right and wrong answers to the exercises of chapter 2."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from tests.exercises.answers import Answers, run_tables

Vector = Sequence[float]

# --- the share of a late layer ----------------------------------------------------------------------------------------


def share_by_loop(layer: int, variance: float) -> float:
    stream = 1.0
    for _ in range(1, layer):
        stream += variance
    return math.sqrt(variance) / math.sqrt(stream)


def share_recursively(layer: int, variance: float) -> float:
    def stream(k: int) -> float:
        return 1.0 if k == 1 else stream(k - 1) + variance

    return (variance / stream(layer)) ** 0.5


def share_in_float32(layer: int, variance: float) -> torch.Tensor:
    return torch.rsqrt(torch.tensor(1 / variance + layer - 1))


def share_of_variances(layer: int, variance: float) -> float:
    return variance / (1 + (layer - 1) * variance)


def share_after_the_layer(layer: int, variance: float) -> float:
    return math.sqrt(variance / (1 + layer * variance))


def share_without_embedding(layer: int, variance: float) -> float:
    return math.sqrt(variance / (layer * variance))


def share_of_added_norms(layer: int, variance: float) -> float:
    return math.sqrt(variance) / (1 + (layer - 1) * math.sqrt(variance))


def share_upside_down(layer: int, variance: float) -> float:
    return math.sqrt((1 + (layer - 1) * variance) / variance)


def share_of_a_deviation(layer: int, variance: float) -> float:
    return variance / math.sqrt(1 + (layer - 1) * variance**2)


def share_for_ever_one(layer: int, variance: float) -> float:
    return layer**-0.5


def share_from_zero(layer: int, variance: float) -> float:
    return math.sqrt(variance / (1 + (layer - 2) * variance))


# --- ScaleNorm --------------------------------------------------------------------------------------------------------


def scale_with_numpy(x: Vector, g: float) -> np.ndarray:
    return g * np.asarray(x) / np.linalg.norm(x)


def scale_with_torch(x: Vector, g: float) -> torch.Tensor:
    return g * F.normalize(torch.tensor(x, requires_grad=True), dim=0)


def scale_lazily(x: Vector, g: float) -> Any:
    norm = math.hypot(*x)
    return (g / norm * value for value in x)


def scale_half(x: Vector, g: float) -> torch.Tensor:
    return g * F.normalize(torch.tensor(x, dtype=torch.float16), dim=0, eps=1e-4)


def scale_by_rms(x: Vector, g: float) -> np.ndarray:
    return np.array(x) * g / np.sqrt(np.mean(np.square(x)))


def scale_by_square(x: Vector, g: float) -> list[float]:
    return [g * value / sum(v**2 for v in x) for value in x]


def scale_by_sum(x: Vector, g: float) -> list[float]:
    return [g * value / sum(map(abs, x)) for value in x]


def scale_without_g(x: Vector, g: float) -> np.ndarray:
    return np.array(x) / np.linalg.norm(x)


def scale_centred(x: Vector, g: float) -> list[float]:
    mean = sum(x) / len(x)
    norm = sum((v - mean) ** 2 for v in x) ** 0.5
    return [g * (v - mean) / norm for v in x]


def scale_by_largest(x: Vector, g: float) -> list[float]:
    return [g * v / max(map(abs, x)) for v in x]


def scale_with_epsilon(x: Vector, g: float) -> list[float]:
    norm = math.sqrt(sum(v * v for v in x) + 1e-6)
    return [g * v / norm for v in x]


def scale_in_place(x: list[float], g: float) -> list[float]:
    norm = sum(v * v for v in x) ** 0.5
    for i in range(len(x)):
        x[i] *= g / norm
    return x


def scale_list_times_number(x: Vector, g: float) -> Any:
    return x * g / math.hypot(*x)  # type: ignore[operator]


def scale_column(x: Vector, g: float) -> np.ndarray:
    return scale_with_numpy(x, g)[:, None]


def scale_norm_only(x: Vector, g: float) -> float:
    return math.hypot(*x)


# --- the gradient of RMSNorm ------------------------------------------------------------------------------------------


def backward_by_autograd(x: Vector, dy: Vector) -> torch.Tensor:
    leaf = torch.tensor(x, requires_grad=True)
    (leaf / leaf.square().mean().sqrt()).backward(torch.tensor(dy))
    assert leaf.grad is not None
    return leaf.grad


def backward_with_numpy(x: Vector, dy: Vector) -> np.ndarray:
    a, d = np.array(x, dtype=np.float32), np.array(dy, dtype=np.float32)
    r = np.sqrt((a * a).mean())
    return d / r - a * (d @ a) / (len(a) * r**3)


def backward_by_jacobian(x: Vector, dy: Vector) -> np.ndarray:
    a, r = np.array(x), np.sqrt(np.mean(np.square(x)))
    return np.array(dy) @ (np.eye(len(a)) / r - np.outer(a, a) / (len(a) * r**3))


def backward_by_differences(x: Vector, dy: Vector) -> list[float]:
    def loss(values: np.ndarray) -> float:
        return float(np.array(dy) @ values / np.sqrt(np.mean(values**2)))

    steps = 1e-5 * np.eye(len(x))
    return [(loss(x + step) - loss(x - step)) / 2e-5 for step in steps]


def backward_constant(x: Vector, dy: Vector) -> np.ndarray:
    return np.array(dy) / np.sqrt(np.mean(np.square(x)))


def backward_with_sum(x: Vector, dy: Vector) -> np.ndarray:
    r = np.sqrt(np.mean(np.square(x)))
    y = np.array(x) / r
    return (dy - y * (dy * y).sum()) / r


def backward_not_normed(x: Vector, dy: Vector) -> np.ndarray:
    a, d = np.array(x), np.array(dy)
    return (d - a * (d * a).mean()) / np.sqrt((a**2).mean())


def backward_of_layer_norm(x: Vector, dy: Vector) -> np.ndarray:
    return (np.array(dy) - np.mean(dy)) / np.sqrt(np.mean(np.square(x)))


def backward_not_divided(x: Vector, dy: Vector) -> np.ndarray:
    y = np.array(x) / np.sqrt(np.mean(np.square(x)))
    return dy - y * (dy * y).mean()


def backward_plus(x: Vector, dy: Vector) -> np.ndarray:
    r = np.sqrt(np.mean(np.square(x)))
    y = np.array(x) / r
    return (dy + y * (dy * y).mean()) / r


def backward_forward(x: Vector, dy: Vector) -> np.ndarray:
    return np.array(x) / np.sqrt(np.mean(np.square(x)))


def backward_with_epsilon(x: Vector, dy: Vector) -> torch.Tensor:
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    F.rms_norm(leaf, leaf.shape, eps=1e-3).backward(torch.tensor(dy, dtype=torch.float64))
    assert leaf.grad is not None
    return leaf.grad


def backward_through_list(x: Vector, dy: Vector) -> Any:
    return dy / math.sqrt(sum(v * v for v in x) / len(x))  # type: ignore[operator]


# --- roofline ---------------------------------------------------------------------------------------------------------


def chain_by_kernels(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    kernels = [operations] if fused else [1] * operations
    moving = sum(8 * n / bandwidth for _ in kernels)
    return max(moving, sum(kernels) * n / peak)


def chain_with_numpy(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> np.floating[Any]:
    passes = np.float32(1 if fused else operations)
    return np.maximum(2 * passes * n * np.dtype("float32").itemsize / bandwidth, operations * n / peak)


def chain_with_conditions(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    moving, computing = 2 * 4 * n / bandwidth, n * operations / peak
    if not fused:
        moving *= operations
    return moving if moving > computing else computing


def chain_one_way(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    return max((1 if fused else operations) * 4 * n / bandwidth, operations * n / peak)


def chain_sum(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    return (1 if fused else operations) * 8 * n / bandwidth + operations * n / peak


def chain_never_fused(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    return max(operations * 8 * n / bandwidth, operations * n / peak)


def chain_of_bytes(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    return max((1 if fused else operations) * 2 * n / bandwidth, operations * n / peak)


def chain_moving_only(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    return (1 if fused else operations) * 8 * n / bandwidth


def chain_one_operation(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    return max((1 if fused else operations) * 8 * n / bandwidth, n / peak)


def chain_of_doubles(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    return max((1 if fused else operations) * 16 * n / bandwidth, operations * n / peak)


def chain_minimum(n: int, operations: int, fused: bool, bandwidth: float, peak: float) -> float:
    return min((1 if fused else operations) * 8 * n / bandwidth, operations * n / peak)


ANSWERS = {
    "norm-relative-increment": Answers(
        right=(share_by_loop, share_recursively, share_in_float32),
        wrong=(
            (share_of_variances, "This is the ratio of the variances"),
            (share_after_the_layer, "This compares with the stream after the layer"),
            (share_without_embedding, "This is 1 / sqrt(k), whatever the variance"),
            (share_of_added_norms, "Independent vectors do not point the same way"),
            (share_upside_down, "This is the stream relative to the increment"),
            (share_of_a_deviation, "The stream before layer 6"),
            (share_for_ever_one, "This is 1 / sqrt(k), whatever the variance"),
            (share_from_zero, "Layer 1 reads the embedding"),
        ),
    ),
    "norm-scale-norm": Answers(
        right=(scale_with_numpy, scale_with_torch, scale_lazily),
        wrong=(
            (scale_half, "This is right to the precision of float16"),
            (scale_by_rms, "This divides by the root of the mean square"),
            (scale_by_square, "This divides by the square of the norm"),
            (scale_by_sum, "This divides by the sum of the absolute values"),
            (scale_without_g, "This has length 1 whatever g is"),
            (scale_centred, "This subtracts the mean first"),
            (scale_by_largest, "The norm of (3, 4) is 5"),
            (scale_with_epsilon, "However short the vector, its length becomes g"),
            (scale_in_place, "Whoever called the function still needs its arguments"),
            (scale_list_times_number, "The norm of (3, 4) is 5"),
            (scale_column, "The norm of (3, 4) is 5"),
            (scale_norm_only, "The norm of (3, 4) is 5"),
        ),
    ),
    "norm-rms-backward": Answers(
        right=(backward_by_autograd, backward_with_numpy, backward_by_jacobian, backward_by_differences),
        wrong=(
            (backward_constant, "This takes the root mean square for a constant"),
            (backward_with_sum, "The part along x takes the mean of dy · y"),
            (backward_not_normed, "Project on the normed vector"),
            (backward_of_layer_norm, "Subtracting the mean of dy is a part of LayerNorm's gradient"),
            (backward_not_divided, "The part along x is gone, as it must be"),
            (backward_plus, "The part along x is added: subtract it"),
            (backward_forward, "Along x nothing changes"),
            (backward_with_epsilon, "Along x nothing changes"),
            (backward_through_list, "Along x nothing changes"),
        ),
    ),
    "norm-chain-seconds": Answers(
        right=(chain_by_kernels, chain_with_numpy, chain_with_conditions),
        wrong=(
            (chain_one_way, "Every operation reads its input and also writes"),
            (chain_sum, "The sum would be right if nothing overlapped"),
            (chain_never_fused, "A fused kernel keeps what is in between"),
            (chain_of_bytes, "A float32 has 4 bytes"),
            (chain_moving_only, "This is the time of moving"),
            (chain_one_operation, "50 million operations at 10 GFLOP/s"),
            (chain_of_doubles, "One operation reads 4 MB and writes 4 MB"),
            (chain_minimum, "One operation reads 4 MB and writes 4 MB"),
        ),
    ),
}

test_right_answers_pass, test_wrong_answers_are_explained, test_there_are_enough = run_tables(ANSWERS)
