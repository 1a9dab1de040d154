"""Right and wrong answers to the exercises of chapter 2."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.model import RMSNorm
from tests.exercises.answers import Answers, run_tables

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


def scale_with_linalg(x: Tensor, g: Tensor) -> Tensor:
    return g * x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def scale_with_normalize(x: Tensor, g: Tensor) -> Tensor:
    return torch.nn.Parameter(g) * F.normalize(x, dim=-1)


def scale_with_numpy(x: Tensor, g: Tensor) -> np.ndarray:
    rows = x.numpy().astype(np.float64)
    return float(g) * rows / np.sqrt((rows**2).sum(-1))[..., None]


def scale_with_einsum(x: Tensor, g: Tensor) -> Tensor:
    return x * (g * torch.einsum("...d,...d->...", x, x).rsqrt()).unsqueeze(-1)


def scale_half(x: Tensor, g: Tensor) -> Tensor:
    return g.bfloat16() * F.normalize(x.bfloat16(), dim=-1)


def scale_by_rms(x: Tensor, g: Tensor) -> Tensor:
    return g * x * x.pow(2).mean(-1, keepdim=True).rsqrt()


def scale_all_at_once(x: Tensor, g: Tensor) -> Tensor:
    return g * x / x.norm()


def scale_by_square(x: Tensor, g: Tensor) -> Tensor:
    return g * x / (x * x).sum(-1, keepdim=True)


def scale_by_sum(x: Tensor, g: Tensor) -> Tensor:
    return g * F.normalize(x, p=1, dim=-1)


def scale_without_g(x: Tensor, g: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


def scale_centred(x: Tensor, g: Tensor) -> Tensor:
    return g * F.normalize(x - x.mean(-1, keepdim=True), dim=-1)


def scale_by_largest(x: Tensor, g: Tensor) -> Tensor:
    return g * x / x.abs().amax(-1, keepdim=True)


def scale_with_epsilon(x: Tensor, g: Tensor) -> Tensor:
    return g * x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def scale_in_place(x: Tensor, g: Tensor) -> Tensor:
    return x.mul_(g / x.norm(dim=-1, keepdim=True))


def scale_first_dimension(x: Tensor, g: Tensor) -> Tensor:
    return g * F.normalize(x, dim=0)


def scale_without_keepdim(x: Tensor, g: Tensor) -> Tensor:
    return g * x / x.norm(dim=-1)


def scale_norm_only(x: Tensor, g: Tensor) -> Tensor:
    return x.norm(dim=-1)


# --- RMSNorm as a module ----------------------------------------------------------------------------------------------


class RmsModule(nn.Module):
    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(weight), eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.float32)
        size = torch.sqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide / size * self.weight).to(x.dtype)


class RmsByTorch(nn.RMSNorm):
    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__(weight.shape, eps=eps, device="cpu", dtype=torch.float32)
        self.weight.data = weight

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


class RmsPlain:
    def __init__(self, weight: Tensor, eps: float) -> None:
        self.weight, self.eps = weight.double(), eps

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.einsum("...d,...d->...", x.double(), x.double()) / x.shape[-1]
        return (self.weight * x.double() * (mean + self.eps).pow(-0.5).unsqueeze(-1)).to(x.dtype)


class RmsByCourse:
    def __init__(self, weight: Tensor, eps: float) -> None:
        self.norm = RMSNorm(len(weight), eps, device="cpu", dtype=torch.float32)
        self.norm.weight.data = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.float()).type_as(x)


def rms_module(formula: Callable[[Tensor, Tensor, float], Tensor], name: str, *, wide: bool = True) -> type:
    """A wrong module: ``formula`` of x in float32, or in its own dtype if not ``wide``, cast back."""

    def forward(self: Any, x: Tensor) -> Tensor:
        return formula(x.float() if wide else x, self.weight, self.eps).to(x.dtype)

    return type(name, (RmsModule,), {"forward": forward})


def _root(x: Tensor, eps: float) -> Tensor:
    return (x.pow(2).mean(dim=-1, keepdim=True) + eps).sqrt()


RmsWide = rms_module(lambda x, w, eps: x / _root(x, eps) * w, "RmsWide")
RmsWide.forward = lambda self, x: x.float() / _root(x.float(), self.eps) * self.weight  # type: ignore[attr-defined]
RmsEpsOutside = rms_module(lambda x, w, eps: x / (_root(x, 0) + eps) * w, "RmsEpsOutside")
RmsNoEps = rms_module(lambda x, w, eps: x / _root(x, 0) * w, "RmsNoEps")
RmsNoWeight = rms_module(lambda x, w, eps: x / _root(x, eps), "RmsNoWeight")
RmsGemma = rms_module(lambda x, w, eps: x / _root(x, eps) * (1 + w), "RmsGemma")
RmsLayerNorm = rms_module(lambda x, w, eps: F.layer_norm(x, w.shape, w, None, eps), "RmsLayerNorm")
RmsOfSum = rms_module(lambda x, w, eps: x / (x.pow(2).sum(-1, keepdim=True) + eps).sqrt() * w, "RmsOfSum")
RmsOfAll = rms_module(lambda x, w, eps: x / (x.pow(2).mean() + eps).sqrt() * w, "RmsOfAll")
RmsNoRoot = rms_module(lambda x, w, eps: x / _root(x, eps) ** 2 * w, "RmsNoRoot")
RmsNarrow = rms_module(lambda x, w, eps: x / _root(x, eps) * w, "RmsNarrow", wide=False)
RmsTorchEps = rms_module(lambda x, w, eps: F.rms_norm(x, w.shape, w), "RmsTorchEps")
RmsCastEarly = rms_module(lambda x, w, eps: x, "RmsCastEarly")
RmsCastEarly.forward = (  # type: ignore[attr-defined]
    lambda self, x: (x.float() / _root(x.float(), self.eps)).to(x.dtype) * self.weight.to(x.dtype)
)


class RmsFirstDimension(RmsModule):
    def forward(self, x: Tensor) -> Tensor:
        return (x.float() / (x.float().pow(2).mean(0, keepdim=True) + self.eps).sqrt() * self.weight).to(
            x.dtype
        )


# --- the gradient of RMSNorm ------------------------------------------------------------------------------------------

Pair = tuple[Any, Any]


def _parts(x: Tensor, weight: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y, weight · dy and the root mean square."""
    r = x.square().mean(-1, keepdim=True).sqrt()
    return x / r, weight * dy, r


