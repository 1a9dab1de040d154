"""Whatever the texts of ``--help`` name exists: commands, options, programs, files, chapters, patterns, tokenizers."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.data import TEXTS
from course_lib.tokenizer import PATTERNS
from course_lib.tokenizer.pretrained import PRETRAINED

ROOT = Path(__file__).parents[2]
MADE_BY_USERS = {"tokenizer.json", "config.toml", "out.json", "source.n.tokenizer.json"}


def commands(command: Any, name: str = "course") -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


COMMANDS = dict(commands(typer.main.get_command(app)))


def wrong_pointers(name: str, text: str) -> list[str]:
    """The things that the help ``text`` of a command names though they do not exist."""
    options = {option for param in COMMANDS[name].params for option in param.opts} | {"--help"}
    quoted = re.findall(r"`([^`]+)`", text)
    wrong = [
        words
        for words in quoted
        if (
            " ".join(words.split()) not in COMMANDS
            if words.startswith("course")
            else not shutil.which(words.split()[0], path=str(Path(sys.executable).parent))
        )
    ]
    plain = re.sub(r"`[^`]+`", "", text)
    wrong += [option for option in re.findall(r"(?<!\S)--[a-z][\w-]*", plain) if option not in options]
    files = re.findall(r"[\w./-]+\.(?:md|toml|json|ipynb|py|txt)\b|README\b|CONTRIBUTING\b", plain)
    wrong += [file for file in files if file.lower() not in MADE_BY_USERS and not (ROOT / file).is_file()]
    chapters = re.findall(r"[Cc]hapters? (\d+)", plain)
    return wrong + [c for c in chapters if not list((ROOT / "notebooks").glob(f"{int(c):02}_*.ipynb"))]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_points_to_what_exists(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split()[1:], "--help"], prog_name="course").stdout
    assert shown.startswith(f"Usage: {name} ") and not wrong_pointers(name, " ".join(shown.split()))


@pytest.mark.parametrize(
    "text",
    ["see `course fly`", "`course train` and `course corpus sing`", "use --fast", "see GUIDE.md", "Chapter 99",
     "`fly --high`"],
)  # fmt: skip
def test_wrong_pointers_are_found(text: str) -> None:
    assert len(wrong_pointers("course train", text)) == 1


def test_a_configuration_is_where_the_help_says() -> None:
    """The README, which it once named, says nothing about one."""
    [config] = [param for param in COMMANDS["course train"].params if param.name == "config"]
    assert "--init" in config.help


def test_help_lists_every_pattern_and_published_tokenizer() -> None:
    [pattern] = [param for param in COMMANDS["course tokenizer train"].params if param.name == "pattern"]
    assert pattern.help == f"{', '.join(PATTERNS)} or a regular expression."
    [tokenizer] = [param for param in COMMANDS["course tokenizer encode"].params if param.name == "tokenizer"]
    assert tokenizer.help == f"A tokenizer.json, or {', '.join(PRETRAINED[:-1])} or {PRETRAINED[-1]}."


def test_help_lists_every_text() -> None:
    [option] = [param for param in COMMANDS["course corpus make"].params if param.name == "name"]
    assert option.help.endswith(f": {' or '.join(known.name for known in TEXTS)}.")
