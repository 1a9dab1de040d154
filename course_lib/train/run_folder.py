"""The folder of a run: its checkpoints, which of them to remove, and whether a run may continue there."""

import contextlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_lib.errors import FormatError
from course_lib.files import PathLike, atomic_write, check_not_sources
from course_lib.token_file import description_path
from course_lib.train.checkpoint import read_extra
from course_lib.train.config import TrainConfig

_NAME = re.compile(r"step_(\d{8,})")
# Keys that may differ when a run is resumed; all others influence the results.
_FREE = {
    "train_tokens", "valid_tokens", "tokenizer", "directory", "steps", "accumulate", "loss_chunk", "device", "threads",
    "log_every", "eval_every", "eval_batches", "sample_every", "sample_prompt", "sample_tokens", "checkpoint_every",
    "keep_checkpoints", "tensorboard",
}  # fmt: skip
_KEPT = {"config", "tokens_sha256", "tokenizer_sha256", "stream", "scaler", "seconds"}


def _checkpoints_folder(directory: PathLike) -> Path:
    return Path(directory) / "checkpoints"


def checkpoint_path(directory: PathLike, step: int) -> Path:
    """The path of the checkpoint after ``step`` updates."""
    return _checkpoints_folder(directory) / f"step_{step:08d}"


def checkpoints(directory: PathLike) -> list[Path]:
    """The finished checkpoints of a run, oldest first."""
    folder = _checkpoints_folder(directory)
    found = {
        int(match[1]): path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := _NAME.fullmatch(path.name)) and (path / "checkpoint.json").is_file()
    }
    return [found[step] for step in sorted(found)]


def latest_checkpoint(path: PathLike) -> Path:
    """The newest checkpoint in a run's folder; the path of a checkpoint is returned as it is.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(path)
    if (path / "checkpoint.json").is_file():
        return path
    found = checkpoints(path)
    if not found:
        raise FileNotFoundError(f"{path} holds no checkpoint")
    return found[-1]


def tidy(directory: PathLike, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints, and those that a killed process left unfinished."""
    folder = _checkpoints_folder(directory)
    kept = checkpoints(directory)[-keep:]
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path not in kept and (_NAME.fullmatch(path.name) or path.name.endswith(".tmp")):
            # A half-removed checkpoint without its index no longer counts as one.
            (path / "checkpoint.json").unlink(missing_ok=True)
            shutil.rmtree(path)


def read_run(path: PathLike) -> dict[str, Any]:
    """The data that :func:`~course_lib.train.train` saves in a checkpoint besides model and optimizer.

    Raises FormatError for a checkpoint that :func:`~course_lib.train.train` did not write, and as load_checkpoint.
    """
    extra = read_extra(path).extra
    if not isinstance(extra, dict) or not _KEPT.issubset(extra):
        raise FormatError(path, "extra", "holds no configuration: not a checkpoint of a training run")
    return extra


def check_sources(config: TrainConfig, config_file: PathLike | None = None) -> None:
    """Raise ValueError if the run would overwrite or remove a file that it reads.

    It may read the tokenizer.json of its own folder and, as ``config_file``, the config.toml there: they are then left
    as they are.
    """
    folder = Path(config.directory)
    written = {folder / name for name in ("config.toml", "tokenizer.json", "metrics.jsonl")}
    sources: list[tuple[PathLike, set[Path]]] = []  # a file that is read, and where it may lie nevertheless
    for tokens in (config.train_tokens, config.valid_tokens):
        if tokens is not None:
            sources += [(tokens, set()), (description_path(tokens), set())]
    if config.tokenizer is not None:
        sources.append((config.tokenizer, {folder / "tokenizer.json"}))
    if config_file is not None:
        sources.append((config_file, {folder / "config.toml"}))
    for source, own in sources:
        check_not_sources(sorted(written - own), [source], folders=[_checkpoints_folder(folder)])


def write_config(config: TrainConfig) -> None:
    """Write the description of a run to its folder: config.toml and, if it has a tokenizer, tokenizer.json.

    A config.toml with the same values is kept: it may be the reader's own, with comments.
    """
    path, copy = (Path(config.directory) / name for name in ("config.toml", "tokenizer.json"))
    said = None
    with contextlib.suppress(OSError, FormatError):
        said = TrainConfig.from_toml(path)
    if said != config:
        config.to_toml(path)
    if config.tokenizer is not None and not (copy.exists() and copy.samefile(config.tokenizer)):
        contents = Path(config.tokenizer).read_bytes()
        with atomic_write(copy) as file:
            file.write(contents)


def check_continuation(path: Path, saved: Mapping[str, Any], config: TrainConfig) -> None:
    """Raise ValueError if the checkpoint at ``path`` is from a run that would have had other results."""
    before, asked = _flat(saved), _flat(config.to_dict())
    for name in {**before, **asked}:
        if name not in _FREE and before.get(name) != asked.get(name):
            raise ValueError(
                f"{path} is from a run with {name} = {before.get(name)!r}, not {asked.get(name)!r}; choose another "
                "directory or the old value"
            )


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a configuration; those of the model are named ``model.d_model`` and so on."""
    model = {f"model.{name}": value for name, value in table["model"].items()}
    return {**table, **model, "model": None}
