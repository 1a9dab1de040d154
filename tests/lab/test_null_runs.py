"""Null runs: noise through the optimizer, and nothing else."""

import torch
from torch import nn

from course_lib.lab.null_runs import noise_run


def test_sgd_makes_a_random_walk_of_known_length() -> None:
    weight = nn.Parameter(torch.zeros(200, 50))
    steps = list(noise_run([weight], [torch.optim.SGD([weight], lr=0.1)], 30, scale=2.0, seed=1))
    assert steps == list(range(30))
    # Independent steps of standard deviation lr * scale add up in quadrature.
    assert abs(float(weight.detach().std()) / (0.1 * 2.0 * 30**0.5) - 1) < 0.05


def test_the_schedule_and_the_seed_decide() -> None:
    def walk(seed: int, late: float) -> torch.Tensor:
        weight = nn.Parameter(torch.ones(3, 4, dtype=torch.float64))
        optimizer = torch.optim.SGD([weight], lr=1.0)
        for _ in noise_run(
            [weight], [optimizer], 4, schedule=lambda step: 1.0 if step < 2 else late, seed=seed
        ):
            pass
        assert optimizer.param_groups[0]["lr"] == late
        return weight.detach()

    assert torch.equal(walk(0, 0.0), walk(0, 0.0)) and walk(0, 0.0).dtype == torch.float64
    assert not torch.equal(walk(0, 0.0), walk(1, 0.0)) and not torch.equal(walk(0, 0.0), walk(0, 1.0))
