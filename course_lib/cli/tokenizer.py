"""``course tokenizer``: train, encode, decode, compare."""

import re
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from course_lib.cli.options import Json, Scheduler, Threads, TokenizerName
from course_lib.cli.output import megabytes, print_comparison, print_json, report
from course_lib.files import check_input_file, check_not_sources, check_output_file

if TYPE_CHECKING:
    from course_lib.tokenizer import Tokenizer

app = typer.Typer(no_args_is_help=True, help="Train and use tokenizers.")


@app.command()
def train(
    source: Annotated[list[Path], typer.Argument(metavar="SOURCE", help="Text files.")],
    vocab_size: Annotated[
        int, typer.Option(metavar="N", help="Number of tokens: 256 bytes, the merges and the special tokens.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The tokenizer.json to write or replace; by default SOURCE.N.tokenizer.json in this folder.",
            show_default=False,
        ),
    ] = None,
    pattern: Annotated[
        str,
        typer.Option(help="gpt2, cl100k, o200k, deepseek, qwen2, llama3, starcoder or a regular expression."),
    ] = "gpt2",
    special_token: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A text that is never split; may be given several times.",
            show_default="<|endoftext|>",
        ),
    ] = None,
    no_special_tokens: Annotated[bool, typer.Option("--no-special-tokens", help="Use none.")] = False,
    threads: Threads = None,
    scheduler: Scheduler = None,
    max_words: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --scheduler: keep only the N most frequent pre-tokens.",
            show_default="all, for the same result as one process",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a byte-level BPE tokenizer on text files."""
    if special_token and no_special_tokens:
        raise typer.BadParameter("--special-token and --no-special-tokens exclude each other")
    if max_words and not scheduler:
        raise typer.BadParameter("--max-words needs --scheduler")
    from course_lib.tokenizer import cluster, train_bpe

    specials = [] if no_special_tokens else special_token or ["<|endoftext|>"]
    sources = [check_input_file(path) for path in source]
    target = out or Path(f"{sources[0].stem}.{vocab_size}.tokenizer.json")
    check_output_file(target)
    check_not_sources([target], sources)
    started = time.perf_counter()
    options: dict[str, Any] = {"pattern": pattern, "progress": sys.stderr.isatty()}
    if scheduler:
        with cluster.connect(scheduler, num_workers=_workers(scheduler, threads)) as client:
            options |= {"client": client, "max_words": max_words}
            tokenizer = cluster.train_bpe(sources, vocab_size, specials, **options)
    else:
        tokenizer = train_bpe(sources, vocab_size, specials, num_threads=threads, **options)
    seconds = time.perf_counter() - started
    tokenizer.save(target)
    size = sum(path.stat().st_size for path in sources)
    report(
        as_json,
        f"{target}: {tokenizer.vocab_size:,} tokens from {megabytes(size)} in {seconds:.1f} s",
        {
            "path": str(target),
            "vocab_size": tokenizer.vocab_size,
            "merges": len(tokenizer.merges),
            "special_tokens": tokenizer.special_tokens,
            "pattern": tokenizer.pattern,
            "bytes": size,
            "seconds": seconds,
        },
    )


@app.command()
def encode(
    tokenizer: TokenizerName,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The text file.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The token file to write, described by OUT.json beside it.")
    ],
    threads: Threads = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Encode a text file into a token file."""
    from course_lib.tokenizer import Tokenizer

    check_input_file(source)
    check_output_file(out)
    loaded = Tokenizer.open(tokenizer)
    started = time.perf_counter()
    if scheduler:
        from course_lib.tokenizer import cluster

        with cluster.connect(scheduler, num_workers=_workers(scheduler, threads)) as client:
            tokens = cluster.encode_file(loaded, source, out, client=client, progress=sys.stderr.isatty())
    else:
        tokens = loaded.encode_file(source, out, num_threads=threads, progress=sys.stderr.isatty())
    seconds, size = time.perf_counter() - started, source.stat().st_size
    ratio = size / len(tokens) if len(tokens) else None
    report(
        as_json,
        f"{out}: {len(tokens):,} tokens from {megabytes(size)} in {seconds:.1f} s"
        + (f", {ratio:.2f} bytes per token" if ratio else ""),
        {
            "path": str(out),
            "tokens": len(tokens),
            "bytes": size,
            "bytes_per_token": ratio,
            "dtype": tokens.dtype.str,
            "seconds": seconds,
        },
    )