def _summed(y: Tensor, dy: Tensor) -> Tensor:
    return (dy * y).reshape(-1, y.shape[-1]).sum(0)


def backward_by_formula(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    y, g, r = _parts(x, weight, dy)
    return (g - y * (g * y).mean(-1, keepdim=True)) / r, _summed(y, dy)


def backward_by_autograd(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    (x / x.square().mean(-1, keepdim=True).sqrt() * weight).backward(dy)
    return x.grad, weight.grad


def backward_with_numpy(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    a, w, d = (tensor.numpy() for tensor in (x, weight, dy))
    g, size = w * d, a.shape[-1]
    r = np.sqrt((a * a).mean(-1, keepdims=True))
    return g / r - a * (g * a).sum(-1, keepdims=True) / (size * r**3), (d * a / r).reshape(-1, size).sum(0)


def backward_by_jacobian(x: Tensor, weight: Tensor, dy: Tensor) -> list[Any]:
    rows, given = x.double().reshape(-1, x.shape[-1]), dy.double().reshape(-1, x.shape[-1])
    dx = []
    for row, d in zip(rows, given, strict=True):
        r = row.square().mean().sqrt()
        eye = torch.eye(len(row), dtype=torch.float64, device="cpu")
        dx.append((eye / r - torch.outer(row, row) / (len(row) * r**3)) @ (d * weight.double()))
    y = F.normalize(rows, dim=-1) * rows.shape[-1] ** 0.5
    return [torch.stack(dx).reshape(x.shape).tolist(), (y * given).sum(0).tolist()]


def backward_constant(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    y, g, r = _parts(x, weight, dy)
    return g / r, _summed(y, dy)


def backward_with_sum(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    y, g, r = _parts(x, weight, dy)
    return (g - y * (g * y).sum(-1, keepdim=True)) / r, _summed(y, dy)


def backward_without_weight(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    return backward_by_formula(x, torch.ones_like(weight), dy)


def backward_not_summed(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    y, _, _ = _parts(x, weight, dy)
    return backward_by_formula(x, weight, dy)[0], y * dy


def backward_mean_of_tokens(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    dx, dweight = backward_by_formula(x, weight, dy)
    return dx, dweight * x.shape[-1] / x.numel()


def backward_not_normed(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    y, g, r = _parts(x, weight, dy)
    return (g - x * (g * x).mean(-1, keepdim=True)) / r, _summed(y, dy)


def backward_of_layer_norm(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    y, g, r = _parts(x, weight, dy)
    return (g - g.mean(-1, keepdim=True)) / r, _summed(y, dy)


def backward_not_divided(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    y, g, _ = _parts(x, weight, dy)
    return g - y * (g * y).mean(-1, keepdim=True), _summed(y, dy)


def backward_plus(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    y, g, r = _parts(x, weight, dy)
    return (g + y * (g * y).mean(-1, keepdim=True)) / r, _summed(y, dy)


def backward_swapped(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    dx, dweight = backward_by_formula(x, weight, dy)
    return dweight, dx


def backward_of_x(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    return backward_by_formula(x, weight, dy)[0], _summed(x, dy)


def backward_one_size(x: Tensor, weight: Tensor, dy: Tensor) -> Pair:
    r = x.square().mean().sqrt()
    y, g = x / r, weight * dy
    return (g - y * (g * y).mean()) / r, _summed(y, dy)


def backward_dx_only(x: Tensor, weight: Tensor, dy: Tensor) -> Tensor:
    dx: Tensor = backward_by_formula(x, weight, dy)[0]
    return dx


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
        right=(scale_with_linalg, scale_with_normalize, scale_with_numpy, scale_with_einsum),
        wrong=(
            (scale_half, "This is right to the precision of bfloat16"),
            (scale_by_rms, "This divides by the root of the mean square"),
            (scale_all_at_once, "This takes one norm of the whole tensor"),
            (scale_by_square, "This divides by the square of the norm"),
            (scale_by_sum, "This divides by the sum of the absolute values"),
            (scale_without_g, "This has length 1 whatever g is"),
            (scale_centred, "This subtracts the mean first"),
            (scale_by_largest, "The norm of (3, 4) is 5"),
            (scale_with_epsilon, "However short the vector, its length becomes g"),
            (scale_in_place, "Whoever called the function still needs its arguments"),
            (scale_first_dimension, "Two tokens, each with a norm of 2"),
            (scale_without_keepdim, "Two tokens, each with a norm of 2"),
            (scale_norm_only, "The norm of (3, 4) is 5"),
        ),
    ),
    "norm-rms-module": Answers(
        right=(RmsModule, RmsByTorch, RmsPlain, RmsByCourse),
        wrong=(
            (RmsWide, "The result stays in float32"),
            (RmsEpsOutside, "Here eps is added to the root"),
            (RmsNoEps, "eps is missing"),
            (RmsNoWeight, "The weight, one number for each feature, is missing"),
            (RmsGemma, "This multiplies by 1 + weight"),
            (RmsLayerNorm, "This is LayerNorm"),
            (RmsOfSum, "This divides by the norm"),
            (RmsOfAll, "This takes one mean of the whole tensor"),
            (RmsNoRoot, "This divides by the mean square"),
            (RmsNarrow, "x is in float16"),
            (RmsTorchEps, "These inputs are small against the root of eps"),
            (RmsCastEarly, "x is in float16"),
            (RmsFirstDimension, "The root mean square of (3, -3) is 3"),
        ),
    ),
    "norm-rms-backward": Answers(
        right=(backward_by_formula, backward_by_autograd, backward_with_numpy, backward_by_jacobian),
        wrong=(
            (backward_constant, "This takes the root mean square for a constant"),
            (backward_with_sum, "The part along x takes the mean of dy · y"),
            (backward_without_weight, "The weight is missing in dx"),
            (backward_not_summed, "dweight has the shape of the weight"),
            (backward_mean_of_tokens, "The gradients of all tokens add up in dweight"),
            (backward_not_normed, "Project on the normed vector"),
            (backward_of_layer_norm, "Subtracting the mean of dy is a part of LayerNorm's gradient"),
            (backward_not_divided, "The part along x is gone, as it must be"),
            (backward_plus, "The part along x is added: subtract it"),
            (backward_swapped, "Along x nothing changes"),
            (backward_of_x, "Along x nothing changes"),
            (backward_one_size, "The weight multiplies dy before"),
            (backward_dx_only, "Along x nothing changes"),
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
