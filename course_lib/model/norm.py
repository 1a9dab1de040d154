"""RMSNorm and LayerNorm: the formulas, and the modules, which call fused kernels with the same values."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.model.checks import check_choice, check_positive
from course_lib.model.config import NORMS
from course_lib.model.fused import fused_rms_norm
from course_lib.model.watchers import can_fuse


def rms_norm_reference(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """The formula of RMSNorm: x / sqrt(mean(x²) + eps) * weight (Zhang & Sennrich 2019, equation 4).

    The form to read; :class:`RMSNorm` is the one to use. Shapes: x (..., d), weight (d,). The mean over the last
    dimension is taken in float32 at least, since a sum of squares in 16 bits overflows or loses its small terms; the
    result has the dtype of ``x``.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (normed * weight).to(x.dtype)


def layer_norm_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias along the last dimension (Ba et al. 2016, equation 4).

    The form to read; :class:`LayerNorm` is the one to use. Shapes: x (..., d), weight and bias (d,).
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = wide - wide.mean(-1, keepdim=True)
    normed = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps) * weight
    return (normed if bias is None else normed + bias).to(x.dtype)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) * weight (Zhang & Sennrich 2019): (..., d) → (..., d), in the dtype of ``x``.

    Parameters: ``weight`` (d,), ones. Raises ValueError where ``x`` has another last dimension or device.
    """

    def __init__(
        self,
        d: int,
        eps: float = 1e-5,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("d", d)
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(d, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights to one."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) → (..., d)."""
        weight = self.weight
        if x.shape[-1:] == weight.shape and can_fuse(x, weight):
            return fused_rms_norm(x, weight, self.eps)
        _check_normable(x, weight)
        return rms_norm_reference(x, weight, self.eps)

    def extra_repr(self) -> str:
        """What ``repr`` shows."""
        return f"d={len(self.weight)}, eps={self.eps}"


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias (Ba et al. 2016): (..., d) → (..., d), in the dtype of ``x``.

    Parameters: ``weight`` (d,), ones, and ``bias`` (d,), zeros, unless ``bias=False``. Raises ValueError where ``x``
    has another last dimension or device.
    """

    def __init__(
        self,
        d: int,
        eps: float = 1e-5,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("d", d)
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(d, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(d, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights to one and the bias to zero."""
        nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) → (..., d)."""
        _check_normable(x, self.weight)
        if x.dtype != self.weight.dtype:
            return layer_norm_reference(x, self.weight, self.bias, self.eps)
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """What ``repr`` shows."""
        return f"d={len(self.weight)}, eps={self.eps}, bias={self.bias is not None}"


def make_norm(kind: str, d: int, eps: float) -> RMSNorm | LayerNorm:
    """The norm of a :class:`ModelConfig`: ``"rmsnorm"``, or ``"layernorm"`` without bias."""
    check_choice("norm", kind, NORMS)
    return RMSNorm(d, eps) if kind == "rmsnorm" else LayerNorm(d, eps, bias=False)


def _check_normable(x: Tensor, weight: Tensor) -> None:
    if not x.ndim or x.shape[-1] != weight.shape[0] or not x.is_floating_point():
        raise ValueError(
            f"x must hold floating-point numbers, {len(weight)} in its last dimension, "
            f"not {x.dtype} of shape {tuple(x.shape)}"
        )
    if x.device != weight.device:
        raise ValueError(f"x must be on {weight.device} like the weights, not on {x.device}")
