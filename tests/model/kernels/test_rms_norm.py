"""RMSNorm's kernel against the formula, and where it is used."""

import pytest
import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model import rms_norm_reference
from course_lib.model.kernels import rms_norm
from tests.model.derivatives import gradients, leaf
from tests.model.kernels.conftest import Reached

ISAS = _kernels.available_isas()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 31), (130, 32), (65, 97), (64, 256)])
def test_rms_norm_on_every_instruction_set(isa: str, rows: int, width: int) -> None:
    x, weight, dy = torch.randn(rows, width), torch.randn(width), torch.randn(rows, width)
    y, inverse_rms = torch.empty(rows, width), torch.empty(rows)
    dx, dweight = torch.empty(rows, width), torch.empty(width)
    forward = [t.data_ptr() for t in (x, weight, y, inverse_rms)]
    _kernels.rms_norm_forward(*forward, rows, width, 1e-5, isa=isa)
    backward = [t.data_ptr() for t in (dy, x, weight, inverse_rms, dx, dweight)]
    _kernels.rms_norm_backward(*backward, rows=rows, width=width, isa=isa)
    exact_x, exact_weight = x.double().requires_grad_(), weight.double().requires_grad_()
    exact = rms_norm_reference(exact_x, exact_weight)
    exact.backward(dy.double())
    assert exact_x.grad is not None and exact_weight.grad is not None
    torch.testing.assert_close(y.double(), exact.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dx.double(), exact_x.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dweight.double(), exact_weight.grad, atol=1e-4, rtol=1e-4)


def test_unknown_instruction_set() -> None:
    with pytest.raises(ValueError, match="isa must be one of available_isas"):
        _kernels.rms_norm_forward(0, 0, 0, 0, 0, 0, 0.0, isa="mmx")


def test_any_strides() -> None:
    base = torch.randn(6, 5, 8)
    for x in (base.transpose(0, 1), base[:, ::2], base[..., ::2], base[0, 0].expand(4, 8)):
        weight = torch.randn(16, requires_grad=True)[:: 16 // x.shape[-1]]
        x = x.detach().requires_grad_()
        ours, expected = rms_norm(x, weight, 1e-5), rms_norm_reference(x, weight, 1e-5)
        torch.testing.assert_close(ours, expected)
        torch.testing.assert_close(gradients(ours, x, weight), gradients(expected, x, weight))


def test_an_expanded_gradient_and_two_uses() -> None:
    x, weight = leaf(4, 8), leaf(8)
    twice = rms_norm(rms_norm(x, weight, 1e-5), weight, 1e-5) + rms_norm(x, weight, 1e-5)
    expected = rms_norm_reference(rms_norm_reference(x, weight), weight) + rms_norm_reference(x, weight)
    torch.testing.assert_close(
        torch.autograd.grad(twice.sum(), (x, weight)), torch.autograd.grad(expected.sum(), (x, weight))
    )


def test_second_derivatives() -> None:
    def second(f: object) -> tuple[Tensor, ...]:
        x, weight = torch.linspace(-1, 2, 24).view(3, 8).requires_grad_(), torch.ones(8, requires_grad=True)
        y = f(x, weight, 1e-5)  # type: ignore[operator]
        dx, dweight = torch.autograd.grad((y**3).sum(), (x, weight), create_graph=True)
        return torch.autograd.grad(dx.square().sum() + dweight.square().sum(), (x, weight))

    torch.testing.assert_close(second(rms_norm), second(rms_norm_reference), atol=1e-3, rtol=1e-3)


def test_frozen_inputs_and_no_grad() -> None:
    x, weight = torch.randn(3, 8), leaf(8)
    torch.testing.assert_close(
        gradients(rms_norm(x, weight, 1e-5), weight), gradients(rms_norm_reference(x, weight), weight)
    )
    with torch.no_grad():
        assert not rms_norm(x, weight, 1e-5).requires_grad
    empty = torch.zeros(0, 8, requires_grad=True)
    assert rms_norm(empty, weight, 1e-5).shape == (0, 8)


def test_where_the_kernel_is_used(reached: Reached) -> None:
    x, weight = torch.randn(3, 8), leaf(8)
    y = rms_norm(x, weight, 1e-5)
    assert reached(lambda: rms_norm(x, weight, 1e-5)) == {"rms_norm_forward"}
    assert reached(y.sum().backward) == {"rms_norm_backward"}
    with torch.no_grad():
        assert reached(lambda: rms_norm(x[0], weight, 1e-5)) == {"rms_norm_forward"}
    for plain in (x.double(), x.bfloat16(), torch._neg_view(x)):
        assert not reached(lambda plain=plain: rms_norm(plain, weight, 1e-5))
        torch.testing.assert_close(rms_norm(plain, weight, 1e-5), rms_norm_reference(plain, weight, 1e-5))
    again = rms_norm(x, weight, 1e-5).sum()
    assert not reached(lambda: torch.autograd.grad(again, weight, create_graph=True))


def test_another_width_is_refused_and_never_read(reached: Reached) -> None:
    for width in (1, 7, 9):
        with pytest.raises(ValueError, match="8 in its last dimension"):
            reached(lambda width=width: rms_norm(torch.randn(3, width), torch.ones(8), 1e-5))
