"""Products with small weights against torch's: on every instruction set, and as a function that autograd knows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from course_lib import _kernels
from course_lib.model.kernels import product
from course_lib.model.kernels.product import side_by_side
from tests.model.kernels.conftest import Reached


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def by_torch(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    return torch.cat([x @ weight.T for weight in weights], -1)


@pytest.mark.parametrize("isa", _kernels.available_isas())
@pytest.mark.parametrize("rows", [1, 7, 8, 19])
@pytest.mark.parametrize("depth", [1, 30, 1100])
@pytest.mark.parametrize("width", [16, 48, 112])
def test_product_on_every_instruction_set(isa: str, rows: int, depth: int, width: int) -> None:
    a, b = torch.randn(rows, depth), torch.randn(depth, width)
    expected = a.double() @ b.double()
    for left in (a, a.T.contiguous().T):
        for right in (b, b.T.contiguous().T):
            c = torch.full((rows, width + 5), 7.0)
            operands = *((x.data_ptr(), *x.stride()) for x in (left, right)), (c.data_ptr(), width + 5)
            options: dict[str, Any] = {"rows": rows, "depth": depth, "width": width, "isa": isa}
            _kernels.multiply(*operands, **options)
            torch.testing.assert_close(c[:, :width].double(), expected, atol=1e-3, rtol=1e-4)
            _kernels.multiply(*operands, **options, accumulate=True)
            torch.testing.assert_close(c[:, :width].double(), 2 * expected, atol=1e-3, rtol=1e-4)
            assert bool((c[:, width:] == 7).all())


@pytest.mark.parametrize("threads", [1, 2])  # by the kernel, where there is one, and by torch's product
def test_gradients_of_any_order_and_any_strides(threads: int) -> None:
    torch.set_num_threads(threads)
    base = torch.randn(32, 5, 3, requires_grad=True)
    weights = [torch.randn(n, 32, requires_grad=True) for n in (16, 48, 16)]

    def derivatives(f: Callable[[Tensor, Sequence[Tensor]], Tensor]) -> list[Tensor]:
        y = f(base.permute(2, 1, 0), weights)
        first = torch.autograd.grad(y.sin().sum(), (base, *weights), create_graph=True)
        second = torch.autograd.grad(torch.stack([d.sin().sum() for d in first]).sum(), (base, *weights))
        plain = torch.autograd.grad(f(base.permute(2, 1, 0), weights).sin().sum(), (base, *weights))
        return [y, *first, *second, *plain]

    torch.testing.assert_close(derivatives(side_by_side), derivatives(by_torch), atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize("threads", [1, 2])
def test_frozen_inputs_shared_weights_and_a_single_row(threads: int) -> None:
    torch.set_num_threads(threads)
    x, weight = torch.randn(16, requires_grad=True), torch.randn(16, 16, requires_grad=True)
    frozen = torch.randn(32, 16)

    def slopes(f: Callable[[Tensor, Sequence[Tensor]], Tensor]) -> tuple[Tensor | None, Tensor | None]:
        x.grad = weight.grad = None
        f(x, (weight, frozen, weight)).square().sum().backward()
        (f(x.detach(), (weight,)).sum() + f(x, (frozen,)).sum()).backward()
        return x.grad, weight.grad

    torch.testing.assert_close(slopes(side_by_side), slopes(by_torch), atol=1e-4, rtol=1e-4)


def test_where_the_kernel_is_used(reached: Reached) -> None:
    def weight(d_out: int, d_in: int) -> Tensor:
        return torch.randn(d_out, d_in, requires_grad=True)

    x, fitting = torch.randn(2, 3, 32), weight(48, 32)
    used = {"multiply"} if _kernels.available_isas()[-1] == "avx512" else set()
    assert reached(lambda: product(x, fitting)) == used
    assert reached(product(x, fitting).sum().backward) == used
    again = product(x, fitting).sum()
    assert not reached(lambda: torch.autograd.grad(again, fitting, create_graph=True))
    unused = [
        (x.double(), fitting.double()),
        (x[:0], fitting),
        (x, weight(40, 32)),
        (torch.randn(3, 40), weight(48, 40)),
        (torch.randn(3, 1024), weight(1024, 1024)),
        (x, torch.randn(32, 48).T),
    ]
    for one, other in unused:
        assert not reached(lambda one=one, other=other: product(one, other))
        torch.testing.assert_close(product(one, other), one @ other.T)
    with torch.autocast("cpu", torch.bfloat16):
        assert not reached(lambda: product(x, fitting))
    with FlopCounterMode(display=False) as counter:
        assert not reached(lambda: product(x, fitting))
    assert counter.get_total_flops() == 2 * 6 * 32 * 48, "torch's counter sees the product"
    torch.set_num_threads(2)
    assert not reached(lambda: product(x, fitting))


def test_weights_that_do_not_fit_are_never_read(reached: Reached) -> None:
    x = torch.randn(5, 32)
    for d_in in (16, 48):
        with pytest.raises(ValueError, match="features in its last dimension"):
            reached(lambda d_in=d_in: product(x, torch.randn(48, d_in)))
