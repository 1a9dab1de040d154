"""Checkpoints: a folder of safetensors and JSON that is either complete or absent, and never runs code.

    model.safetensors       the model's state dict
    optimizer.safetensors   the tensors of the optimizer's state dict
    extra.safetensors       the tensors in ``extra``, if any
    checkpoint.json         everything else, and the size and SHA-256 of the files above

``checkpoint.json`` is written last and determines which files count: until it is replaced, the checkpoint is the old
one. Pickle, which torch.save uses, can run arbitrary code when it is loaded; these formats cannot.
"""

import contextlib
import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_lib.errors import FormatError
from course_lib.files import PathLike, atomic_write, sync_folder
from course_lib.model.names import plain_names
from course_lib.train.packing import pack, unpack

_KIND = "course_lib checkpoint"
_VERSION = 1
_INDEX = "checkpoint.json"


class Stateful(Protocol):
    """An object with a state dict: every torch optimizer, and anything with the same two methods."""

    def state_dict(self) -> dict[str, Any]:
        """The state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Replace the state."""


@dataclass(frozen=True)
class Checkpoint:
    """The rest of a checkpoint, besides model and optimizer: ``step`` and the ``extra`` that was saved."""

    step: int
    extra: Any


def save_checkpoint(
    path: PathLike,
    model: nn.Module,
    optimizer: Stateful | None = None,
    *,
    step: int = 0,
    extra: Any = None,
) -> None:
    """Write a checkpoint to the folder ``path``, or replace the one that is there.

    After an interruption, a full disk or a killed process, the folder is as it was before.

    Args:
        path: the folder; its parent must exist.
        model: any module. Tensors that share memory (tied weights) are stored once. Names are stored without the
            prefixes that torch.compile, DataParallel and DDP add.
        optimizer: any torch optimizer.
        step: number of updates so far.
        extra: any nesting of dicts, lists, tuples, numbers, strings, None and tensors.

    Raises:
        FileExistsError: ``path`` is a file, or a folder that holds something else.
        OSError: it cannot be written.
        TypeError: a state or ``extra`` holds something else; the message names its place.
    """
    path = Path(os.path.realpath(path))
    replaced = path.is_dir() and any(path.iterdir())
    if (path.exists() and not path.is_dir()) or (replaced and not (path / _INDEX).is_file()):
        raise FileExistsError(f"{path} exists and is not a checkpoint; nothing was written")
    state = model.state_dict()
    trees = {"model": {plain: state[name] for name, plain in plain_names(state).items()}, "extra": extra}
    if optimizer is not None:
        trees["optimizer"] = optimizer.state_dict()
    packed = {name: pack(tree, name) for name, tree in trees.items()}
    # A new checkpoint is written beside its place and renamed. An existing one gets new files, then a new index.
    token = secrets.token_hex(8)
    folder = path if replaced else path.with_name(f".{path.name[:32]}.{token}.tmp")
    suffix = f"-{token}" if replaced else ""
    written = {name: f"{name}{suffix}.safetensors" for name, (_, tensors) in packed.items() if tensors}
    _remove_unfinished(path)
    try:
        folder.mkdir(exist_ok=True)
        files = {name: _write_tensors(folder / file, packed[name][1]) for name, file in written.items()}
        index = {
            "kind": _KIND,
            "version": _VERSION,
            "step": step,
            "optimizer_class": type(optimizer).__name__ if optimizer is not None else None,
            "files": files,
            **{name: plain for name, (plain, _) in packed.items()},
        }
        with atomic_write(folder / _INDEX) as file:
            file.write(json.dumps(index, indent=1, allow_nan=False).encode())
        if folder != path:
            if path.is_dir():
                path.rmdir()  # it is empty
            folder.rename(path)
            sync_folder(path.parent)
    except BaseException:
        if folder != path:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _remove_all_but_listed(path)
        raise
    _remove_all_but_listed(path)


def load_checkpoint(path: PathLike, model: nn.Module, optimizer: Stateful | None = None) -> Checkpoint:
    """Load a checkpoint into ``model`` and, if given, ``optimizer``.

    Before anything is changed, all files are read and compared with their checksums, and all names and shapes with
    those of the model. Prefixes that torch.compile, DataParallel and DDP add to names are ignored, in the model and in
    the checkpoint. Tied weights can be loaded into a model that does not tie them, which then computes the same.

    Raises:
        FileNotFoundError: there is no such folder.
        FormatError: it is not a checkpoint, is incomplete or damaged, or belongs to another model or optimizer, which
            includes a model that ties weights that differ in the checkpoint.
        ValueError: the model is on the meta device.
    """
    path = Path(path)
    if any(tensor.is_meta for tensor in model.state_dict().values() if isinstance(tensor, Tensor)):
        raise ValueError(
            "model is on the meta device, where nothing can be loaded: call its to_empty(device=...) first"
        )
    index = _read_index(path)
    state = _state_for(path, model, _read_tree(path, index, "model"))
    checkpoint = Checkpoint(index["step"], _read_tree(path, index, "extra"))
    if optimizer is not None:
        found = index["optimizer_class"]
        if found != type(optimizer).__name__:
            kind = f"state of {found}" if found else "no optimizer's state"
            raise FormatError(path, "optimizer", f"holds {kind}, not of {type(optimizer).__name__}")
        optimizer_state = _read_tree(path, index, "optimizer")
        before = optimizer.state_dict()
        try:
            optimizer.load_state_dict(optimizer_state)
        except (ValueError, KeyError) as error:
            optimizer.load_state_dict(before)
            raise FormatError(path, "optimizer", f"does not fit the optimizer: {error}") from error
    model.load_state_dict(state)
    return checkpoint


