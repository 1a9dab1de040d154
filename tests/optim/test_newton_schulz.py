"""Newton-Schulz against the singular value decomposition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.optim import MUON_COEFFICIENTS, newton_schulz, update_scale

CUBIC = (1.5, -0.5, 0.0)  # converges to exactly 1, slowly


def polynomial(x: torch.Tensor, steps: int, a: float, b: float, c: float) -> torch.Tensor:
    for _ in range(steps):
        x = a * x + b * x**3 + c * x**5
    return x


@given(
    rows=st.integers(1, 12),
    cols=st.integers(1, 12),
    batch=st.lists(st.integers(1, 3), max_size=2),
    steps=st.integers(0, 7),
    seed=st.integers(0, 2**31),
)
def test_it_applies_the_polynomial_to_every_singular_value(
    rows: int, cols: int, batch: list[int], steps: int, seed: int
) -> None:
    matrix = torch.randn(
        *batch, rows, cols, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    start = s / s.square().sum(-1, keepdim=True).sqrt()
    expected = u @ torch.diag_embed(polynomial(start, steps, *MUON_COEFFICIENTS)) @ vh
    torch.testing.assert_close(newton_schulz(matrix, steps), expected, rtol=1e-6, atol=1e-8)


def test_the_cubic_iteration_converges_to_the_polar_factor() -> None:
    matrix = torch.randn(2, 20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(newton_schulz(matrix, 40, CUBIC), u @ vh)


def test_coefficients_may_differ_from_step_to_step() -> None:
    matrix = torch.randn(5, 4, dtype=torch.float64)
    twice = newton_schulz(newton_schulz(matrix, 1), 0)
    s = torch.linalg.svdvals(matrix)
    s = s / s.norm()
    expected = polynomial(polynomial(s, 1, *MUON_COEFFICIENTS), 1, *CUBIC)
    both = torch.linalg.svdvals(newton_schulz(matrix, 2, [MUON_COEFFICIENTS, CUBIC]))
    torch.testing.assert_close(both, expected.sort(descending=True).values)
    assert twice.norm() == pytest.approx(1)


def test_five_steps_bring_singular_values_near_one() -> None:
    """Jordan 2024: to about 0.7 … 1.2 for values that are not tiny."""
    matrix = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(newton_schulz(matrix))
    assert values.min() > 0.65 and values.max() < 1.25


def test_dtype_zero_and_scale() -> None:
    matrix = torch.randn(6, 4)
    assert newton_schulz(matrix.bfloat16()).dtype == torch.bfloat16
    assert newton_schulz(matrix.double()).dtype == torch.float64
    assert not newton_schulz(torch.zeros(3, 4)).any()
    torch.testing.assert_close(newton_schulz(1e-3 * matrix), newton_schulz(matrix), rtol=1e-4, atol=1e-5)
    assert not torch.equal(newton_schulz(matrix, dtype=torch.bfloat16), newton_schulz(matrix))


def test_scale_rules() -> None:
    assert update_scale((100, 400), "moonlight") == pytest.approx(0.2 * 20)
    assert update_scale((400, 100), "moonlight") == pytest.approx(0.2 * 20)
    assert update_scale((400, 100), "jordan") == pytest.approx(2)
    assert update_scale((100, 400), "jordan") == 1
    # Moonlight's rule gives an orthogonal update the root mean square 0.2.
    update = torch.linalg.qr(torch.randn(400, 100))[0] * update_scale((400, 100), "moonlight")
    assert update.square().mean().sqrt() == pytest.approx(0.2, rel=1e-4)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"matrix has shape \(3,\)"):
        newton_schulz(torch.ones(3))
    with pytest.raises(ValueError, match="steps is -1"):
        newton_schulz(torch.ones(3, 3), -1)
    with pytest.raises(ValueError, match="or 3 such triples, one per step"):
        newton_schulz(torch.ones(3, 3), 3, [CUBIC, CUBIC])
