"""``course train``, ``course generate`` and ``course account``: language models."""

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from course_lib.cli.options import Json
from course_lib.cli.output import print_json, print_resources, report

app = typer.Typer()


@app.command()
def train(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONFIG.toml",
            help="The configuration of the run; --init writes one to start from.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write a configuration with every key explained, and train nothing.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the newest checkpoint, if there is one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a language model. Under `torchrun --no-python --nproc-per-node N`, it trains on N processes."""
    if init is not None and config is None:
        _write_configuration(init, as_json=as_json)
        return
    if config is None or init is not None:
        raise typer.BadParameter("name a configuration to train, or --init PATH to write one")
    from course_lib.train import TrainConfig, check_sources
    from course_lib.train import train as train_model

    run = TrainConfig.from_toml(config)
    check_sources(run, config)
    result = train_model(run, resume=resume, progress=sys.stderr.isatty())
    if not result.records:
        return  # another process of the run reports
    step, loss = max(result.losses.items())
    held_out = "" if result.valid_loss is None else f", {result.valid_loss:.3f} on held-out text"
    report(
        as_json,
        f"{result.checkpoint}: loss {loss:.3f} nats per token{held_out}",
        {"step": step, "loss": loss, "valid_loss": result.valid_loss, "checkpoint": str(result.checkpoint)},
    )


def _write_configuration(path: Path, *, as_json: bool) -> None:
    from course_lib.train import write_template

    write_template(path)
    report(as_json, f"{path}: its first lines are the commands that make what it reads", {"path": str(path)})


@app.command()
def generate(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint, or the folder of a run.")
    ],
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="The text to continue.")],
    tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Add at most N tokens.")] = 200,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the most likely token.")] = 0.8,
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Sample only from the K most likely tokens.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="P",
            help="Sample only from the likeliest tokens whose probabilities sum to P.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A tokenizer.json or a published name.", show_default="the run's own"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Continue a text with a trained model."""
    from course_lib.train import load_run

    made = load_run(checkpoint, tokenizer).continue_text(
        prompt, tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
    )
    report(as_json, made.text, asdict(made))


@app.command()
def account(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG.toml",
            help='The configuration of a run, or the name of a known model such as "GPT-2 small".',
        ),
    ],
    batch: Annotated[
        int | None,
        typer.Option(min=1, metavar="B", help="Sequences per step.", show_default="the run's, or 1"),
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or mixed.")] = "float32",
    tokens: Annotated[
        float | None,
        typer.Option(
            metavar="N", help="Number of training tokens, such as 1e9.", show_default="the run's, if any"
        ),
    ] = None,
    flops: Annotated[
        float | None,
        typer.Option(metavar="F", help="Peak FLOP/s of the hardware, such as 312e12.", show_default=False),
    ] = None,
    mfu: Annotated[float, typer.Option(help="Fraction of the peak that is reached.")] = 0.4,
    as_json: Json = False,
) -> None:
    """Count a model's parameters, operations, memory, cache and training time."""
    from course_lib.accounting import KNOWN_MODELS
    from course_lib.accounting import report as account_model

    if tokens is not None and not math.isfinite(tokens):
        raise typer.BadParameter(f"--tokens must be finite, not {tokens}")
    options: dict[str, Any] = {
        "dtype": dtype,
        "tokens": None if tokens is None else round(tokens),
        "flops_per_second": flops,
        "mfu": mfu,
    }
    if config in KNOWN_MODELS:
        result = account_model(KNOWN_MODELS[config].config, batch or 1, **options)
    else:
        from course_lib.train import TrainConfig
        from course_lib.train import account as account_run

        result = account_run(TrainConfig.from_toml(config), batch, **options)
    print_json(result) if as_json else print_resources(result)
