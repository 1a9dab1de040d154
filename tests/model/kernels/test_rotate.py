"""The rotation's kernel against the formula, and where it is used."""

import pytest
import torch

from course_lib import _kernels
from course_lib.model import RotaryEmbedding, rotate_pairs
from course_lib.model.kernels import rotate
from tests.model.derivatives import leaf
from tests.model.kernels.conftest import Reached

ISAS = _kernels.available_isas()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", ["interleaved", "half"])
@pytest.mark.parametrize("pairs", [1, 3, 12, 16, 37])
def test_rotate_on_every_instruction_set(isa: str, layout: str, pairs: int) -> None:
    x, y = torch.randn(2, 5, 3, 2 * pairs), torch.empty(2, 5, 3, 2 * pairs)
    cos, sin = torch.randn(5, pairs), torch.randn(5, pairs)
    for transposed in (False, True):
        _kernels.rotate(
            *(t.data_ptr() for t in (x, cos, sin, y)),
            (2, 5, 3, pairs),
            interleaved=layout == "interleaved",
            transposed=transposed,
            isa=isa,
        )
        expected = rotate_pairs(x, cos.unsqueeze(1), (-sin if transposed else sin).unsqueeze(1), layout)
        torch.testing.assert_close(y, expected)


def test_takes_any_strides_and_has_derivatives_of_any_order() -> None:
    rope = RotaryEmbedding(100.0, 6, 20, scaling={"type": "yarn", "factor": 2, "original_max_seq_len": 10})
    tables = rope.tables(5, start=3)
    base = leaf(5, 2, 4, 6)
    q, k = base.transpose(0, 1), base[:, :1, ::2].transpose(0, 1)
    turned = rotate((q, k), *tables, "half")
    expected = tuple(rotate_pairs(x, *(t.unsqueeze(1) for t in tables), "half") for x in (q, k))
    torch.testing.assert_close(turned, expected)
    slopes = [
        torch.autograd.grad((a**3).sum() * (b**3).sum(), base, create_graph=True)[0]
        for a, b in (turned, expected)
    ]
    torch.testing.assert_close(*slopes, atol=1e-3, rtol=1e-4)
    curvatures = [torch.autograd.grad(slope.square().sum(), base)[0] for slope in slopes]
    torch.testing.assert_close(*curvatures, atol=1e-2, rtol=1e-3)


def test_where_the_kernel_is_used(reached: Reached) -> None:
    x, cos, sin = leaf(2, 5, 3, 8), torch.randn(5, 4), torch.randn(5, 4)
    assert reached(lambda: rotate((x,), cos, sin, "half")[0].sum().backward()) == {"rotate"}
    with torch.no_grad():
        assert reached(lambda: rotate((x, x), cos, sin, "half")) == {"rotate"}
    (turned,) = rotate((x,), cos, sin, "half")
    assert not reached(lambda: torch.autograd.grad(turned.sum(), x, create_graph=True))
    per_sequence = cos.expand(2, 5, 4), sin.expand(2, 5, 4)
    assert not reached(lambda: torch.testing.assert_close(rotate((x,), *per_sequence, "half")[0], turned))
    for other in (x.double(), x.bfloat16()):
        assert not reached(lambda other=other: rotate((other,), cos, sin, "half"))


def test_tables_of_another_size_are_never_read(reached: Reached) -> None:
    x = torch.randn(2, 5, 3, 8)
    one_row = torch.randn(1, 4), torch.randn(1, 4)  # broadcast by the formula
    assert not reached(lambda: rotate((x,), *one_row, "half"))
    for shape in ((4, 4), (5, 3)):
        with pytest.raises(RuntimeError, match="must match the size"):
            reached(lambda shape=shape: rotate((x,), torch.randn(shape), torch.randn(shape), "half"))
