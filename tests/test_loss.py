"""Cross-entropy against torch's, in every form, and the memory it must not take."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.diagnostics import saved_bytes
from course_lib.loss import bits_per_byte, cross_entropy, linear_cross_entropy, logsumexp, perplexity

CHUNKS = [None, 1, 7, 64, 1000]


def logits_and_targets(
    dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (50,), size: float = 3.0, classes: int = 37
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.empty(*shape, classes, dtype=dtype).uniform_(-size, size, generator=generator)
    return logits.requires_grad_(), torch.randint(classes, shape, generator=generator)


def reference(logits: Tensor, targets: Tensor, z_loss: float = 0.0, ignore_index: int = -100) -> Tensor:
    flat = logits.reshape(-1, logits.shape[-1])
    loss = F.cross_entropy(flat, targets.reshape(-1), ignore_index=ignore_index)
    log_z = torch.logsumexp(flat, -1)[targets.reshape(-1) != ignore_index]
    return loss + z_loss * log_z.square().mean()


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("size", [3.0, 1e4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_loss_and_gradient_are_torchs_also_where_exp_would_overflow(
    dtype: torch.dtype, tolerance: float, size: float, chunk_size: int | None
) -> None:
    logits, targets = logits_and_targets(dtype, size=size)
    loss, expected = cross_entropy(logits, targets, chunk_size=chunk_size), reference(logits, targets)
    assert loss.dtype == dtype
    torch.testing.assert_close(loss, expected, rtol=tolerance, atol=tolerance)
    ours, theirs = torch.autograd.grad(3 * loss, logits), torch.autograd.grad(3 * expected, logits)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_leading_dimensions_z_loss_and_ignored_targets(chunk_size: int | None) -> None:
    logits, targets = logits_and_targets(torch.float64, (4, 6), size=5.0)
    targets[1:3, 2:] = -100
    loss = cross_entropy(logits, targets, z_loss=0.01, ignore_index=-100, chunk_size=chunk_size)
    expected = reference(logits, targets, 0.01)
    torch.testing.assert_close(loss, expected)
    (ours,), (theirs,) = torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits)
    torch.testing.assert_close(ours, theirs)
    assert not ours[1:3, 2:].any()


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_ignored_rows_may_hold_anything(chunk_size: int | None) -> None:
    logits, targets = logits_and_targets()
    with torch.no_grad():
        logits[3], logits[5] = math.nan, math.inf
    targets[[3, 5]] = 0
    loss = cross_entropy(logits, targets.where(targets > 0, -1), ignore_index=-1, chunk_size=chunk_size)
    assert loss.isfinite()
    (gradient,) = torch.autograd.grad(loss, logits)
    if chunk_size is not None:  # autograd's own 0 * NaN is NaN, as in torch
        assert gradient.isfinite().all()


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_forbidden_classes_have_logit_minus_infinity(chunk_size: int | None) -> None:
    logits, targets = logits_and_targets()
    with torch.no_grad():
        logits[:, 0] = -math.inf
    targets = targets.clamp(min=1)
    loss, expected = cross_entropy(logits, targets, chunk_size=chunk_size), F.cross_entropy(logits, targets)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("chunk_size", [None, 16])
def test_half_precision_logits_are_computed_in_float32(dtype: torch.dtype, chunk_size: int | None) -> None:
    logits, targets = logits_and_targets(dtype)
    loss = cross_entropy(logits, targets, chunk_size=chunk_size)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(logits.float(), targets))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.dtype == dtype


def test_gradients_pass_gradcheck() -> None:
    logits, targets = logits_and_targets(torch.float64, (5,), classes=4)
    targets[2] = -1
    hidden = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    options = {"z_loss": 0.1, "ignore_index": -1}
    for chunk_size in (None, 1, 2, 5):
        assert torch.autograd.gradcheck(
            lambda x, chunk=chunk_size: cross_entropy(x, targets, chunk_size=chunk, **options), logits
        )
    for chunk_size in (1, 2, 5):
        assert torch.autograd.gradcheck(
            lambda h, w, chunk=chunk_size: linear_cross_entropy(h, w, targets, chunk_size=chunk, **options),
            (hidden, weight),
        )


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    classes=st.integers(1, 9),
    size=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    chunk_size=st.integers(1, 40),
    z_loss=st.sampled_from([0.0, 1e-4, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_every_form_agrees(
    shape: list[int], classes: int, size: float, chunk_size: int, z_loss: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(*shape, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = (size * torch.randn(classes, 3, dtype=torch.float64, generator=generator)).requires_grad_()
    targets = torch.randint(-1, classes, shape, generator=generator)
    targets.view(-1)[0] = 0
    expected = reference(hidden @ weight.T, targets, z_loss, ignore_index=-1)
    gradients = torch.autograd.grad(expected, (hidden, weight))
    for loss in (
        cross_entropy(hidden @ weight.T, targets, z_loss=z_loss, ignore_index=-1),
        cross_entropy(hidden @ weight.T, targets, z_loss=z_loss, ignore_index=-1, chunk_size=chunk_size),
        linear_cross_entropy(hidden, weight, targets, z_loss=z_loss, ignore_index=-1, chunk_size=chunk_size),
    ):
        torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(
            torch.autograd.grad(loss, (hidden, weight)), gradients, rtol=1e-9, atol=1e-9
        )


def test_a_constant_added_to_a_row_changes_nothing() -> None:
    logits, targets = logits_and_targets(torch.float64)
    shift = torch.linspace(-1e5, 1e5, len(logits), dtype=torch.float64).unsqueeze(-1)
    torch.testing.assert_close(
        cross_entropy(logits + shift, targets), cross_entropy(logits, targets), rtol=1e-9, atol=0
    )


def test_only_one_input_of_the_linear_form_may_need_a_gradient() -> None:
    hidden, weight = torch.randn(6, 4), torch.randn(9, 4)
    targets = torch.arange(6)
    assert not linear_cross_entropy(hidden, weight, targets).requires_grad
    for wanted in (hidden, weight):
        wanted.requires_grad_()
        (gradient,) = torch.autograd.grad(linear_cross_entropy(hidden, weight, targets, chunk_size=4), wanted)
        torch.testing.assert_close(
            gradient, *torch.autograd.grad(F.cross_entropy(hidden @ weight.T, targets), wanted)
        )
        wanted.requires_grad_(False)


class LargestTensor(TorchDispatchMode):
    """Notes the largest number of elements that any operation gives back."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor) and tensor.untyped_storage().nbytes() > 0:
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


