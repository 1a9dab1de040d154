"""Every optimizer against torch's and against its own readable step, over 200 steps of random problems."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from course_lib import optim
from course_lib.optim import reference

# Small and large (cut into pieces for the cache), vectors and matrices, a scalar.
SHAPES = [(40, 30), (7,), (30, 40), (40, 30), (300, 250), (), (1, 1), (3, 4, 5)]
MATRICES = [(40, 30), (30, 40), (40, 30), (64, 64), (100, 70), (1, 9), (9, 1)]
# For bfloat16, which torch multiplies a hundred times slower where the processor has no instructions for it.
SMALL_MATRICES = [(24, 16), (16, 24), (24, 16), (20, 20), (1, 9), (9, 1)]

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def parameters(
    shapes: list[tuple[int, ...]], seed: int, dtype: torch.dtype = torch.float32
) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in shapes]


def gradients(params: list[nn.Parameter], generator: torch.Generator) -> list[Tensor]:
    """Noise of changing size plus a pull that depends on where the parameters are."""
    size = 10 ** float(torch.empty(()).uniform_(-2, 1, generator=generator))
    return [size * torch.randn(p.shape, generator=generator).to(p.dtype) + p.detach().tanh() for p in params]


def run(make: Make, shapes: list[tuple[int, ...]], seed: int, steps: int = 200) -> list[nn.Parameter]:
    params = parameters(shapes, seed)
    optimizer = make(params)
    generator = torch.Generator().manual_seed(seed + 1)
    for step in range(steps):
        for index, (param, grad) in enumerate(zip(params, gradients(params, generator), strict=True)):
            # Now and then a parameter has no gradient, and falls a step behind the others.
            param.grad = None if (step + index) % 17 == 5 else grad
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / steps)
        optimizer.step()
    return params


def run_reference(
    step_function: Callable[..., None], options: dict[str, Any], shapes: list[tuple[int, ...]], seed: int
) -> list[nn.Parameter]:
    class Looped(torch.optim.Optimizer):
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        step_function(param, param.grad, self.state[param], lr=group["lr"], **options)

    return run(lambda params: Looped(params, {"lr": 0.0}), shapes, seed)


def assert_equal(ours: list[nn.Parameter], theirs: list[nn.Parameter], tolerance: float) -> None:
    for mine, yours in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, yours, rtol=tolerance, atol=tolerance)


SGD_OPTIONS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    {"weight_decay": 0.1},
]
BETAS_AND_SEEDS = [((0.9, 0.999), 0), ((0.9, 0.95), 1), ((0.0, 0.5), 2), ((0.5, 0.5), 3)]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("options", SGD_OPTIONS)
def test_sgd_is_torchs_and_the_readable_one(options: dict[str, Any], seed: int) -> None:
    ours = run(lambda params: optim.SGD(params, 0.1, **options), SHAPES, seed)
    assert_equal(ours, run(lambda params: torch.optim.SGD(params, 0.1, **options), SHAPES, seed), 1e-5)
    assert_equal(ours, run_reference(reference.sgd_step, options, SHAPES, seed), 1e-5)


fused_or_lists = pytest.mark.parametrize("fused", [True, False])


@fused_or_lists
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("betas", "seed"), BETAS_AND_SEEDS)
def test_adam_is_torchs_and_the_readable_one(
    betas: tuple[float, float], seed: int, decay: float, fused: bool
) -> None:
    ours = run(lambda params: optim.Adam(params, 0.1, betas, 1e-8, decay, fused=fused), SHAPES, seed)
    theirs = run(lambda params: torch.optim.Adam(params, 0.1, betas, weight_decay=decay), SHAPES, seed)
    assert_equal(ours, theirs, 1e-5)
    assert_equal(ours, run_reference(reference.adam_step, {"betas": betas, "l2": decay}, SHAPES, seed), 1e-5)


@fused_or_lists
@pytest.mark.parametrize(("decay", "eps"), [(0.0, 1e-8), (0.5, 1e-8), (0.5, 1e-3)])
@pytest.mark.parametrize(("betas", "seed"), BETAS_AND_SEEDS)
def test_adamw_is_torchs_and_the_readable_one(
    betas: tuple[float, float], seed: int, decay: float, eps: float, fused: bool
) -> None:
    ours = run(lambda params: optim.AdamW(params, 0.1, betas, eps, decay, fused=fused), SHAPES, seed)
    theirs = run(lambda params: torch.optim.AdamW(params, 0.1, betas, eps, decay), SHAPES, seed)
    assert_equal(ours, theirs, 1e-5)
    options = {"betas": betas, "weight_decay": decay, "eps": eps}
    assert_equal(ours, run_reference(reference.adamw_step, options, SHAPES, seed), 1e-5)


MUON_RULES = [("moonlight", "match_rms_adamw"), ("jordan", "original")]


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize(("scale", "rule"), MUON_RULES)
def test_muon_is_torchs_exactly_where_both_iterate_in_bfloat16(
    scale: Any, rule: str, decay: float, nesterov: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One matrix at a time, so that a batched product that rounds otherwise on some processor does not come in."""
    monkeypatch.setattr("course_lib.optim.muon.BATCH_ELEMENTS", 1)
    options = {"momentum": 0.9, "nesterov": nesterov, "weight_decay": decay}
    half = {"scale": scale, "ns_dtype": torch.bfloat16, **options}
    ours = run(lambda params: optim.Muon(params, 0.1, **half), SMALL_MATRICES, 0, steps=60)
    theirs = run(
        lambda params: torch.optim.Muon(params, adjust_lr_fn=rule, **options), SMALL_MATRICES, 0, steps=60
    )
    assert_equal(ours, theirs, 1e-6)


