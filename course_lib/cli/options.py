"""Arguments and options that several commands share."""

import re
from enum import StrEnum
from typing import Annotated

import typer

_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def parse_size(text: str) -> int:
    """A number of bytes from "5000", "10MB" (10⁷), "1.5 GB" or "2MiB" (2²¹); letters of either case."""
    match = re.fullmatch(r"([0-9][0-9_,]*(?:\.[0-9]+)?|\.[0-9]+) *(|[kmgt]i?)b?", text.strip().lower())
    if not match:
        raise typer.BadParameter(f"{text!r} is not a size such as 5000, 10MB or 2GiB")
    return round(float(re.sub("[_,]", "", match[1])) * _UNITS[match[2]])


class Language(StrEnum):
    """Languages of generated stories."""

    en = "en"
    zh = "zh"
    both = "both"


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="Number of threads; by default one per processor."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Use a Dask cluster that sees the same files: tcp://HOST:PORT, or local for processes here.",
        show_default=False,
    ),
]
TokenizerName = Annotated[
    str,
    typer.Argument(
        metavar="TOKENIZER", help="A tokenizer.json, or gpt2, cl100k_base, o200k_base or deepseek."
    ),
]