def read_extra(path: PathLike) -> Checkpoint:
    """Read ``step`` and ``extra`` only, for example to learn the model's shape. Raises as load_checkpoint."""
    index = _read_index(Path(path))
    return Checkpoint(index["step"], _read_tree(Path(path), index, "extra"))


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write a safetensors file to the disk and describe it."""
    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        raise OSError(f"cannot write {path}: {error}") from error
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}


def _remove_unfinished(path: Path) -> None:
    """Remove the folders beside ``path`` that killed saves to it left unfinished."""
    for folder in path.parent.glob(f".{glob.escape(path.name[:32])}.{'[0-9a-f]' * 16}.tmp"):
        shutil.rmtree(folder, ignore_errors=True)


def _remove_all_but_listed(path: Path) -> None:
    """Remove the data files that the index does not name: those of the checkpoint before it, or of a killed save."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        listed = {file["name"] for file in _read_index(path)["files"].values()}
        for file in path.iterdir():
            # A killed safetensors leaves .tmp and six letters, a killed atomic_write a name that ends in .tmp.
            if file.name not in listed and (
                file.suffix in (".safetensors", ".tmp") or file.name.startswith(".tmp")
            ):
                file.unlink()


def _read_index(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    place = path / _INDEX
    if not place.is_file():
        raise FormatError(path, "", f"not a checkpoint, or an unfinished one: it has no {_INDEX}")
    try:
        index = json.loads(place.read_bytes())
    except ValueError as error:
        raise FormatError(place, "", f"damaged: {error}") from error
    if not isinstance(index, dict) or index.get("kind") != _KIND:
        raise FormatError(place, "kind", f"not a {_KIND}")
    if index.get("version") != _VERSION:
        raise FormatError(
            place, "version", f"{index.get('version')!r} is unknown; this release reads {_VERSION}"
        )
    missing = {"step", "files", "model", "extra", "optimizer_class"} - set(index)
    if missing:
        raise FormatError(place, "", f"damaged: {', '.join(sorted(missing))} missing")
    return index


def _read_tree(path: Path, index: dict[str, Any], name: str) -> Any:
    """One of the three parts with its tensors, after checking the size and checksum of its file."""
    tensors: dict[str, Tensor] = {}
    if name in index["files"]:
        with _named_damage(path / _INDEX, "files"):
            described = index["files"][name]
            place, size, sha256 = path / described["name"], described["bytes"], described["sha256"]
        if not place.is_file():
            raise FormatError(place, "", "is missing from the checkpoint")
        if place.stat().st_size != size:
            raise FormatError(
                place, f"byte {place.stat().st_size}", f"the file ends here, not after {size} bytes"
            )
        with open(place, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise FormatError(place, "", f"the bytes were changed: SHA-256 {found}, not {sha256}")
        with _named_damage(place, ""):
            tensors = load_file(place)
    with _named_damage(path / _INDEX, name):
        return unpack(index[name], tensors)


@contextlib.contextmanager
def _named_damage(file: Path, place: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise FormatError(file, place, f"damaged: {type(error).__name__} {error}") from error


def _state_for(path: Path, model: nn.Module, saved: Any) -> dict[str, Any]:
    """The saved state by the names of ``model``, after checking that it fits."""
    if not (isinstance(saved, dict) and all(isinstance(name, str) for name in saved)):
        raise FormatError(path / _INDEX, "model", "damaged: it is not a table of names")
    own = model.state_dict()
    plain = plain_names(own)
    state = {name: saved[stored] for stored, name in _stored_names(path, plain, saved).items()}
    for name, tensor in state.items():
        if isinstance(own[name], Tensor) != isinstance(tensor, Tensor):
            raise FormatError(
                path / _INDEX,
                f"model.{plain[name]}",
                "damaged: a tensor is where there should be none, or the other way round",
            )
        if isinstance(tensor, Tensor) and tensor.shape != own[name].shape:
            shapes = f"has shape {tuple(tensor.shape)}, in the model {tuple(own[name].shape)}"
            raise FormatError(path, plain[name], f"{shapes}: it belongs to another model")
    _check_ties(path, own, state)
    return state


def _stored_names(path: Path, plain: Mapping[str, str], saved: Iterable[str]) -> dict[str, str]:
    """Each name in the checkpoint → the model's name for it; ``plain``: each of the model's names without wrappers."""
    names = {short: name for name, short in plain.items()}
    found = {short: stored for stored, short in plain_names(saved).items()}
    for short in names:
        if short not in found:
            raise FormatError(path, short, "is not in the checkpoint: it belongs to another model")
    for short in found:
        if short not in names:
            raise FormatError(
                path, short, "is in the checkpoint but not in the model: it belongs to another model"
            )
    return {found[short]: name for short, name in names.items()}


def _check_ties(path: Path, own: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Raise FormatError where the model ties tensors that differ in the checkpoint."""
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in own.items():
        if not isinstance(tensor, Tensor) or not tensor.numel() or tensor.is_meta:
            continue
        memory = (tensor.data_ptr(), tensor.device, tensor.dtype, tuple(tensor.shape), tensor.stride())
        other = first.setdefault(memory, name)
        if state[other] is not state[name] and not torch.equal(state[other], state[name]):
            raise FormatError(
                path, name, f"differs from {other}, with which the model ties it: it belongs to another model"
            )