@app.command()
def decode(
    tokenizer: TokenizerName,
    tokens: Annotated[Path, typer.Argument(metavar="TOKENS", help="The token file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The text file to write.")],
    as_json: Json = False,
) -> None:
    """Decode a token file into the bytes that were encoded."""
    from course_lib.token_file import TokenFile
    from course_lib.tokenizer import Tokenizer

    size = Tokenizer.open(tokenizer).decode_file(tokens, out, progress=sys.stderr.isatty())
    count = len(TokenFile.open(tokens))
    report(
        as_json,
        f"{out}: {megabytes(size)} from {count:,} tokens",
        {"path": str(out), "bytes": size, "tokens": count},
    )


@app.command()
def compare(
    text: Annotated[
        list[str],
        typer.Argument(metavar="TEXT", help="Texts, or names of files whose contents are compared."),
    ],
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A tokenizer.json or a published name; may be given several times.",
            show_default="all published ones found here",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the tokens that several tokenizers make of a text."""
    from course_lib.tokenizer import Tokenizer
    from course_lib.tokenizer.pretrained import PRETRAINED, find_pretrained, install_command

    names = tokenizer or [name for name in PRETRAINED if find_pretrained(name)]
    if not names:
        raise FileNotFoundError(
            f"no published vocabulary is on this machine; try: {install_command('o200k_base')}"
        )
    texts = [_text_of(item) for item in text]
    rows = []
    for name in names:
        loaded = Tokenizer.open(name)
        rows += [{"tokenizer": name, **_measure(loaded, label, contents)} for label, contents in texts]
    print_json(rows) if as_json else print_comparison(rows)


_SHOWN_BYTES = 240

# Surely meant as a path: a word that ends like a file name, or has folders in it.
_PATH = re.compile(r"\S+\.[A-Za-z]\w{1,4}|[^\s:]*/[^\s:]*\w")


def _text_of(argument: str) -> tuple[str, bytes]:
    """A label for a text to compare, and its bytes."""
    try:
        is_file = Path(argument).is_file()
    except (OSError, ValueError):
        is_file = False  # too long or otherwise impossible as a file name
    if not is_file and _PATH.fullmatch(argument):
        warnings.warn(f"there is no file {argument}: the name itself is compared", stacklevel=2)
    contents = check_input_file(argument).read_bytes() if is_file else argument.encode()
    if not contents:
        raise ValueError(f"{argument} is empty" if is_file else "a text to compare is empty")
    label = Path(argument).name if is_file else argument
    return label if len(label) <= 40 else label[:39] + "…", contents


def _measure(tokenizer: "Tokenizer", label: str, contents: bytes) -> dict[str, Any]:
    ids = tokenizer.encode_to_numpy(contents)
    row: dict[str, Any] = {
        "text": label,
        "bytes": len(contents),
        "tokens": len(ids),
        "bytes_per_token": len(contents) / len(ids),
    }
    if len(contents) <= _SHOWN_BYTES:
        row["pieces"] = [
            tokenizer.decode_bytes([token]).decode("utf-8", "backslashreplace") for token in ids.tolist()
        ]
    return row


def _workers(scheduler: str, threads: int | None) -> int | None:
    """The number of processes of a local cluster."""
    if threads and scheduler != "local":
        raise typer.BadParameter(
            "--threads is for work on this machine; the workers of a cluster have their own"
        )
    return threads
