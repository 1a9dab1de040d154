"""``course doctor``: whether everything is here."""

import typer

from course_lib.cli.options import Json
from course_lib.cli.output import print_json

app = typer.Typer()


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check what is installed, how it was built and how fast it is here; fail if notebooks would."""
    from course_lib.doctor import check

    report = check()
    print_json(report.as_dict()) if as_json else typer.echo(str(report))
    if not report.ok:
        raise typer.Exit(1)
