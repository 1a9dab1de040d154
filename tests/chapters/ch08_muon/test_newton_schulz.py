"""Polynomials on singular values: their effect on matrices, and the optimality of the designed ones."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.chapters.ch08_muon.experiments import newton_schulz as lab
from course_lib.optim import MUON_COEFFICIENTS, newton_schulz


def test_a_matrix_is_told_by_the_polynomial_of_its_singular_values() -> None:
    values = np.array([0.9, 0.5, 0.1, 0.01])
    matrix = lab.with_spectrum(values, 4, 7)
    np.testing.assert_allclose(torch.linalg.svdvals(matrix).numpy(), values, atol=1e-12)
    result = torch.linalg.svdvals(newton_schulz(matrix, 3, MUON_COEFFICIENTS)).numpy()
    expected = lab.composed(values / np.linalg.norm(values), [MUON_COEFFICIENTS] * 3)
    np.testing.assert_allclose(np.sort(result), np.sort(expected), atol=1e-9)


def test_the_polar_factor_is_orthogonal_and_nearest() -> None:
    matrix = torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    factor = lab.polar_factor(matrix)
    torch.testing.assert_close(factor @ factor.T, torch.eye(5, dtype=torch.float64))
    for seed in range(20):
        other = lab.with_spectrum(np.ones(5), 5, 8, seed)
        assert (matrix - factor).norm() < (matrix - other).norm()


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 0.95))
def test_the_best_quintic_equioscillates_so_that_no_other_is_better(low: float) -> None:
    triple, error = lab.best_quintic(low, 1.0)
    x = np.unique(np.concatenate([np.geomspace(low, 1, 4000), np.linspace(low, 1, 4000)]))
    difference = 1 - lab.polynomial(x, triple)
    assert np.abs(difference).max() == pytest.approx(error, rel=1e-3, abs=1e-12)
    # Chebyshev's criterion for three coefficients: four extremes of one size, with changing signs.
    if error > 1e-10:
        extremes = difference[np.abs(difference) > 0.999 * error]
        assert 1 + np.count_nonzero(np.diff(np.sign(extremes))) == 4


def test_narrow_intervals_get_the_flattest_quintic() -> None:
    (a, b, c), error = lab.best_quintic(1 - 1e-6, 1 + 1e-6)
    assert (a, b, c) == pytest.approx(lab.TAYLOR)
    assert error < 1e-12


def test_polar_express_begins_as_published() -> None:
    # Amsel et al. 2025, the coefficients for a lower end of 0.001, before their safety factor
    assert lab.polar_express(1e-3, 5)[0] == pytest.approx((8.4703, -25.1081, 18.6293), abs=1e-4)
    table = lab.errors(lab.methods(1e-3, 5), 1e-3).pivot(index="step", columns="method", values="error")
    assert table.loc[5].idxmin() == "Polar Express"
    assert table.loc[0].tolist() == pytest.approx([0.999] * 3)


@pytest.mark.parametrize("lower", [0, 1, -0.1])
def test_an_impossible_interval_is_refused(lower: float) -> None:
    with pytest.raises(ValueError, match="lower is"):
        lab.polar_express(lower, 5)
    with pytest.raises(ValueError, match="steps is -1"):
        lab.polar_express(0.1, -1)


@pytest.mark.parametrize("shape", [(8, 8), (8, 24), (24, 8)])
def test_flops_are_those_that_torch_counts(shape: tuple[int, int]) -> None:
    assert lab.step_flops(*shape, steps=3) == lab.counted_flops(*shape, steps=3)


def test_overhead_of_square_matrices_is_five_d_over_n() -> None:
    assert lab.overhead(64, 1000, d_ff=64) == pytest.approx(5 * 64 / 1000)
    assert lab.overhead(64, 2000) == pytest.approx(lab.overhead(64, 1000) / 2)


def test_timings_tell_way_time_and_error() -> None:
    frame = lab.timings(16, repeats=1)
    assert list(frame.columns) == ["way", "milliseconds", "error"] and len(frame) == 3
    assert frame.set_index("way").error["SVD, float32"] < 1e-5
