"""RMSNorm and LayerNorm as modules, which call kernels with the values of the formulas in ``functional``."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.checks import check_choice, check_positive
from course_lib.model import kernels
from course_lib.model.checks import check_normable
from course_lib.model.config import NORMS
from course_lib.model.functional import layer_norm_reference


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
        return kernels.rms_norm(x, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Options shown by ``repr``."""
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
        check_normable(x, self.weight)
        if x.dtype != self.weight.dtype:
            return layer_norm_reference(x, self.weight, self.bias, self.eps)
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Options shown by ``repr``."""
        return f"d={len(self.weight)}, eps={self.eps}, bias={self.bias is not None}"


def make_norm(kind: str, d: int, eps: float) -> RMSNorm | LayerNorm:
    """The norm of a :class:`ModelConfig`: ``"rmsnorm"``, or ``"layernorm"`` without bias."""
    check_choice("norm", kind, NORMS)
    return RMSNorm(d, eps) if kind == "rmsnorm" else LayerNorm(d, eps, bias=False)
