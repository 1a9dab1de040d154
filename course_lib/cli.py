"""The command ``course``: reads arguments, calls the library, prints what it returns.

Exit status: 0 when done, 1 when something asked for was impossible (said in one line on the standard error),
2 for wrong usage, 130 after Ctrl-C. With ``--json`` a command prints one JSON value and nothing else on the
standard output. Imports that take time wait inside the commands: ``course --help`` answers at once.
"""

import io
import json
import math
import re
import sys
import time
import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from course_lib.files import atomic_write, check_input_file, check_not_sources, check_output_file

if TYPE_CHECKING:
    from course_lib.tokenizer import Tokenizer


class _Group(TyperGroup):
    """Turns the errors that users can do something about into one line, and keeps tracebacks for bugs."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _print_warning
                return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read our output has gone; the interpreter must not try to flush it again at exit.
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


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Language models from scratch, by measurement: the course's tools.",
)
corpus_app = typer.Typer(no_args_is_help=True, help="Text to train on.")
tokenizer_app = typer.Typer(no_args_is_help=True, help="Train and use tokenizers.")
exercises_app = typer.Typer(no_args_is_help=True, help="Exercises for a class.")
app.add_typer(corpus_app, name="corpus")
app.add_typer(tokenizer_app, name="tokenizer")
app.add_typer(exercises_app, name="exercises")

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
    typer.Option("--threads", min=1, metavar="N", help="Threads to use; by default as many as processors."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on a Dask cluster that sees the same files: tcp://HOST:PORT, or local for processes here.",
        show_default=False,
    ),
]
TokenizerName = Annotated[
    str,
    typer.Argument(
        metavar="TOKENIZER", help="A tokenizer.json, or gpt2, cl100k_base, o200k_base or deepseek."
    ),
]


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


@app.command()
def doctor(as_json: Json = False) -> None:
    """What is installed, how it was built, and how fast it is here. Fails when the notebooks would."""
    from course_lib.doctor import check

    report = check()
    typer.echo(_json(report.as_dict()) if as_json else str(report))
    if not report.ok:
        raise typer.Exit(1)


@corpus_app.command()
def make(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file to write.")],
    num_bytes: Annotated[
        int, typer.Option("--bytes", parser=parse_size, metavar="N", help="Size, for example 10MB.")
    ],
    language: Annotated[Language, typer.Option(help="Language of the stories.")] = Language.en,
    seed: Annotated[int, typer.Option(min=0, help="Another seed tells other stories.")] = 0,
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
    _report(
        as_json,
        f"{path}: {count:,} stories, {_megabytes(size)} in {seconds:.1f} s",
        {"path": str(path), "stories": count, "bytes": size, "seconds": seconds},
    )


@corpus_app.command("list")
def list_corpora(as_json: Json = False) -> None:
    """The published corpora that `fetch` knows."""
    from dataclasses import asdict

    from course_lib.data import corpora

    known = corpora.list()
    if as_json:
        typer.echo(_json([{**asdict(corpus), "bytes": corpus.num_bytes} for corpus in known]))
        return
    for corpus in known:
        typer.echo(f"{corpus.name}: {corpus.description}")
        typer.echo(f"    {_megabytes(corpus.num_bytes)}; licence: {corpus.license}; hub: {corpus.repository}")


@corpus_app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `course corpus list` shows.")],
    directory: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where to; made if it does not exist.")
    ] = Path("data"),
    as_json: Json = False,
) -> None:
    """Download a published corpus from the Hugging Face Hub; stopped, it goes on where it was."""
    from course_lib.data import corpora

    paths = corpora.fetch(name, directory, progress=sys.stderr.isatty())
    sizes = [path.stat().st_size for path in paths]
    _report(
        as_json,
        "\n".join(f"{path}: {_megabytes(size)}" for path, size in zip(paths, sizes, strict=True)),
        [{"path": str(path), "bytes": size} for path, size in zip(paths, sizes, strict=True)],
    )


@app.command("train")
def train_model(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The run; see the README.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint, if there is one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a language model. `torchrun --no-python --nproc-per-node N course train ...` uses N processes."""
    from course_lib.train import TrainConfig, check_sources, train

    run = TrainConfig.from_toml(config)
    check_sources(run, config)
    result = train(run, resume=resume, progress=sys.stderr.isatty())
    if not result.records:
        return  # another process of the run reports
    step, loss = max(result.losses.items())
    values = {
        "step": step,
        "loss": loss,
        "valid_loss": result.valid_loss,
        "checkpoint": str(result.checkpoint),
    }
    held_out = "" if result.valid_loss is None else f", {result.valid_loss:.3f} on held-out text"
    _report(as_json, f"{result.checkpoint}: loss {loss:.3f} nats a token{held_out}", values)


