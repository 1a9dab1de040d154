"""Where a kernel may stand in for torch's operations."""

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from course_lib.model import GatedFFN, RotaryEmbedding
from course_lib.model.kernels.eligibility import eligible, needs_formulas


def test_only_plain_float32_on_the_cpu_is_eligible() -> None:
    x = torch.randn(3)
    assert eligible(x, torch.nn.Parameter(x))
    assert not eligible(x, x.double())
    assert not eligible(x, x.bfloat16())
    assert not eligible(x.to("meta"))
    assert not eligible(x.to_sparse())
    assert not eligible(torch._neg_view(x))
    assert not eligible(x.as_subclass(type("Subclass", (Tensor,), {})))
    with torch._subclasses.FakeTensorMode():
        assert not eligible(torch.randn(3))


class FunctionMode(TorchFunctionMode):
    pass


def test_nothing_is_eligible_while_a_mode_watches() -> None:
    x = torch.randn(3)
    with torch.device("cpu"):  # a mode too, but one that only chooses the device
        assert eligible(x)
    with FunctionMode():
        assert not eligible(x)
    with FlopCounterMode(display=False):
        assert not eligible(x)
    with forward_ad.dual_level():
        assert not eligible(x)
    assert eligible(x)


@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:DeprecationWarning")
def test_nothing_is_eligible_under_tracers_and_transforms() -> None:
    x, answers = torch.randn(3, 2), []

    def ask(x: Tensor) -> Tensor:
        answers.append(eligible(x))
        return x * 1

    torch.func.vmap(ask)(x)
    torch.func.grad(lambda x: ask(x).sum())(x)
    torch.jit.trace(ask, x, check_trace=False)
    torch.compile(ask, backend="eager")(x)
    torch._dynamo.reset()
    assert len(answers) >= 4 and not any(answers)


def test_backward_passes_that_need_formulas() -> None:
    x = torch.randn(3)
    assert needs_formulas(x), "gradients are recorded: there may be a second derivative"
    with torch.no_grad():
        assert not needs_formulas(x)
        assert needs_formulas(x.double())


def test_layers_give_the_same_under_transforms() -> None:
    ffn, rope, x = GatedFFN(8, 16, "swiglu"), RotaryEmbedding(100.0, 8, 16), torch.randn(4, 3, 8)
    torch.testing.assert_close(torch.func.vmap(ffn)(x), ffn(x))
    torch.testing.assert_close(torch.func.vmap(rope)(x), rope(x))
