"""Checkpoints: everything comes back, damage is noticed, and a save is whole or not there."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_lib.errors import FormatError
from course_lib.train import load_checkpoint, save_checkpoint
from course_lib.train.packing import pack, unpack
from tests.train.models import equal, mixed_model, small_model, step


@pytest.mark.parametrize(
    "make", [small_model, mixed_model, lambda seed=0: small_model(seed, tie_embeddings=True)]
)
def test_any_module_comes_back_to_the_bit(tmp_path: Path, make: Any) -> None:
    saved, loaded = make(0), make(1)
    save_checkpoint(tmp_path / "c", saved, step=7, extra={"seen": [1, 2]})
    checkpoint = load_checkpoint(tmp_path / "c", loaded)
    assert (checkpoint.step, checkpoint.extra) == (7, {"seen": [1, 2]})
    assert equal(dict(saved.state_dict()), dict(loaded.state_dict()))


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    untied, tied = small_model(), small_model(tie_embeddings=True)
    for name, model in (("untied", untied), ("tied", tied)):
        save_checkpoint(tmp_path / name, model)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("untied", "tied")]
    assert sizes[0] - sizes[1] >= 50 * 16 * 4
    loaded = small_model(1, tie_embeddings=True)
    load_checkpoint(tmp_path / "tied", loaded)
    assert loaded.lm_head.weight is loaded.token_embeddings.weight  # type: ignore[union-attr]


def test_a_model_that_ties_its_weights_takes_no_checkpoint_in_which_they_differ(tmp_path: Path) -> None:
    untied = small_model()
    save_checkpoint(tmp_path / "untied", untied)
    tied = small_model(1, tie_embeddings=True)
    before = {name: tensor.clone() for name, tensor in tied.state_dict().items()}
    with pytest.raises(FormatError, match=r"lm_head\.weight: differs from token_embeddings\.weight"):
        load_checkpoint(tmp_path / "untied", tied)
    assert equal(before, dict(tied.state_dict()))
    with torch.no_grad():
        untied.lm_head.weight.copy_(untied.token_embeddings.weight)  # type: ignore[union-attr, operator, arg-type]
    save_checkpoint(tmp_path / "equal", untied)
    load_checkpoint(tmp_path / "equal", tied)
    assert equal(dict(tied.state_dict()), dict(untied.state_dict()))


def test_tied_weights_may_be_untied(tmp_path: Path) -> None:
    tied, untied = small_model(tie_embeddings=True), small_model(1)
    save_checkpoint(tmp_path / "c", tied)
    load_checkpoint(tmp_path / "c", untied)
    ids = torch.arange(10)[None]
    assert torch.equal(tied(ids), untied(ids))
    assert untied.lm_head.weight is not untied.token_embeddings.weight  # type: ignore[union-attr]


def compiled(model: nn.Module) -> nn.Module:
    wrapped: nn.Module = torch.compile(model)  # type: ignore[assignment]
    return wrapped


def with_compiled_layer(model: nn.Module) -> nn.Module:
    model.layers[0] = compiled(model.layers[0])  # type: ignore[index, operator]
    return model


def distributed(model: nn.Module) -> nn.Module:
    return nn.parallel.DistributedDataParallel(model)


WRAPPED: dict[str, Any] = {
    "plain": lambda model: model,
    "compiled": compiled,
    "parallel": nn.DataParallel,
    "distributed": distributed,
    "a compiled layer": with_compiled_layer,
    "compiled, then distributed": lambda model: distributed(compiled(with_compiled_layer(model))),
    "parallel, then compiled": lambda model: compiled(nn.DataParallel(model)),
}


@pytest.fixture(scope="module")
def process_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    store = tmp_path_factory.mktemp("store") / "file"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


# Compiling and DDP import parts of torch that torch itself has deprecated.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("wrap", WRAPPED)
def test_wrapped_models_are_saved_without_wrappers_and_loaded_in_any(tmp_path: Path, wrap: str) -> None:
    model = WRAPPED[wrap](small_model())
    optimizer = torch.optim.AdamW(model.parameters())
    step(model, optimizer)
    save_checkpoint(tmp_path / "c", model, optimizer)
    plain = small_model(1)
    assert set(json.loads((tmp_path / "c" / "checkpoint.json").read_text())["model"]) == set(
        plain.state_dict()
    )
    for other in WRAPPED.values():
        loaded = other(small_model(1))
        load_checkpoint(tmp_path / "c", loaded, torch.optim.AdamW(loaded.parameters()))
        assert equal(list(loaded.state_dict().values()), list(model.state_dict().values()))
        with pytest.raises(FormatError, match=r"c: layers\.1\..*: is not in the checkpoint"):
            load_checkpoint(tmp_path / "c", other(small_model(num_layers=2)))


def test_attributes_that_are_called_like_wrappers_keep_apart(tmp_path: Path) -> None:
    def pair(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.ModuleDict({"module": nn.ModuleDict({"a": nn.Linear(2, 2)}), "a": nn.Linear(2, 2)})

    saved, loaded = pair(0), pair(1)
    save_checkpoint(tmp_path / "c", saved)
    load_checkpoint(tmp_path / "c", loaded)
    assert equal(dict(saved.state_dict()), dict(loaded.state_dict()))


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.1)),
    "AdamW": lambda p: torch.optim.AdamW(p, amsgrad=True),
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "Adamax": torch.optim.Adamax,
    "ASGD": torch.optim.ASGD,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "RMSprop": lambda p: torch.optim.RMSprop(p, centered=True, momentum=0.5),
    "Rprop": torch.optim.Rprop,
    "LBFGS": lambda p: torch.optim.LBFGS(p, max_iter=3, history_size=4),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_goes_on_as_if_nothing_had_happened(tmp_path: Path, name: str) -> None:
    models = [nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [OPTIMIZERS[name](model.parameters()) for model in models]
    for _ in range(3):
        step(models[0], optimizers[0])
    save_checkpoint(tmp_path / "c", models[0], optimizers[0], step=3)
    load_checkpoint(tmp_path / "c", models[1], optimizers[1])
    assert equal(optimizers[0].state_dict(), optimizers[1].state_dict())
    for _ in range(3):
        for model, optimizer in zip(models, optimizers, strict=True):
            step(model, optimizer)
    assert equal(dict(models[0].state_dict()), dict(models[1].state_dict()))


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.just("$tuple"), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(plain_values)
def test_plain_values_survive_json(value: Any) -> None:
    packed, tensors = pack(value)
    assert not tensors
    assert equal(unpack(json.loads(json.dumps(packed, allow_nan=False)), {}), value)


def test_tensors_in_extra_and_numpy_numbers_come_back(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    extra = {
        "a": {"b": torch.eye(2)}, "a.b": torch.ones(3), 5: (shared, shared.view(2, 3), shared.view(2, 3).T),
        "n": np.int64(3), "x": np.float32(0.5), "inf": -float("inf"),
    }  # fmt: skip
    save_checkpoint(tmp_path / "c", nn.Linear(1, 1), extra=extra)
    loaded = load_checkpoint(tmp_path / "c", nn.Linear(1, 1)).extra
    assert equal(loaded, {**extra, "n": 3, "x": 0.5})


@pytest.mark.parametrize(
    "bad", [{1, 2}, object(), torch.zeros(2, dtype=torch.complex64), torch.eye(2).to_sparse()]
)
def test_what_cannot_be_kept_is_named_and_nothing_is_written(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(TypeError, match=r"extra\.deep\.1 is"):
        save_checkpoint(tmp_path / "c", nn.Linear(1, 1), extra={"deep": [0, bad]})
    assert os.listdir(tmp_path) == []


def test_nothing_in_it_can_run_code(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", small_model(), torch.optim.AdamW(small_model().parameters()))
    assert {path.suffix for path in (tmp_path / "c").iterdir()} == {".safetensors", ".json"}


def test_a_checkpoint_is_replaced_and_leaves_no_orphans(tmp_path: Path) -> None:
    model = small_model()
    optimizer = torch.optim.AdamW(model.parameters())
    for number in range(3):
        step(model, optimizer)
        save_checkpoint(tmp_path / "c", model, optimizer, step=number, extra={"t": torch.ones(number + 1)})
        assert len(os.listdir(tmp_path / "c")) == 4
    other = small_model(1)
    assert load_checkpoint(tmp_path / "c", other).step == 2
    assert equal(dict(other.state_dict()), dict(model.state_dict()))
    assert os.listdir(tmp_path) == ["c"]


def test_an_empty_folder_may_become_a_checkpoint_but_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    save_checkpoint(tmp_path / "empty", small_model())
    load_checkpoint(tmp_path / "empty", small_model())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("x")
    for name in ("full", "file"):
        with pytest.raises(FileExistsError, match="not a checkpoint"):
            save_checkpoint(tmp_path / name, small_model())
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years"
