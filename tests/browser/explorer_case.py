"""A test case for an explorer: the cell that makes it, how a reader moves it, and how it must then describe itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Move = tuple[str, str]
"""A control, and the key to press on it or the entry to choose; "" ticks a box."""


@dataclass(frozen=True)
class Case:
    """An explorer in a cell of its own.

    ``says``: what its description must contain after all ``moves``. ``exact``: the picture can be drawn anew elsewhere,
    pixel by pixel (a measured one cannot).
    """

    name: str
    cell: str
    moves: Sequence[Move]
    says: Callable[[], Sequence[str]]
    exact: bool = True
