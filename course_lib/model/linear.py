"""The two layers that hold nearly all parameters: a matrix to multiply with and a table to look up."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.checks import check_positive
from course_lib.model import kernels
from course_lib.model.checks import check_id_range, check_ids
from course_lib.model.watchers import is_plain, may_be_bypassed


def truncated_normal_(weight: Tensor, std: float) -> Tensor:
    """Fill ``weight`` in place from N(0, std²), cut off at three standard deviations, and return it."""
    return nn.init.trunc_normal_(weight, 0.0, std, -3 * std, 3 * std)


@may_be_bypassed
class Linear(nn.Module):
    """y = x W^T, without bias: (..., d_in) → (..., d_out).

    ``weight`` has shape (d_out, d_in), as in torch, and starts as a truncated normal of variance 2 / (d_in + d_out)
    (Glorot & Bengio 2010): a compromise between keeping the size of activations and that of gradients.

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
        """Draw new weights, with their standard deviation multiplied by ``gain``."""
        truncated_normal_(self.weight, gain * math.sqrt(2 / sum(self.weight.shape)))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) → (..., d_out)."""
        return kernels.product(x, self.weight)

    def extra_repr(self) -> str:
        """Options shown by ``repr``."""
        return "d_in={1}, d_out={0}".format(*self.weight.shape)


def plain_weights(*linears: nn.Module) -> list[Tensor] | None:
    """The weights of ``linears``, to compute with instead of calling each of them.

    None where one is not a plain :class:`Linear`: another layer in its place, or a layer that somebody watches.
    """
    weights: list[Tensor] = []
    for linear in linears:
        if type(linear) is not Linear or not is_plain(linear):
            return None
        weights.append(linear.weight)
    return weights


class Embedding(nn.Module):
    """Row ``weight[i]`` for each id i: (...) int64 → (..., d).

    ``weight`` has shape (num, d) and starts as a normal of variance 1, cut off at 3. Equals ``weight[ids]``, but torch
    computes the gradient of its own function faster.

    Raises ValueError where ids are not integers, or one is not in 0 … num - 1; TypeError where they are not a tensor.
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
        """Draw new vectors."""
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
        """Options shown by ``repr``."""
        return "num={}, d={}".format(*self.weight.shape)