@app.command()
def generate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint or a run's folder.")],
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="What to continue.")],
    tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens to add at most.")] = 200,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the most likely token.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, metavar="K", help="Of the K most likely only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, metavar="P", help="Of the likeliest that reach P only.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed tells another story.")] = 0,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="A tokenizer.json.", show_default="the run's own")
    ] = None,
    as_json: Json = False,
) -> None:
    """Continue a text with a trained model."""
    from course_lib.errors import FormatError
    from course_lib.train import latest_checkpoint, load_model, read_run

    model, config = load_model(checkpoint)
    folder = latest_checkpoint(checkpoint)
    own = folder.parents[1] / "tokenizer.json"
    named = tokenizer or (str(own) if own.is_file() else config.tokenizer)
    if named is None:
        raise ValueError("the run has no tokenizer: name one with --tokenizer")
    loaded = _load(named)
    if loaded.sha256() != read_run(folder)["tokenizer_sha256"]:
        raise FormatError(folder, "", f"was trained on tokens of another tokenizer than {named}")
    ids = loaded.encode(prompt)
    if not ids:
        raise ValueError("the prompt is empty")
    room = config.model.context_length - len(ids)
    if room < 1:
        raise ValueError(f"the prompt has {len(ids)} tokens; the model sees {config.model.context_length}")
    ends = [loaded.special_token_ids[name] for name in ("<|endoftext|>",) if name in loaded.special_token_ids]
    made = model.generate(
        ids, min(tokens, room), temperature=temperature, top_k=top_k, top_p=top_p, stop_ids=ends, seed=seed,
        allowed_ids=loaded.vocab,
    ).tolist()  # fmt: skip
    text = loaded.decode(made)
    _report(as_json, text, {"text": text, "prompt_tokens": len(ids), "new_tokens": len(made) - len(ids)})


