"""The command ``course``: reads arguments, calls the library, prints what it returns.

Exit status: 0 when done, 1 when something asked for was impossible (said in one line on the standard error),
2 for wrong usage, 130 after Ctrl-C. With ``--json`` a command prints one JSON value and nothing else on the
standard output. Imports that take time wait inside the commands: ``course --help`` answers at once.
"""

import io
import sys
from typing import Annotated

import typer

from course_lib.cli import corpus, doctor, exercises, model, tokenizer
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
app.add_typer(model.app)
app.add_typer(corpus.app, name="corpus")
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(exercises.app, name="exercises")


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
        # A file's name need not be UTF-8, and a terminal need not know all letters. In JSON, these escapes are valid.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="course")
