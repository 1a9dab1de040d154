"""Checkpoints: everything comes back, damage is noticed, and a save is whole or not there."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib.errors import FormatError
from course_lib.model import ModelConfig, TransformerLM
from course_lib.train import load_checkpoint, save_checkpoint
from course_lib.train.packing import pack, unpack


def small_model(seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return TransformerLM(
        ModelConfig(
            **{"vocab_size": 50, "context_length": 16, "d_model": 16, "num_layers": 1, "num_heads": 2}
            | options
        )
    )


def mixed_model(seed: int = 0) -> nn.Module:
    """Layers with buffers, integers, several dtypes and empty tensors."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), nn.Linear(4, 4).bfloat16(), nn.Embedding(0, 3)
    )
    model.register_buffer("transposed", torch.randn(3, 5).T)
    model.register_buffer("part", torch.randn(10)[3:6])
    return model


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = sum((p.float() - 0.1).square().sum() for p in model.parameters())  # type: ignore[assignment]
        loss.backward()
        return loss

    optimizer.step(closure)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and bool(a == b)


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


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = small_model()
    optimizer = torch.optim.AdamW(model.parameters())
    step(model, optimizer)
    save_checkpoint(tmp_path / "c", model, optimizer, step=1)
    return tmp_path / "c"


# What random changes of the index do is the next test's.
@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (file, damage)
        for file in ("model.safetensors", "optimizer.safetensors", "checkpoint.json")
        for damage in ("truncated", "flipped", "missing", "empty")
        if (file, damage) != ("checkpoint.json", "flipped")
    ],
)
def test_damage_is_an_error_that_changes_nothing(saved: Path, file: str, damage: str) -> None:
    contents = bytearray((saved / file).read_bytes())
    if damage == "missing":
        (saved / file).unlink()
    else:
        contents[len(contents) // 2] ^= 0x11
        changed = {"truncated": contents[: len(contents) // 2], "flipped": contents, "empty": b""}[damage]
        (saved / file).write_bytes(changed)
    model = small_model(1)
    optimizer = torch.optim.AdamW(model.parameters())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(FormatError, match=r"checkpoint|safetensors"):
        load_checkpoint(saved, model, optimizer)
    assert equal(before, dict(model.state_dict())) and not optimizer.state


@given(st.randoms(use_true_random=False))
def test_no_change_of_the_index_gets_through_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("index") / "c"
    model = nn.Linear(2, 2)
    save_checkpoint(
        folder, model, torch.optim.SGD(model.parameters(), momentum=0.9), step=1, extra={"a": (1, [2.5])}
    )
    contents = bytearray((folder / "checkpoint.json").read_bytes())
    for _ in range(chance.randint(1, 3)):
        contents[chance.randrange(len(contents))] = chance.randrange(256)
    (folder / "checkpoint.json").write_bytes(contents)
    message = str(folder)
    try:
        load_checkpoint(folder, model, torch.optim.SGD(model.parameters(), momentum=0.9))
    except FormatError as error:
        message = str(error)
    assert str(folder) in message


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: small_model(num_kv_heads=1),
            r"k_proj\.weight: has shape \(16, 16\), in the model \(8, 16\)",
        ),
        (lambda: small_model(qk_norm=True), "not in the checkpoint: it belongs to another model"),
        (lambda: small_model(norm_placement="none"), "in the checkpoint but not in the model"),
    ],
)
def test_the_checkpoint_of_another_model_is_refused(saved: Path, other: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        load_checkpoint(saved, other())


def test_the_state_of_another_optimizer_is_refused(saved: Path, tmp_path: Path) -> None:
    model = small_model()
    with pytest.raises(FormatError, match="holds state of AdamW, not of SGD"):
        load_checkpoint(saved, model, torch.optim.SGD(model.parameters()))
    part = torch.optim.AdamW([model.get_parameter("lm_head.weight")])
    with pytest.raises(FormatError, match="does not fit the optimizer"):
        load_checkpoint(saved, model, part)
    save_checkpoint(tmp_path / "alone", model)
    with pytest.raises(FormatError, match="holds no optimizer's state"):
        load_checkpoint(tmp_path / "alone", model, torch.optim.SGD(model.parameters()))


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_checkpoint(tmp_path / "none", small_model())
    with pytest.raises(FormatError, match="not a checkpoint, or an unfinished one"):
        load_checkpoint(tmp_path, small_model())


def limit_file_size(size: int) -> None:
    # A write beyond the limit fails as on a full disk (and would send a signal that ends the process).
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("limit", [100, 3000, 9000])
def test_a_full_disk_leaves_the_checkpoint_that_was_there(tmp_path: Path, limit: int) -> None:
    model = small_model()
    save_checkpoint(tmp_path / "c", model, step=1)
    before = sorted(os.listdir(tmp_path / "c"))
    changed = small_model(1)
    optimizer = torch.optim.AdamW(changed.parameters())
    step(changed, optimizer)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        limit_file_size(limit)
        for path in (tmp_path / "c", tmp_path / "new"):
            with pytest.raises(OSError, match=r"[Ff]ile too large|cannot write"):
                save_checkpoint(path, changed, optimizer, step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["c"] and sorted(os.listdir(tmp_path / "c")) == before
    loaded = small_model(2)
    assert load_checkpoint(tmp_path / "c", loaded).step == 1
    assert equal(dict(loaded.state_dict()), dict(model.state_dict()))


SAVER = """
import sys, torch
from pathlib import Path
from course_lib.train import save_checkpoint
folder = Path(sys.argv[1])
model = torch.nn.Linear(300, 300, bias=False)
number = 0
print("ready", flush=True)
while True:
    number += 1
    torch.nn.init.constant_(model.weight, number)
    save_checkpoint(folder / "same", model, step=number)
    save_checkpoint(folder / f"new{number}", model, step=number)
"""


def test_what_killed_saves_left_in_a_checkpoint_goes_with_the_next_save(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", small_model(0), step=1)
    left = (".tmpAb3Xy9", ".checkpoint.json.0123456789abcdef.tmp", "model-0123456789abcdef.safetensors")
    for name in left:
        (tmp_path / "c" / name).write_bytes(b"half")
    (tmp_path / "c" / "notes.txt").write_text("mine")
    save_checkpoint(tmp_path / "c", small_model(1), step=2)
    names = os.listdir(tmp_path / "c")
    assert len(names) == 3 and not set(names) & set(left) and "notes.txt" in names


def test_killed_at_any_moment_a_checkpoint_is_whole(tmp_path: Path) -> None:
    chance = random.Random(0)
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.05, 0.3))
            process.send_signal(signal.SIGKILL)
        for path in tmp_path.glob("[!.]*"):
            model = nn.Linear(300, 300, bias=False)
            number = load_checkpoint(path, model).step
            assert (model.weight == number).all()
            if path.name != "same":
                shutil.rmtree(path)
    save_checkpoint(tmp_path / "same", nn.Linear(300, 300, bias=False), step=1)
    assert len(os.listdir(tmp_path / "same")) == 2
