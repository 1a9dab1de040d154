"""The gate's kernel against the formula, and where it is used."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from course_lib import _kernels
from course_lib.model.kernels import swiglu
from course_lib.model.kernels.swiglu import open_gate
from tests.model.derivatives import gradients, leaf
from tests.model.kernels.conftest import Reached

ISAS = _kernels.available_isas()


def by_torch(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, -1)
    return torch.nn.functional.silu(gate) * up


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "width"), [(0, 3), (1, 1), (2, 15), (3, 64), (5, 1001)])
def test_swiglu_on_every_instruction_set(isa: str, rows: int, width: int) -> None:
    gate_up, dy = 5 * torch.randn(rows, 2 * width), torch.randn(rows, width)
    y, dgate_up = torch.empty(rows, width), torch.empty(rows, 2 * width)
    _kernels.swiglu_forward(gate_up.data_ptr(), y.data_ptr(), rows=rows, width=width, isa=isa)
    addresses = dy.data_ptr(), gate_up.data_ptr(), dgate_up.data_ptr()
    _kernels.swiglu_backward(*addresses, rows=rows, width=width, isa=isa)
    exact_input = gate_up.double().requires_grad_()
    exact = by_torch(exact_input)
    (expected,) = torch.autograd.grad(exact, exact_input, dy.double())
    torch.testing.assert_close(y.double(), exact.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dgate_up.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("isa", ISAS)
def test_sigmoid_of_the_kernel_over_its_whole_range(isa: str) -> None:
    gate = torch.cat((torch.linspace(-200, 200, 100_001), torch.tensor([0.0, -0.0, 3e38, -3e38, 1e-40])))
    gate_up, y = torch.cat((gate, torch.ones_like(gate))), torch.empty_like(gate)
    _kernels.swiglu_forward(gate_up.data_ptr(), y.data_ptr(), rows=1, width=len(gate), isa=isa)
    exact = torch.nn.functional.silu(gate.double())
    inside = gate.abs() < 87  # beyond, exp is held at the edge of the range of float32
    torch.testing.assert_close(y[inside].double(), exact[inside], atol=1e-30, rtol=1e-6)
    torch.testing.assert_close(y[gate >= 87], gate[gate >= 87])
    assert not y[gate <= -87.1].any()
    gate_up[3] = float("nan")
    _kernels.swiglu_forward(gate_up.data_ptr(), y.data_ptr(), rows=1, width=len(gate), isa=isa)
    assert y[3].isnan() and y.isnan().sum() == 1


def test_takes_any_strides_and_has_second_derivatives() -> None:
    base = leaf(6, 5, 4)

    def second(f: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        slope = torch.autograd.grad((f(base.transpose(0, 2)) ** 2).sum(), base, create_graph=True)[0]
        return slope, torch.autograd.grad(slope.square().sum(), base, retain_graph=True)[0]

    torch.testing.assert_close(second(open_gate), second(by_torch), atol=1e-4, rtol=1e-4)


def test_where_the_kernel_is_used(reached: Reached) -> None:
    x, gate, up = leaf(7, 8), leaf(5, 8), leaf(5, 8)
    expected = torch.nn.functional.silu(x @ gate.T) * (x @ up.T)
    y = swiglu(x, gate, up)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(gradients(y, x, gate, up), gradients(expected, x, gate, up))
    assert reached(lambda: swiglu(x, gate, up)) == {"swiglu_forward"}
    assert reached(swiglu(x, gate, up).sum().backward) == {"swiglu_backward"}
    again = swiglu(x, gate, up).sum()
    assert not reached(lambda: torch.autograd.grad(again, x, create_graph=True))
    with torch.no_grad():
        assert reached(lambda: swiglu(x[:4], gate, up)) == {"multiply_few_rows"}
        assert reached(lambda: swiglu(x[:5], gate, up)) == {"swiglu_forward"}
        wide = [t.double() for t in (x, gate, up)]
        assert not reached(lambda: swiglu(*wide))
        torch.testing.assert_close(swiglu(*wide).float(), expected)
        with torch.autocast("cpu", torch.bfloat16):
            assert not reached(lambda: swiglu(x, gate, up))


def test_weights_that_do_not_fit_are_never_read(reached: Reached) -> None:
    x = torch.randn(7, 8)
    for gate, up in (((5, 8), (4, 8)), ((5, 9), (5, 8)), ((5, 8), (5, 7))):
        with pytest.raises((RuntimeError, ValueError), match=r"must match|features in its last dimension"):
            reached(lambda gate=gate, up=up: swiglu(x, torch.randn(gate), torch.randn(up)))
