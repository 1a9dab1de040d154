"""``course corpus``: text to train on, generated or downloaded."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from course_lib.cli.options import Json, Language, parse_size
from course_lib.cli.output import megabytes, print_json, report
from course_lib.files import check_output_file

app = typer.Typer(no_args_is_help=True, help="Make, list and download text to train on.")


@app.command()
def make(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file to write.")],
    num_bytes: Annotated[
        int, typer.Option("--bytes", parser=parse_size, metavar="N", help="Size, for example 10MB.")
    ],
    language: Annotated[Language, typer.Option(help="Language of the stories.")] = Language.en,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    as_json: Json = False,
) -> None:
    """Write generated stories, each followed by a line <|endoftext|>."""
    from course_lib.data import write_stories

    check_output_file(path)
    started = time.perf_counter()
    count = write_stories(
        path, num_bytes, seed=seed, language=language.value, show_progress=sys.stderr.isatty()
    )
    size, seconds = path.stat().st_size, time.perf_counter() - started
    report(
        as_json,
        f"{path}: {count:,} stories, {megabytes(size)} in {seconds:.1f} s",
        {"path": str(path), "stories": count, "bytes": size, "seconds": seconds},
    )


@app.command("list")
def list_corpora(as_json: Json = False) -> None:
    """List the published corpora that `course corpus fetch` can download."""
    from course_lib.data import corpora

    known = corpora.list()
    if as_json:
        print_json([{**asdict(corpus), "bytes": corpus.num_bytes} for corpus in known])
        return
    for corpus in known:
        typer.echo(f"{corpus.name}: {corpus.description}")
        typer.echo(f"    {megabytes(corpus.num_bytes)}; licence: {corpus.license}; hub: {corpus.repository}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `course corpus list` prints.")],
    directory: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder to download to; created if it does not exist.")
    ] = Path("data"),
    as_json: Json = False,
) -> None:
    """Download a published corpus from the Hugging Face Hub; an interrupted download is continued."""
    from course_lib.data import corpora

    paths = corpora.fetch(name, directory, progress=sys.stderr.isatty())
    sizes = [path.stat().st_size for path in paths]
    report(
        as_json,
        "\n".join(f"{path}: {megabytes(size)}" for path, size in zip(paths, sizes, strict=True)),
        [{"path": str(path), "bytes": size} for path, size in zip(paths, sizes, strict=True)],
    )
