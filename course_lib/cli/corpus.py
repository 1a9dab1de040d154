"""``course corpus``: text to train on: real, generated or downloaded."""

import sys
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from course_lib.cli.options import Json, Language, parse_size
from course_lib.cli.output import megabytes, print_json, report
from course_lib.files import check_output_file

if TYPE_CHECKING:
    from course_lib.data.corpora import Corpus
    from course_lib.data.texts import Text

app = typer.Typer(no_args_is_help=True, help="Make, list and download text to train on.")


class Part(StrEnum):
    """Parts of a text's split."""

    training = "training"
    held_out = "held-out"


@app.command()
def make(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file to write.")],
    num_bytes: Annotated[
        int | None,
        typer.Option(
            "--bytes",
            parser=parse_size,
            metavar="N",
            help="Size, for example 10MB: as many whole stories or documents as it takes to reach it. "
            "Needed for stories; without it, a text is written from beginning to end.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="NAME",
            help="Not stories, but a text that comes with the course: novels_en or classics_zh.",
        ),
    ] = None,
    part: Annotated[
        Part | None,
        typer.Option(help="One part of the text, in chapters or poems; no sentence is in both parts."),
    ] = None,
    language: Annotated[
        Language | None, typer.Option(help="Language of the stories.", show_default="en")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Random seed of the stories.", show_default="0")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write generated stories, or a text that comes with the course; a line <|endoftext|> follows each document."""
    check_output_file(path)
    started = time.perf_counter()
    if name is None:
        if part is not None:
            raise typer.BadParameter("--part needs --text")
        kind = "stories"
        count = _write_stories(path, num_bytes, language or Language.en, seed or 0)
    else:
        if language is not None or seed is not None:
            raise typer.BadParameter("--language and --seed are for stories, and --text writes none")
        kind = "documents"
        count = _write_text(path, name, part, num_bytes)
    size, seconds = path.stat().st_size, time.perf_counter() - started
    report(
        as_json,
        f"{path}: {count:,} {kind}, {megabytes(size)} in {seconds:.1f} s",
        {"path": str(path), kind: count, "bytes": size, "seconds": seconds},
    )


def _write_stories(path: Path, num_bytes: int | None, language: Language, seed: int) -> int:
    from course_lib.data import write_stories

    if num_bytes is None:
        raise typer.BadParameter(
            "--bytes is needed for stories, for example --bytes 10MB; a text is chosen with --text"
        )
    return write_stories(
        path, num_bytes, seed=seed, language=language.value, show_progress=sys.stderr.isatty()
    )


def _write_text(path: Path, name: str, part: Part | None, num_bytes: int | None) -> int:
    from course_lib.data import write_text

    return write_text(path, name, part=part and part.name, num_bytes=num_bytes)


@app.command("list")
def list_corpora(as_json: Json = False) -> None:
    """List the texts that come with the course, and the published corpora that `course corpus fetch` downloads."""
    from course_lib.data import TEXTS, corpora

    published = corpora.list()
    if as_json:
        texts = [{**asdict(text), "bytes": text.num_bytes, "command": "make"} for text in TEXTS]
        fetched = [{**asdict(corpus), "bytes": corpus.num_bytes, "command": "fetch"} for corpus in published]
        print_json([*texts, *fetched])
        return
    typer.echo("With the course (course corpus make PATH --text NAME):")
    for text in TEXTS:
        _show(text, f"source: {text.source}")
    typer.echo("To download (course corpus fetch NAME):")
    for corpus in published:
        _show(corpus, f"hub: {corpus.repository}")


def _show(entry: "Text | Corpus", origin: str) -> None:
    typer.echo(f"  {entry.name}: {entry.description}")
    typer.echo(f"      {megabytes(entry.num_bytes)}; licence: {entry.license}; {origin}")


@app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A published corpus that `course corpus list` prints.")
    ],
    directory: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder to download to; created if it does not exist.")
    ] = Path("data"),
    as_json: Json = False,
) -> None:
    """Download a published corpus from the Hugging Face Hub; an interrupted download is continued."""
    from course_lib.data import TEXTS, corpora

    if name in [text.name for text in TEXTS]:
        raise ValueError(f"{name} comes with the course: course corpus make PATH --text {name}")
    paths = corpora.fetch(name, directory, progress=sys.stderr.isatty())
    sizes = [path.stat().st_size for path in paths]
    report(
        as_json,
        "\n".join(f"{path}: {megabytes(size)}" for path, size in zip(paths, sizes, strict=True)),
        [{"path": str(path), "bytes": size} for path, size in zip(paths, sizes, strict=True)],
    )