def test_the_linear_form_never_holds_all_logits_forward_or_backward() -> None:
    rows, features, classes, chunk = 512, 8, 100, 32
    hidden, weight = (
        torch.randn(rows, features, requires_grad=True),
        torch.randn(classes, features, requires_grad=True),
    )
    targets = torch.randint(classes, (rows,))
    with LargestTensor() as plain:
        cross_entropy(hidden @ weight.T, targets).backward()
    assert plain.elements == rows * classes
    with LargestTensor() as chunked:
        linear_cross_entropy(hidden, weight, targets, chunk_size=chunk).backward()
    assert chunked.elements <= max(rows * features, chunk * classes)


def agreement(found: Tensor, expected: Tensor) -> tuple[float, float]:
    """Cosine of the angle between two tensors, and the ratio of their norms."""
    found, expected = found.double(), expected.double()
    size = found.norm() * expected.norm()
    return float((found * expected).sum() / size), float(found.norm() / expected.norm())


@pytest.mark.parametrize("scale", [1024.0, 32768.0, 65536.0])
@pytest.mark.parametrize(("chunk_size", "z_loss"), [(1024, 0.0), (700, 1e-4)])
def test_the_linear_form_in_float16_with_a_scaled_loss(scale: float, chunk_size: int, z_loss: float) -> None:
    # Probabilities of about 1 / 800, over 16,384 rows, are just above the smallest number of float16; what pulls
    # a class to the mean of all rows and what pushes it away nearly cancel.
    hidden, weight = (0.1 * torch.randn(16384, 4) + 0.5).half(), (0.1 * torch.randn(800, 4)).half()
    targets = torch.randint(800, (16384,))
    inputs = hidden.requires_grad_(), weight.requires_grad_()
    exact = tuple(x.detach().float().requires_grad_() for x in inputs)
    logits = exact[0] @ exact[1].T
    penalty = z_loss * torch.logsumexp(logits, -1).square().mean()
    expected = torch.autograd.grad(scale * (F.cross_entropy(logits, targets) + penalty), exact)
    loss = linear_cross_entropy(hidden, weight, targets, chunk_size=chunk_size, z_loss=z_loss)
    for _ in range(2):  # a graph that is kept gives the same again, at any scale
        torch.autograd.grad(loss, inputs, retain_graph=True)
        found = torch.autograd.grad(loss * scale, inputs, retain_graph=True)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == torch.float16 and agreement(a, b) == pytest.approx((1, 1), abs=1e-3)


@pytest.mark.parametrize("size", [1e-3, 1.0, 200.0])
def test_products_of_the_linear_form_stay_within_float16(size: float) -> None:
    hidden = (size * torch.rand(512, 8)).half().requires_grad_()  # all rows pull the same class the same way
    weight, targets = torch.zeros(9, 8).half().requires_grad_(), torch.full((512,), 3)
    loss = linear_cross_entropy(hidden, weight, targets)
    (gradient,) = torch.autograd.grad(8 * loss, weight)
    exact = weight.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(8 * F.cross_entropy(hidden.detach().double() @ exact.T, targets), exact)
    assert agreement(gradient, expected) == pytest.approx((1, 1), abs=2e-3)


