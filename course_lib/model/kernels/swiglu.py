"""The gated half of a SwiGLU layer by the compiled kernels where they may run, by torch's operations elsewhere."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from course_lib import _kernels
from course_lib.model.kernels.eligibility import needs_formulas
from course_lib.model.kernels.product import may_be_side_by_side, product, side_by_side


def swiglu(x: Tensor, gate_weight: Tensor, up_weight: Tensor) -> Tensor:
    """silu(x W_gate^T) * (x W_up^T) of x (..., d_model) and weights (d_ff, d_model): (..., d_ff)."""
    if may_be_side_by_side(x, gate_weight, up_weight) and gate_weight.shape == up_weight.shape:
        return open_gate(side_by_side(x, (gate_weight, up_weight)))
    return functional.silu(product(x, gate_weight)) * product(x, up_weight)


def open_gate(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of gate and up side by side, eligible: (..., 2 d_ff) → (..., d_ff)."""
    if not torch.is_grad_enabled():
        return _forward(gate_up)
    return _Gate.apply(gate_up)  # type: ignore[no-any-return, no-untyped-call]


def _forward(gate_up: Tensor) -> Tensor:
    gate_up = gate_up.contiguous()
    width = gate_up.shape[-1] // 2
    y = gate_up.new_empty(*gate_up.shape[:-1], width)
    _kernels.swiglu_forward(gate_up.data_ptr(), y.data_ptr(), rows=y.numel() // max(width, 1), width=width)
    return y


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        return _forward(gate_up)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        if needs_formulas(dy):
            gate, up = gate_up.chunk(2, -1)
            opened = torch.sigmoid(gate)
            return torch.cat((dy * up * opened * (1 + gate * (1 - opened)), dy * gate * opened), -1)
        dy, gate_up = dy.contiguous(), gate_up.contiguous()
        dgate_up, width = torch.empty_like(gate_up), dy.shape[-1]
        addresses = dy.data_ptr(), gate_up.data_ptr(), dgate_up.data_ptr()
        _kernels.swiglu_backward(*addresses, rows=dy.numel() // max(width, 1), width=width)
        return dgate_up
