"""Errors that a user can do something about, as one line each; tracebacks are for bugs."""

import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup


class OneLineErrors(TyperGroup):
    """The root command: prints errors and warnings of the library as one line and sets the exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; see the class."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _print_warning
                return super().invoke(ctx)
        except BrokenPipeError:
            # The reader of our output is gone; the interpreter must not try to flush it again at exit.
            sys.stdout = None
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("course: interrupted", err=True)
            raise typer.Exit(130) from None
        except (OSError, ValueError, ImportError, MemoryError, ArithmeticError) as error:
            typer.echo(f"course: {_one_line(error)}", err=True)
            raise typer.Exit(1) from None


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"course: {message}", err=True)
