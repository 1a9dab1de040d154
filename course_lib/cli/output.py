"""Output of results: one line or JSON, sizes, and tables."""

import json
from typing import Any

import typer


def report(as_json: bool, line: str, result: Any) -> None:
    """Print ``result`` as JSON, or else ``line``."""
    print_json(result) if as_json else typer.echo(line)


def print_json(value: Any) -> None:
    """Print one JSON value."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def megabytes(size: int) -> str:
    """A number of bytes as a reader sees it: in megabytes from 100,000 on."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"


def print_resources(result: dict[str, Any]) -> None:
    """Print what :func:`course_lib.accounting.report` counted, with the share of each part."""
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


def print_comparison(rows: list[dict[str, Any]]) -> None:
    """Print the rows of ``course tokenizer compare``, those of a text together."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("text", "tokenizer", "tokens", "bytes per token", "pieces"):
        table.add_column(
            title, justify="right" if title in ("tokens", "bytes per token") else "left", overflow="fold"
        )
    for row in sorted(rows, key=lambda row: [other["text"] for other in rows].index(row["text"])):
        pieces = "|".join(row.get("pieces", ()))
        cells = (row["text"], row["tokenizer"], f"{row['tokens']:,}", f"{row['bytes_per_token']:.2f}", pieces)
        # As Text, nothing in a cell is taken for markup.
        table.add_row(*[Text(cell) for cell in cells])
    Console().print(table)