@pytest.mark.parametrize(("scale", "rule"), MUON_RULES)
def test_muon_in_float32_is_torchs_within_the_rounding_of_its_bfloat16(scale: Any, rule: str) -> None:
    """A step moves a weight by lr · scale · 1 at most; bfloat16 keeps 8 bits of it."""
    ours = run(lambda params: optim.Muon(params, 0.1, scale=scale, weight_decay=0.1), SMALL_MATRICES, 0)
    theirs = run(
        lambda params: torch.optim.Muon(params, weight_decay=0.1, adjust_lr_fn=rule), SMALL_MATRICES, 0
    )
    moved = parameters(SMALL_MATRICES, 0)
    for start, mine, yours in zip(moved, ours, theirs, strict=True):
        path = (yours - start).norm()
        assert (mine - yours).norm() < 0.02 * path


@pytest.mark.parametrize("scale", ["moonlight", "jordan"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_the_readable_one(scale: Any, nesterov: bool) -> None:
    options = {"momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.2, "scale": scale}
    ours = run(lambda params: optim.Muon(params, 0.1, **options), MATRICES, 0)
    assert_equal(ours, run_reference(reference.muon_step, options, MATRICES, 0), 1e-4)


def test_a_batch_of_matrices_may_be_split_where_copies_would_grow_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = run(lambda params: optim.Muon(params, 0.1), MATRICES, 0, steps=20)
    monkeypatch.setattr("course_lib.optim.muon.BATCH_ELEMENTS", 1)
    assert_equal(ours, run(lambda params: optim.Muon(params, 0.1), MATRICES, 0, steps=20), 1e-5)


def test_parameters_that_are_not_contiguous_are_updated_whole() -> None:
    def transposed(make: Callable[..., torch.optim.Optimizer]) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        param = nn.Parameter(torch.randn(300, 200, generator=generator).T)
        optimizer = make([param], lr=0.01)
        for _ in range(5):
            param.grad = torch.randn(200, 300, generator=generator)
            optimizer.step()
        return param.detach()

    torch.testing.assert_close(transposed(optim.AdamW), transposed(torch.optim.AdamW))
    torch.testing.assert_close(transposed(optim.SGD), transposed(torch.optim.SGD))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_keep_their_dtype(dtype: torch.dtype) -> None:
    for make in (optim.SGD, optim.AdamW, optim.Muon):
        params = parameters([(20, 30), (30, 20)], 0, dtype)
        before = [param.detach().clone() for param in params]
        optimizer = make(params, lr=0.1)
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer.step()
        assert all(param.dtype == dtype and param.isfinite().all() for param in params)
        assert not any(torch.equal(param, old) for param, old in zip(params, before, strict=True))
