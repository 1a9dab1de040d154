"""Chapter 7's experiments against formulas, torch's optimizers and brute force."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.chapters.ch07_adamw_and_l2.experiments import weight_decay as lab


@given(
    condition=st.floats(1, 100),
    angle=st.floats(0, 90),
    l2=st.floats(0, 3),
    where=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
)
def test_the_bowl_has_its_condition_and_its_minimum_with_l2(
    condition: float, angle: float, l2: float, where: tuple[float, float]
) -> None:
    bowl = lab.Bowl(condition, angle)
    assert np.linalg.cond(bowl.hessian) == pytest.approx(condition)
    steep = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    np.testing.assert_allclose(bowl.hessian @ steep, steep, atol=1e-9)

    def penalized(w: np.ndarray) -> float:
        away = w - np.array(bowl.minimum)
        return float(away @ bowl.hessian @ away / 2 + l2 * w @ w / 2)

    best = bowl.minimum_with_l2(l2)
    assert penalized(best) <= penalized(np.array(where)) + 1e-9


@pytest.mark.parametrize("name", lab.OPTIMIZERS)
def test_paths_are_those_of_torchs_optimizers(name: str) -> None:
    bowl = lab.Bowl(10, 30)
    w = torch.nn.Parameter(torch.tensor([0.0, 2.0], dtype=torch.float64))
    optimizer = {
        "SGD": lambda: torch.optim.SGD([w], 0.05, weight_decay=0.3),
        "SGD + momentum": lambda: torch.optim.SGD([w], 0.05, 0.9, weight_decay=0.3),
        "Adam + L2": lambda: torch.optim.Adam([w], 0.05, (0.9, 0.999), weight_decay=0.3),
        "AdamW": lambda: torch.optim.AdamW([w], 0.05, (0.9, 0.999), weight_decay=0.3),
    }[name]()
    path = lab.path(name, bowl, lr=0.05, decay=0.3, steps=50)
    hessian, minimum = torch.tensor(bowl.hessian), torch.tensor(bowl.minimum, dtype=torch.float64)
    for step in range(50):
        np.testing.assert_allclose(path.points[step], w.detach(), atol=1e-9)
        loss = (w - minimum) @ hessian @ (w - minimum) / 2
        optimizer.zero_grad()
        loss.backward()
        assert path.gradient_norms[step] == pytest.approx(w.grad.norm().item(), abs=1e-9)
        before = w.detach().clone()
        optimizer.step()
        assert path.update_norms[step] == pytest.approx((w.detach() - before).norm().item(), abs=1e-9)


def test_noise_has_the_shape_of_the_hessian_and_is_seeded() -> None:
    bowl = lab.Bowl(25, 20)
    walk = [
        lab.path("SGD", bowl, lr=1.0, decay=0.0, noise=2.0, steps=20_000, seed=seed) for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(walk[0].points, walk[1].points)
    assert not np.array_equal(walk[0].points, walk[2].points)
    steps = np.diff(walk[0].points, axis=0)
    drift = (walk[0].points[:-1] - np.array(bowl.minimum)) @ bowl.hessian
    np.testing.assert_allclose(np.cov((-steps - drift).T), 4 * bowl.hessian, atol=0.1)


def test_an_unknown_optimizer_or_form_is_named() -> None:
    with pytest.raises(ValueError, match="optimizer is 'Lion'"):
        lab.path("Lion", lab.Bowl(1), lr=0.1, decay=0.0)
    with pytest.raises(ValueError, match="form is 'Lion'"):
        lab.grid("Lion", [0.1], [0.1])


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=5))
def test_the_best_l2_factor_is_the_best_of_many(preconditioner: list[float]) -> None:
    m = np.array(preconditioner)
    factor, rest = lab.best_l2_for_decay(preconditioner)
    tried = [np.linalg.norm(1 - f * m) / math.sqrt(len(m)) for f in np.linspace(0, 2 * factor, 101)]
    assert rest == pytest.approx(min(tried), abs=1e-9)
    assert lab.best_l2_for_decay([3.0, 3.0])[1] == pytest.approx(0, abs=1e-12)


def test_adamw_decays_noisy_weights_alike_and_l2_does_not() -> None:
    frame = lab.decay_under_noise([0.1, 10.0], steps=500)
    assert set(frame["step"]) == set(range(0, 501, 20))
    left = frame[frame["step"] == 500].set_index(["optimizer", "gradient_size"])["weight"]
    assert left["AdamW"].to_numpy() == pytest.approx([0.999**500] * 2, abs=0.02)
    assert left["Adam + L2"][10.0] > left["Adam + L2"][0.1] + 0.2


def test_noise_and_decay_balance_where_the_formula_says() -> None:
    lr, decay, beta1 = 0.02, 0.4, 0.8
    frame = lab.rotation([0.05, 0.5], lr=lr, weight_decay=decay, beta1=beta1, steps=800)
    last = frame[frame["step"] > 700].groupby("start")[["rms", "angle"]].mean()
    assert last["rms"].to_numpy() == pytest.approx(math.sqrt(lr / (2 * decay)), rel=0.1)
    assert last["angle"].to_numpy() == pytest.approx(
        math.sqrt(2 * lr * decay * (1 - beta1) / (1 + beta1)), rel=0.1
    )


def test_bfloat16_loses_what_is_below_half_its_spacing() -> None:
    frame = lab.lost_in_bfloat16([1e-6, 0.1, 100.0], lr=1e-3)
    assert frame["lost"].is_monotonic_increasing
    assert frame["lost"].iloc[0] < 0.01 and frame["lost"].iloc[2] > 0.98


def single_network(
    form: str, lr: float, decay: float, seed: int, steps: int, batch_size: int | None
) -> float:
    """The test loss of one cell of the grid, with torch's layers, optimizer and scheduler."""
    data = lab.noisy_data(seed)
    generator = torch.Generator().manual_seed(seed)
    weights = [
        torch.nn.Parameter(torch.randn(1, rows, cols, generator=generator)[0] / rows**0.5)
        for rows, cols in ((32, 64), (64, 4))
    ]
    if form == "Adam + L2":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(weights, lr, weight_decay=decay)
    else:
        optimizer = torch.optim.AdamW(weights, lr, weight_decay=decay if form == "AdamW" else decay / lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy((x @ weights[0]).relu() @ weights[1], y)

    for _ in range(steps):
        x, y = data["train"]
        if batch_size is not None:
            chosen = torch.randint(len(x), (batch_size,), generator=generator)
            x, y = x[chosen], y[chosen]
        optimizer.zero_grad()
        loss(x, y).backward()
        optimizer.step()
        scheduler.step()
    return float(loss(*data["test"]).detach())


@pytest.mark.parametrize("batch_size", [16, None])
@pytest.mark.parametrize("form", lab.FORMS)
def test_every_cell_of_the_grid_is_a_run_of_its_own(form: str, batch_size: int | None) -> None:
    frame = lab.grid(form, [0.001, 0.004], [0.01, 0.1], seeds=(3,), steps=40, batch_size=batch_size)
    assert len(frame) == 4
    for row in frame.itertuples():
        alone = single_network(form, row.lr, row.decay, 3, 40, batch_size)
        assert row.test == pytest.approx(alone, rel=1e-3)


def test_the_best_cell_is_chosen_by_validation_not_by_test() -> None:
    frame = lab.grid("AdamW", [0.002], [0.1, 3.0], seeds=(0, 1), steps=30)
    frame["validation"] = [2.0, 1.0, 2.0, 1.0]
    frame["test"] = [0.5, 0.9, 0.5, 0.7]
    best = lab.best_cells(frame)
    assert best["decay"].tolist() == pytest.approx([3.0]) and best["test"].tolist() == pytest.approx([0.8])