@app.command()
def account(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG.toml", help='A run, or a known model such as "GPT-2 small".')
    ],
    batch: Annotated[
        int | None,
        typer.Option(min=1, metavar="B", help="Sequences at a time.", show_default="the run's, or 1"),
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or mixed.")] = "float32",
    tokens: Annotated[
        float | None, typer.Option(metavar="N", help="Tokens to train on, such as 1e9.")
    ] = None,
    flops: Annotated[float | None, typer.Option(metavar="F", help="Peak FLOP/s, such as 312e12.")] = None,
    mfu: Annotated[float, typer.Option(help="The part of the peak that is reached.")] = 0.4,
    as_json: Json = False,
) -> None:
    """What a model needs: parameters, operations, memory, cache and time."""
    from course_lib.accounting import KNOWN_MODELS, report

    options: dict[str, Any] = {"dtype": dtype, "flops_per_second": flops, "mfu": mfu}
    if tokens is not None and not math.isfinite(tokens):
        raise typer.BadParameter(f"--tokens must be finite, not {tokens}")
    options["tokens"] = None if tokens is None else round(tokens)
    if config in KNOWN_MODELS:
        result = report(KNOWN_MODELS[config].config, batch or 1, **options)
    else:
        from course_lib.train import TrainConfig

        run = TrainConfig.from_toml(config)
        options |= {
            "optimizer": run.optimizer,
            "context_length": run.context_length,
            "loss_chunk": run.loss_chunk,
        }
        options["tokens"] = options["tokens"] or run.steps * run.batch_size * run.sequence_length
        result = report(run.model, batch or run.batch_size // run.accumulate, **options)
    if as_json:
        typer.echo(_json(result))
    else:
        _print_resources(result)


def _print_resources(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "part", "amount", "share"):
        table.add_column(title, justify="left" if title in ("", "part") else "right")
    names = {
        "parameters": "parameters",
        "flops_forward": "FLOPs, forward pass",
        "flops_step": "FLOPs, training step",
        "memory_bytes": "bytes, training step",
    }
    for name, shown in names.items():
        total, parts = result[name]["total"], result[name]["parts"]
        table.add_row(shown, "all", f"{total:,}", "")
        for part, amount in parts.items():
            if amount:
                table.add_row("", part, f"{amount:,}", f"{amount / total:.1%}")
    table.add_row("bytes, KV cache", "all", f"{result['kv_cache_bytes']:,}", "")
    if "training_seconds" in result:
        table.add_row("hours of training", "all", f"{result['training_seconds'] / 3600:,.2f}", "")
    Console().print(table)


@tokenizer_app.command()
def train(
    source: Annotated[list[Path], typer.Argument(metavar="SOURCE", help="Text files.")],
    vocab_size: Annotated[
        int, typer.Option(metavar="N", help="Size: 256 bytes, the merges and the special tokens.")
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
        str, typer.Option(help="gpt2, cl100k, o200k, deepseek, qwen2, llama3 or a regular expression.")
    ] = "gpt2",
    special_token: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="A text that is never split; may be repeated.", show_default="<|endoftext|>"
        ),
    ] = None,
    no_special_tokens: Annotated[bool, typer.Option("--no-special-tokens", help="Have none.")] = False,
    threads: Threads = None,
    scheduler: Scheduler = None,
    max_words: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --scheduler: keep at most N distinct pre-tokens, the most frequent.",
            show_default="all, for the result of one process",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a byte-level BPE tokenizer on text files."""
    if special_token and no_special_tokens:
        raise typer.BadParameter("--special-token and --no-special-tokens exclude each other")
    if max_words and not scheduler:
        raise typer.BadParameter("--max-words goes with --scheduler")
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
    _report(
        as_json,
        f"{target}: {tokenizer.vocab_size:,} tokens from {_megabytes(size)} in {seconds:.1f} s",
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


@tokenizer_app.command()
def encode(
    tokenizer: TokenizerName,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The text file.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The token file to write; OUT.json beside it describes it.")
    ],
    threads: Threads = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Encode a text file into a token file."""
    check_input_file(source)
    check_output_file(out)
    loaded = _load(tokenizer)
    started = time.perf_counter()
    if scheduler:
        from course_lib.tokenizer import cluster

        with cluster.connect(scheduler, num_workers=_workers(scheduler, threads)) as client:
            tokens = cluster.encode_file(loaded, source, out, client=client, progress=sys.stderr.isatty())
    else:
        tokens = loaded.encode_file(source, out, num_threads=threads, progress=sys.stderr.isatty())
    seconds, size = time.perf_counter() - started, source.stat().st_size
    ratio = size / len(tokens) if len(tokens) else None
    _report(
        as_json,
        f"{out}: {len(tokens):,} tokens from {_megabytes(size)} in {seconds:.1f} s"
        + (f", {ratio:.2f} bytes a token" if ratio else ""),
        {
            "path": str(out),
            "tokens": len(tokens),
            "bytes": size,
            "bytes_per_token": ratio,
            "dtype": tokens.dtype.str,
            "seconds": seconds,
        },
    )


