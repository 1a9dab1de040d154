"""The abilities of every torch optimizer: closures, schedulers, saved and exchanged states, errors that name."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from course_lib import optim

Make = Callable[[Any], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda params: optim.SGD(params, 0.05, momentum=0.9),
    "adam": lambda params: optim.Adam(params, 0.01, l2=0.1),
    "adamw": lambda params: optim.AdamW(params, 0.01, weight_decay=0.1),
    "muon": lambda params: optim.Muon(params, 0.01, weight_decay=0.1),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


def regression(seed: int = 0) -> tuple[nn.Module, Callable[[], Tensor]]:
    """Two matrices and a loss to be made small."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Linear(8, 2, bias=False))
    for param in model.parameters():
        nn.init.normal_(param, 0, 0.5, generator=generator)
    x = torch.randn(32, 6, generator=generator)
    y = x[:, :2].sin()
    return model, lambda: (model(x) - y).square().mean()


def train(
    model: nn.Module, loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer, steps: int
) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@every_optimizer
def test_it_trains(make: Make) -> None:
    model, loss = regression()
    losses = train(model, loss, make(model.parameters()), 150)
    assert losses[-1] < 0.2 * losses[0]


@every_optimizer
def test_a_closure_is_evaluated_with_gradients_and_its_loss_returned(make: Make) -> None:
    model, loss = regression()
    optimizer = make(model.parameters())

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    twin, twin_loss = regression()
    expected = train(twin, twin_loss, make(twin.parameters()), 5)
    assert [optimizer.step(closure).item() for _ in range(5)] == expected
    assert optimizer.step() is None


@every_optimizer
def test_a_saved_state_goes_on_with_the_same_losses(make: Make, tmp_path: Any) -> None:
    model, loss = regression()
    optimizer = make(model.parameters())
    train(model, loss, optimizer, 7)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    expected = train(model, loss, optimizer, 7)

    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    restored = make(model.parameters())
    model.load_state_dict(saved["model"])
    restored.load_state_dict(saved["optimizer"])
    assert train(model, loss, restored, 7) == expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda p: optim.SGD(p, 0.05, 0.9), lambda p: torch.optim.SGD(p, 0.05, 0.9)),
        (lambda p: optim.Adam(p, 0.01), lambda p: torch.optim.Adam(p, 0.01)),
        (lambda p: optim.AdamW(p, 0.01), lambda p: torch.optim.AdamW(p, 0.01)),
    ],
)
def test_a_run_that_torchs_optimizer_began_is_continued(ours: Make, theirs: Make) -> None:
    """The names and types of the state are torch's."""
    model, loss = regression()
    optimizer = theirs(model.parameters())
    train(model, loss, optimizer, 10)
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict()["state"])
    expected = train(model, loss, optimizer, 10)
    model.load_state_dict(weights)
    mine = ours(model.parameters())
    mine.load_state_dict({"state": state, "param_groups": mine.state_dict()["param_groups"]})
    assert train(model, loss, mine, 10) == pytest.approx(expected, rel=1e-4)


@every_optimizer
def test_it_deep_copies(make: Make) -> None:
    model, loss = regression()
    optimizer = make(model.parameters())
    train(model, loss, optimizer, 3)
    model2, optimizer2 = copy.deepcopy((model, optimizer))
    assert optimizer2.param_groups[0]["params"][0] is next(iter(model2.parameters()))
    assert len(optimizer2.state) == len(optimizer.state) > 0


def test_muons_options_survive_copies_and_json() -> None:
    options = {"ns_dtype": torch.bfloat16, "ns_coefficients": [(3.0, -4.0, 2.0)] * 5}
    runs = []
    for how in (lambda o: o, copy.deepcopy, pickled, through_json):
        param = nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4))
        param.grad = param.detach().cos()
        optimizer = how(optim.Muon([param], 0.1, **options))
        moved = optimizer.param_groups[0]["params"][0]
        moved.grad = param.grad
        optimizer.step()
        runs.append(moved.detach())
    assert all(torch.equal(run, runs[0]) for run in runs)


def pickled(optimizer: torch.optim.Optimizer) -> Any:
    return pickle.loads(pickle.dumps(optimizer))


