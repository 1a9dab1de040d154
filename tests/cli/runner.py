"""Runs ``course`` in this process or a new one."""

import json
import sys
from typing import Any

from typer.testing import CliRunner

from course_lib.cli import app

COMMAND = [sys.executable, "-c", "from course_lib.cli import main; main()"]


def run(*arguments: object, status: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result


def run_json(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def failure(*arguments: object) -> str:
    """The one line on the standard error of a command that fails."""
    result = run(*arguments, status=1)
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("course: ")
    return line
