"""A configuration to start from: every key of a run with its meaning, and the commands that make what it reads."""

import inspect
import json
import os
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from course_lib.files import PathLike, atomic_write
from course_lib.model import ModelConfig
from course_lib.train.config import TrainConfig

_EXAMPLE = TrainConfig(
    model=ModelConfig(vocab_size=1024, context_length=128, d_model=128, num_layers=4, num_heads=4),
    train_tokens="stories.bin",
    valid_tokens="valid.bin",
    tokenizer="stories.json",
    steps=500,
    learning_rate=3e-3,
    warmup_steps=50,
    eval_every=100,
    sample_every=100,
)

_INTRODUCTION = """\
A training run of the course. These commands make what it reads, train (a few minutes on one processor), and continue
a text:

  course corpus make stories.txt --bytes 10MB
  course corpus make valid.txt --bytes 300kB --seed 1
  course tokenizer train stories.txt --vocab-size 1024 --out stories.json
  course tokenizer encode stories.json stories.txt stories.bin
  course tokenizer encode stories.json valid.txt valid.bin
  course train {path}
  course generate run --prompt "Once upon a time"

None in an explanation means: leave the key out. What is left out has its default, not always the value here."""


def write_template(path: PathLike) -> None:
    """Write a TOML file that :meth:`TrainConfig.from_toml` reads: every key, explained, with values for a small run.

    Raises:
        FileExistsError: there is something at ``path`` already.
        OSError: it cannot be written; see :func:`course_lib.files.check_output_file`.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"cannot write {os.fspath(path)}: it exists already")
    with atomic_write(path) as file:
        file.write(template(path).encode("utf-8", "surrogateescape"))


def template(path: PathLike) -> str:
    """The text that :func:`write_template` writes to ``path``."""
    lines = ["# " + line if line else "#" for line in _INTRODUCTION.split("\n")]
    lines = [line.format(path=shlex.quote(os.fspath(path))) for line in lines]
    values = _EXAMPLE.to_dict()
    model = values.pop("model")
    lines += _entries(TrainConfig, values, leave_out="model")
    lines += ["", "[model]", *_entries(ModelConfig, model)]
    return "\n".join(lines) + "\n"


def _entries(kind: type[Any], values: dict[str, Any], leave_out: str = "") -> Iterator[str]:
    """Each field of a configuration: a blank line, its meaning as a comment, and its value, if it has one."""
    meanings = _meanings(kind)
    for field in fields(kind):
        if field.name == leave_out:
            continue
        yield ""
        meaning = meanings[field.name][0].upper() + meanings[field.name][1:]
        yield from textwrap.wrap(meaning, 110, initial_indent="# ", subsequent_indent="# ")
        # These texts, numbers and lists are spelled alike in JSON and TOML.
        value = json.dumps(values[field.name]) if field.name in values else None
        yield f"{field.name} = {value}" if value else f"# {field.name} = ..."


def _meanings(kind: type[Any]) -> dict[str, str]:
    """The entries of the section ``Args`` of a class's docstring, by name, as plain text."""
    section = inspect.cleandoc(kind.__doc__ or "").split("Args:\n")[1].split("\n\n")[0]
    plain = re.sub(r":\w+:`~?([^`]+)`", r"\1", textwrap.dedent(section)).replace("``", "")
    entries = re.findall(r"^(\w+): (.*(?:\n +.*)*)", plain, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in entries}
