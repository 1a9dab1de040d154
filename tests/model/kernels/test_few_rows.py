"""The product of a few rows against torch's, and where it is used."""

import pytest
import torch

from course_lib import _kernels
from course_lib.model.kernels import product
from course_lib.model.kernels.few_rows import few_rows_product
from tests.model.kernels.conftest import Reached

ISAS = _kernels.available_isas()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "width", "outputs"), [(0, 5, 3), (1, 1, 1), (1, 97, 5), (3, 64, 7)])
def test_few_rows_product_on_every_instruction_set(isa: str, rows: int, width: int, outputs: int) -> None:
    x, w, y = torch.randn(rows, width), torch.randn(outputs, width), torch.empty(rows, outputs)
    addresses = x.data_ptr(), w.data_ptr(), y.data_ptr()
    _kernels.multiply_few_rows(*addresses, rows, width, outputs, isa=isa)
    torch.testing.assert_close(y, x @ w.T, atol=1e-5, rtol=1e-4)


def test_it_is_used_for_a_few_rows_without_gradients(reached: Reached) -> None:
    wide, weight = torch.randn(4, 1, 12), torch.randn(5, 6)
    assert not reached(lambda: product(wide[..., :6], weight)), "a gradient may be asked for"
    with torch.no_grad():
        for x in (wide[..., ::2], wide[0, 0, :6], wide[:0, :, :6]):
            assert reached(lambda x=x: product(x, weight)) == {"multiply_few_rows"}
            torch.testing.assert_close(product(x, weight), x @ weight.T)
        for x, w in ((torch.randn(5, 6), weight), (wide[..., :6].double(), weight.double())):
            assert not reached(lambda x=x, w=w: product(x, w))
        with pytest.raises(ValueError, match="features in its last dimension"):
            reached(lambda: product(wide[:, 0], weight))
        transposed = torch.randn(6, 5).T
        x = wide[:2, 0, :6]
        torch.testing.assert_close(few_rows_product(x, transposed), x @ transposed.T)
