"""The two layers that hold nearly all parameters: a matrix to multiply with and a table to look up."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.model.checks import check_features, check_id_range, check_ids, check_positive
from course_lib.model.fused import can_fuse_product, few_rows_product, has_few_rows
from course_lib.model.product import can_multiply, multiply_by
from course_lib.model.watchers import can_fuse, is_plain, may_be_bypassed


def truncated_normal_(weight: Tensor, std: float) -> Tensor:
    """Fill ``weight`` in place from N(0, std²), cut off at three standard deviations, and return it."""
    return nn.init.trunc_normal_(weight, 0.0, std, -3 * std, 3 * std)


@may_be_bypassed
class Linear(nn.Module):
    """y = x W^T, without bias: (..., d_in) → (..., d_out).

    ``weight`` has shape (d_out, d_in), as in torch, and starts as a truncated normal of variance 2 / (d_in + d_out)
    (Glorot & Bengio 2010): between what keeps activations and what keeps gradients at their size.

    Raises ValueError where ``x`` has another number of features, dtype or device.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("d_in", d_in)
        check_positive("d_out", d_out)
        self.weight = nn.Parameter(torch.empty(d_out, d_in, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self, gain: float = 1.0) -> None:
        """Draw the weights anew, their standard deviation multiplied by ``gain``."""
        truncated_normal_(self.weight, gain * math.sqrt(2 / sum(self.weight.shape)))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) → (..., d_out)."""
        weight = self.weight
        check_features(x, weight)
        if can_fuse_product(x, weight):
            return few_rows_product(x, weight)
        if can_multiply(x, weight):
            return multiply_by(x, (weight,))
        return x @ weight.T

    def extra_repr(self) -> str:
        """What ``repr`` shows."""
        return "d_in={1}, d_out={0}".format(*self.weight.shape)


def can_project_together(x: Tensor, linears: Sequence[nn.Module]) -> bool:
    """Whether :func:`project_together` may stand for calling each of ``linears`` on x (..., d_in).

    Each must be a plain :class:`Linear`, not a layer put in its place or one that somebody watches.
    """
    if has_few_rows(x) or not can_fuse(x):
        return False
    if not all(type(linear) is Linear and is_plain(linear) for linear in linears):
        return False
    weights: list[Tensor] = [linear.weight for linear in linears]  # type: ignore[misc]
    return (
        all(x.shape[-1] == weight.shape[1] for weight in weights)
        and can_fuse(*weights)
        and not torch.is_autocast_enabled(x.device.type)
    )


def project_together(x: Tensor, linears: Sequence[Linear]) -> Tensor:
    """The results of ``linears`` side by side: x (N, d_in) → (N, sum of their d_out)."""
    return multiply_by(x, [linear.weight for linear in linears])


class Embedding(nn.Module):
    """Row ``weight[i]`` for each id i: (...) int64 → (..., d).

    ``weight`` has shape (num, d) and starts as a normal of variance 1, cut off at 3. Equals ``weight[ids]``, whose
    gradient torch computes faster through its own function.

    Raises ValueError where ids are not integers, or one is not in 0 … num - 1; TypeError where they are no tensor.
    """

    def __init__(
        self, num: int, d: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        check_positive("num", num)
        check_positive("d", d)
        self.weight = nn.Parameter(torch.empty(num, d, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        truncated_normal_(self.weight, 1.0)

    def forward(self, ids: Tensor) -> Tensor:
        """(...) → (..., d)."""
        check_ids(ids, "ids")
        if ids.device != self.weight.device:
            raise ValueError(f"ids must be on {self.weight.device} like the weights, not on {ids.device}")
        try:
            return functional.embedding(ids, self.weight)
        except IndexError:
            check_id_range(ids, self.weight.shape[0], "ids")
            raise

    def extra_repr(self) -> str:
        """What ``repr`` shows."""
        return "num={}, d={}".format(*self.weight.shape)