def through_json(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    other = optim.Muon(optimizer.param_groups[0]["params"], 0.5)
    groups = json.loads(json.dumps(optimizer.state_dict()["param_groups"]))
    other.load_state_dict({"state": {}, "param_groups": groups})
    return other


@every_optimizer
def test_torchs_schedulers_drive_it(make: Make) -> None:
    model, loss = regression()
    optimizer = make(model.parameters())
    first = optimizer.param_groups[0]["lr"]
    scheduler = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=5),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20),
        ],
        milestones=[5],
    )
    losses, rates = [], []
    for _ in range(25):
        losses += train(model, loss, optimizer, 1)
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert losses[-1] < losses[0]
    assert max(rates) == pytest.approx(first) and rates[-1] == pytest.approx(0, abs=1e-9)


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    model, loss = regression()
    before = copy.deepcopy(model.state_dict())
    for optimizer in (
        optim.AdamW(model.parameters(), 0.0, weight_decay=1.0),
        optim.Muon(model.parameters(), 0.0),
    ):
        train(model, loss, optimizer, 2)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


MATRIX = nn.Parameter(torch.ones(3, 3))

BAD = [
    (lambda: optim.SGD([MATRIX], -0.1), "lr is -0.1"),
    (lambda: optim.SGD([MATRIX], float("nan")), "lr is nan"),
    (lambda: optim.SGD([MATRIX], 0.1, momentum=1.0), "momentum is 1.0"),
    (lambda: optim.SGD([MATRIX], 0.1, momentum=-0.5), "momentum is -0.5"),
    (lambda: optim.SGD([MATRIX], 0.1, weight_decay=-1), "weight_decay is -1"),
    (lambda: optim.SGD([MATRIX], 0.1, nesterov=True), "nesterov is True and momentum 0.0"),
    (lambda: optim.Adam([MATRIX], -1e-3), "lr is -0.001"),
    (lambda: optim.Adam([MATRIX], l2=-0.1), "l2 is -0.1"),
    (lambda: optim.Adam([MATRIX], betas=(0.9, 0.9, 0.9)), "betas is"),
    (lambda: optim.AdamW([MATRIX], -1e-3), "lr is -0.001"),
    (lambda: optim.AdamW([MATRIX], float("inf")), "lr is inf"),
    (lambda: optim.AdamW([MATRIX], betas=(1.0, 0.999)), r"betas\[0\] is 1.0"),
    (lambda: optim.AdamW([MATRIX], betas=(0.9, 1.0)), r"betas\[1\] is 1.0"),
    (lambda: optim.AdamW([MATRIX], betas=(0.9, -0.1)), r"betas\[1\] is -0.1"),
    (lambda: optim.AdamW([MATRIX], eps=-1e-8), "eps is -1e-08"),
    (lambda: optim.AdamW([MATRIX], weight_decay=-0.1), "weight_decay is -0.1"),
    (lambda: optim.Muon([MATRIX], -0.1), "lr is -0.1"),
    (lambda: optim.Muon([MATRIX], 0.1, momentum=1.0), "momentum is 1.0"),
    (lambda: optim.Muon([MATRIX], 0.1, ns_steps=0), "ns_steps is 0"),
    (lambda: optim.Muon([MATRIX], 0.1, weight_decay=-1), "weight_decay is -1"),
    (
        lambda: optim.Muon([MATRIX], 0.1, scale="keller"),
        "scale is 'keller'; it must be 'moonlight' or 'jordan'",
    ),
    (lambda: optim.Muon([MATRIX], 0.1, ns_coefficients=(1.0, 2.0)), "coefficients is"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_hyperparameters_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_hyperparameters_of_a_group_are_named_and_the_group_is_not_added() -> None:
    optimizer = optim.AdamW([MATRIX], 0.1)
    with pytest.raises(ValueError, match="lr is -1"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": -1})
    assert len(optimizer.param_groups) == 1


def test_a_vector_is_not_for_muon_and_is_named() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    with pytest.raises(ValueError, match=r"parameter '0\.bias' has 1 dimension\(s\), shape \(3,\)"):
        optim.Muon(model.named_parameters(), 0.1)
    with pytest.raises(ValueError, match=r"parameter 1 of its group, shape \(3,\), has 1 dimension"):
        optim.Muon(model.parameters(), 0.1)


@every_optimizer
def test_a_sparse_gradient_is_refused_by_name(make: Make) -> None:
    table = nn.Embedding(5, 3, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match="parameter 'weight' has a sparse gradient"):
        make(table.named_parameters()).step()