def test_gradients_of_the_head_do_not_get_worse_with_the_number_of_chunks() -> None:
    hidden, weight = torch.randn(512, 16).bfloat16(), torch.randn(64, 16).bfloat16().requires_grad_()
    targets = torch.randint(64, (512,))
    exact = weight.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(hidden.double() @ exact.T, targets), exact)

    def error(chunk_size: int) -> float:
        loss = linear_cross_entropy(hidden, weight, targets, chunk_size=chunk_size)
        return float((torch.autograd.grad(loss, weight)[0].double() - expected).norm() / expected.norm())

    assert error(2) < 2 * error(512)  # added up in bfloat16: 6 times


def test_the_chunked_form_saves_two_numbers_a_row_beside_the_logits() -> None:
    logits, targets = logits_and_targets(shape=(256,), classes=100)
    with saved_bytes(logits) as plain:
        cross_entropy(logits, targets)
    with saved_bytes(logits) as chunked:
        cross_entropy(logits, targets, chunk_size=32)
    assert plain.total > logits.nbytes
    assert chunked.total < logits.nbytes / 10


def test_logsumexp_is_torchs_for_ordinary_huge_and_infinite_numbers() -> None:
    inf = math.inf
    x = torch.tensor(
        [[1.0, 2, 3], [1e4, -1e4, 1e4], [-inf, 0, 1], [-inf, -inf, -inf], [inf, 0, 1], [88, 89, 1e38]]
    )
    for dim in (0, 1, -1):
        torch.testing.assert_close(logsumexp(x[:4], dim), torch.logsumexp(x[:4], dim))
    torch.testing.assert_close(logsumexp(x, 1), torch.logsumexp(x, 1))
    y = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: logsumexp(t, 1), y)


def test_perplexity_and_bits_per_byte() -> None:
    assert perplexity(math.log(50)) == pytest.approx(50)
    assert perplexity(1e4) == math.inf
    torch.testing.assert_close(perplexity(torch.tensor(1.0)), torch.tensor(math.e))
    # A model that guesses every byte of a byte-level vocabulary uniformly needs 8 bits a byte.
    assert bits_per_byte(math.log(256), tokens=10, bytes=10) == pytest.approx(8)
    # Half as many tokens with twice the loss say the same.
    assert bits_per_byte(2 * math.log(256), tokens=5, bytes=10) == pytest.approx(8)
    torch.testing.assert_close(bits_per_byte(torch.tensor(math.log(2.0)), 1, 4), torch.tensor(0.25))


def test_wrong_arguments_are_named() -> None:
    logits, targets = torch.zeros(3, 5), torch.tensor([0, 1, 4])
    with pytest.raises(ValueError, match=r"targets have shape \(2,\); logits \(3, 5\) need \(3,\)"):
        cross_entropy(logits, targets[:2])
    with pytest.raises(ValueError, match="targets hold 5; with 5 classes they must be 0 … 4"):
        cross_entropy(logits, torch.tensor([0, 1, 5]))
    with pytest.raises(ValueError, match="targets hold -100"):
        cross_entropy(logits, torch.tensor([0, 1, -100]), ignore_index=-1)
    with pytest.raises(ValueError, match="all equal ignore_index -1"):
        cross_entropy(logits, torch.full((3,), -1), ignore_index=-1)
    with pytest.raises(ValueError, match="targets are empty"):
        cross_entropy(logits[:0], targets[:0])
    with pytest.raises(TypeError, match=r"targets are torch\.int32"):
        cross_entropy(logits, targets.int())
    with pytest.raises(TypeError, match=r"logits is torch\.int64"):
        cross_entropy(logits.long(), targets)
    for chunk_size in (0, -1):
        with pytest.raises(ValueError, match=f"chunk_size is {chunk_size}"):
            cross_entropy(logits, targets, chunk_size=chunk_size)
    for z_loss in (-1e-4, math.nan):
        with pytest.raises(ValueError, match="z_loss is"):
            cross_entropy(logits, targets, z_loss=z_loss)
    with pytest.raises(ValueError, match="tokens is 0"):
        bits_per_byte(1.0, 0, 5)


def test_wrong_arguments_of_the_linear_form_are_named() -> None:
    hidden, weight, targets = torch.zeros(3, 2), torch.zeros(5, 2), torch.tensor([0, 1, 4])
    with pytest.raises(ValueError, match=r"weight has shape \(5, 3\); hidden \(3, 2\) needs \(V, 2\)"):
        linear_cross_entropy(hidden, torch.zeros(5, 3), targets)
    with pytest.raises(ValueError, match=r"targets have shape \(3, 1\)"):
        linear_cross_entropy(hidden, weight, targets.unsqueeze(-1))
    with pytest.raises(TypeError, match=r"hidden is torch\.float32 and weight torch\.float64"):
        linear_cross_entropy(hidden, weight.double(), targets)
    with pytest.raises(ValueError, match="targets hold 5"):
        linear_cross_entropy(hidden, weight, torch.tensor([0, 1, 5]))
