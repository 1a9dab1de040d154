"""Paths on planes: a random walk follows its law, and losses are those of the points on the plane."""

import numpy as np
import pytest
import torch

from course_lib.chapters.ch08_muon.experiments import trajectories
from course_lib.data import get_batch
from course_lib.diagnostics import snapshot
from course_lib.lab.small_runs import SmallRun, held_out_bytes, new_model, small_config
from course_lib.loss import cross_entropy


def test_a_random_walk_has_the_lengths_it_was_given_and_follows_the_law() -> None:
    walk = trajectories.random_walk([3.0, 4.0], 2000, seed=1)
    torch.testing.assert_close(walk.diff(dim=0).norm(dim=1), torch.tensor([3.0, 4.0]))
    shares = trajectories.explained({"walk": trajectories.random_walk([1.0] * 300, 20_000)}).iloc[0]
    assert shares["first"] == pytest.approx(trajectories.random_walk_law(1), abs=0.02)
    assert shares["second"] == pytest.approx(trajectories.random_walk_law(2), abs=0.02)
    assert sum(trajectories.random_walk_law(axis) for axis in range(1, 5000)) == pytest.approx(1, abs=1e-3)


def test_planes_hold_the_losses_of_the_model_and_leave_it_alone() -> None:
    settings = SmallRun(config=small_config(d_model=16, num_layers=1, num_heads=2, context_length=16))
    model = new_model(settings, 0)
    path = []
    for _ in range(4):
        path.append(snapshot(model))
        with torch.no_grad():
            for param in model.parameters():
                param.add_(0.02 * torch.randn_like(param))
    before = snapshot(model)
    planes = trajectories.planes(model, {"walk": path}, points=3, batch_size=2)
    assert list(planes) == [("walk", view) for view in trajectories.VIEWS]
    assert all(torch.equal(before[name], param) for name, param in snapshot(model).items())
    principal = planes["walk", "PCA"]
    assert len(principal.grid) == 9
    x, y = get_batch(held_out_bytes(), 2, 16, generator=torch.Generator().manual_seed(0))
    model.load_state_dict(path[1], strict=False)
    assert principal.along["loss"][1] == pytest.approx(cross_entropy(model(x), y).item(), rel=1e-5)
    assert principal.along["shadow_loss"].iloc[-1] == pytest.approx(
        principal.along["loss"].iloc[-1], rel=1e-5
    )
    wide, near = (np.ptp(planes["walk", view].grid["x"]) for view in ("random", "random, enlarged"))
    assert wide > 5 * near
    assert sum(trajectories.step_lengths(path)[:1]) == pytest.approx(
        float(sum((path[1][name] - path[0][name]).square().sum() for name in path[0]) ** 0.5)
    )
