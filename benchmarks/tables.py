"""Printing the results of benchmarks."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def show(rows: Sequence[dict[str, object]], *, digits: int = 3) -> None:
    """Print rows that have the same keys as one table, floats with ``digits`` digits."""
    table = Table(*rows[0])
    for row in rows:
        values = row.values()
        table.add_row(
            *(f"{value:.{digits}g}" if isinstance(value, float) else str(value) for value in values)
        )
    Console(width=200).print(table)
