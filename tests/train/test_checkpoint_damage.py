"""Damaged, foreign and interrupted checkpoints: an error that changes nothing, and no file left over."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_lib.errors import FormatError
from course_lib.train import load_checkpoint, save_checkpoint
from tests.train.models import equal, small_model, step


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
