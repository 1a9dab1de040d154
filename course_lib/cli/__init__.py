"""The command ``course``: reads arguments, calls the library, prints what it returns.

Exit status: 0 for success, 1 for failure (explained in one line on standard error), 2 for wrong usage, 130 after
Ctrl-C. With ``--json`` a command prints one JSON value and nothing else on standard output. Slow imports are inside the
commands, so that ``course --help`` answers at once.
"""

import io
import sys
from typing import Annotated

import typer

from course_lib.cli import corpus, doctor, exercises, language_model, reproduce, tokenizer
from course_lib.cli.failures import OneLineErrors

__all__ = ["app", "main"]

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Language models from scratch, by measurement: the course's tools.",
)
app.add_typer(doctor.app)
app.add_typer(language_model.app)
app.add_typer(corpus.app, name="corpus")
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(exercises.app, name="exercises")
app.add_typer(reproduce.app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"course {version('course-lib')}")
        raise typer.Exit


@app.callback()
def _course(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def main() -> None:
    """Entry point of the ``course`` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names need not be UTF-8, and a terminal may not have all letters. In JSON, these escapes are valid.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="course")