@tokenizer_app.command()
def decode(
    tokenizer: TokenizerName,
    tokens: Annotated[Path, typer.Argument(metavar="TOKENS", help="The token file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The text file to write.")],
    as_json: Json = False,
) -> None:
    """Decode a token file into the bytes that were encoded."""
    import numpy as np

    from course_lib.errors import FormatError
    from course_lib.files import progress
    from course_lib.token_file import TokenFile, description_path

    ids = TokenFile.open(tokens)
    check_output_file(out)
    check_not_sources([out], [tokens, description_path(tokens), tokenizer])
    loaded = _load(tokenizer)
    if loaded.sha256() != ids.tokenizer_sha256:
        raise FormatError(tokens, "", f"was encoded with another tokenizer than {tokenizer}")
    size, step = 0, 1 << 20
    with (
        atomic_write(out) as file,
        progress(description="decoding", total=len(ids), enabled=sys.stderr.isatty()) as bar,
    ):
        for start in range(0, len(ids), step):
            [part] = ids.windows(np.array([start]), min(step, len(ids) - start))
            size += file.write(loaded.decode_bytes(part))
            bar.update(len(part))
    _report(
        as_json,
        f"{out}: {_megabytes(size)} from {len(ids):,} tokens",
        {"path": str(out), "bytes": size, "tokens": len(ids)},
    )


@tokenizer_app.command()
def compare(
    text: Annotated[
        list[str],
        typer.Argument(metavar="TEXT", help="Texts; the name of a file stands for its contents."),
    ],
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A tokenizer.json or a published name; may be repeated.",
            show_default="all published ones on this machine",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare how many tokens several tokenizers make of a text, and which."""
    from course_lib.tokenizer.pretrained import PRETRAINED, find_pretrained, install_command

    names = tokenizer or [name for name in PRETRAINED if find_pretrained(name)]
    if not names:
        raise FileNotFoundError(
            f"no published vocabulary is on this machine; try: {install_command('o200k_base')}"
        )
    texts = [_text_of(item) for item in text]
    rows = []
    for name in names:
        loaded = _load(name)
        rows += [{"tokenizer": name, **_measure(loaded, label, contents)} for label, contents in texts]
    if as_json:
        typer.echo(_json(rows))
    else:
        _print_comparison(rows)


_SHOWN_BYTES = 240

# What is surely meant as a path: a word that ends as file names do, or with folders in it.
_PATH = re.compile(r"\S+\.[A-Za-z]\w{1,4}|[^\s:]*/[^\s:]*\w")


@exercises_app.command()
def student(
    out: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the copies go; nothing is overwritten.")
    ],
    notebooks: Annotated[Path, typer.Option(metavar="FOLDER", help="The notebooks with solutions.")] = Path(
        "notebooks"
    ),
    as_json: Json = False,
) -> None:
    """Copy the notebooks without the solutions of their exercises."""
    from course_lib.exercises.edition import student_edition

    written = student_edition(notebooks, out)
    _report(as_json, f"{out}: {len(written)} notebooks", {"paths": [str(path) for path in written]})


def _text_of(argument: str) -> tuple[str, bytes]:
    """How to name what is compared, and its bytes."""
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


def _print_comparison(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("text", "tokenizer", "tokens", "bytes a token", "pieces"):
        table.add_column(
            title, justify="right" if title in ("tokens", "bytes a token") else "left", overflow="fold"
        )
    for row in sorted(rows, key=lambda row: [other["text"] for other in rows].index(row["text"])):
        pieces = "|".join(row.get("pieces", ()))
        cells = (row["text"], row["tokenizer"], f"{row['tokens']:,}", f"{row['bytes_per_token']:.2f}", pieces)
        # As Text, nothing in a cell is taken for markup.
        table.add_row(*[Text(cell) for cell in cells])
    Console().print(table)


def _workers(scheduler: str, threads: int | None) -> int | None:
    """The number of processes that a local cluster is to have."""
    if threads and scheduler != "local":
        raise typer.BadParameter(
            "--threads is for work on this machine: the workers of a cluster have their own"
        )
    return threads


def _load(name: str) -> "Tokenizer":
    from course_lib.tokenizer import Tokenizer
    from course_lib.tokenizer.pretrained import PRETRAINED

    if name in PRETRAINED and not Path(name).exists():
        return Tokenizer.from_pretrained(name)
    return Tokenizer.load(name)


def _report(as_json: bool, line: str, result: Any) -> None:
    typer.echo(_json(result) if as_json else line)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"


def main() -> None:
    """Entry point of the ``course`` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name need not be UTF-8, and a terminal need not know all letters. In JSON, these escapes are valid.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="course")


if __name__ == "__main__":
    main()
