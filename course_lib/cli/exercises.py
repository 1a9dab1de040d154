"""``course exercises``: notebooks for a class."""

from pathlib import Path
from typing import Annotated

import typer

from course_lib.cli.options import Json
from course_lib.cli.output import report

app = typer.Typer(no_args_is_help=True, help="Prepare exercises for a class.")


@app.command()
def student(
    out: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder to write to; nothing is overwritten.")
    ],
    notebooks: Annotated[Path, typer.Option(metavar="FOLDER", help="The notebooks with solutions.")] = Path(
        "notebooks"
    ),
    as_json: Json = False,
) -> None:
    """Copy the notebooks without the solutions of their exercises."""
    from course_lib.exercises.edition import student_edition

    written = student_edition(notebooks, out)
    report(as_json, f"{out}: {len(written)} notebooks", {"paths": [str(path) for path in written]})
