"""Breakdown: an integer that is the sum of named parts."""

from collections.abc import Mapping
from typing import Self


class Breakdown(int):
    """An integer with named parts: ``int(b)`` is the total, ``b.parts["head"]`` or ``b["head"]`` one of its parts.

    The parts add up to the total. It behaves like any integer; the parts are for tables and pictures.
    """

    parts: dict[str, int]

    def __new__(cls, parts: Mapping[str, int]) -> Self:
        """The sum of ``parts``."""
        made = super().__new__(cls, sum(parts.values()))
        made.parts = dict(parts)
        return made

    @property
    def total(self) -> int:
        """The sum of all parts, as a plain integer."""
        return int(self)

    def __getitem__(self, name: str) -> int:
        if name not in self.parts:
            raise KeyError(f"no part {name!r}; there are {', '.join(self.parts)}")
        return self.parts[name]

    def share(self, name: str) -> float:
        """The part's share of the total, 0 … 1."""
        return self[name] / self if self else 0.0

    def __repr__(self) -> str:
        return f"{int(self):,} ({', '.join(f'{name} {part:,}' for name, part in self.parts.items())})"

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, int]]]:
        return type(self), (self.parts,)
