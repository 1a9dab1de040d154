"""The table renderer of the notebooks."""

import html
import numbers
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal

import pandas as pd

Format = str | Callable[[Any], str]
"""How the values of a column are written: a format string such as ``"{:.2f}"``, or a function."""

# The class is named twice to outrank JupyterLab's rules for tables, which name two classes.
_CSS = """<style>
.course-table.course-table {border-collapse: collapse; margin: 4px 0 10px; font-size: 13.5px; color: inherit;
  border: 0; background: transparent}
.course-table.course-table caption {caption-side: top; text-align: left; padding: 0 0 6px; font-size: 13.5px;
  color: inherit; font-weight: 600; white-space: pre-wrap}
.course-table.course-table th, .course-table.course-table td {padding: 4px 14px 4px 6px; border: 0; text-align: left;
  color: inherit;
  background: transparent; vertical-align: baseline; white-space: pre-wrap}
.course-table.course-table thead th {border-bottom: 1.5px solid rgba(127, 127, 127, .75); vertical-align: bottom}
.course-table.course-table tbody tr:nth-child(n) {border-bottom: 1px solid rgba(127, 127, 127, .22);
  background: transparent}
.course-table.course-table .number {text-align: right; font-variant-numeric: tabular-nums}
.course-table.course-table .best {font-weight: 700}
</style>"""


class Table:
    """A data frame that displays itself as a quiet HTML table, and as aligned plain text elsewhere.

    ``frame`` holds the data, ``cells`` the formatted text by row.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        caption: str,
        formats: Mapping[str, Format],
        best: Mapping[str, Literal["max", "min"]],
    ) -> None:
        self.caption = caption
        self.frame = frame if frame.index.names == [None] else frame.reset_index()
        self._numeric = [pd.api.types.is_numeric_dtype(self.frame[name]) for name in self.frame]
        self.cells = [
            [_format(value, formats.get(str(name))) for name, value in zip(self.frame, row, strict=True)]
            for row in self.frame.itertuples(index=False, name=None)
        ]
        self._best = {name: _best_rows(self.frame[name], kind) for name, kind in best.items()}

    def html(self) -> str:
        """The table as HTML in the colours of the page, so that it is readable on light and on dark pages."""
        head = "".join(
            f'<th scope="col"{_class(number=numeric)}>{html.escape(str(name))}</th>'
            for name, numeric in zip(self.frame, self._numeric, strict=True)
        )
        body = "".join(f"<tr>{self._row(index, cells)}</tr>" for index, cells in enumerate(self.cells))
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        return f'{_CSS}<table class="course-table">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def _row(self, index: int, cells: list[str]) -> str:
        return "".join(
            f"<td{_class(number=numeric, best=index in self._best.get(str(name), set()))}>{html.escape(cell)}</td>"
            for name, numeric, cell in zip(self.frame, self._numeric, cells, strict=True)
        )

    def __repr__(self) -> str:
        text = pd.DataFrame(self.cells, columns=self.frame.columns).to_string(index=False)
        return f"{self.caption}\n{text}" if self.caption else text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": repr(self)}


def table(
    frame: pd.DataFrame,
    *,
    caption: str = "",
    formats: Mapping[str, Format] | None = None,
    best: Mapping[str, Literal["max", "min"]] | None = None,
) -> Table:
    """Show a data frame as a table.

    ``formats``: by column, a format string or a function; whole numbers get thousands separators and others three
    significant digits by default. ``best``: columns whose largest or smallest value is set in bold. The index is
    shown only if it has a name. Raises ValueError for columns that ``frame`` does not have.
    """
    formats, best = formats or {}, best or {}
    known = {*map(str, frame.columns), *map(str, frame.index.names)}
    for argument, names in (("formats", formats), ("best", best)):
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{argument} names {name!r}, which is not a column; there are {sorted(known)}"
                )
    for name, kind in best.items():
        if kind not in ("max", "min"):
            raise ValueError(f"best[{name!r}] is {kind!r}; allowed are 'max' and 'min'")
    return Table(frame, caption, formats, best)


def _format(value: Any, format_: Format | None) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if callable(format_):
        return format_(value)
    if format_ is not None:
        return format_.format(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Number):
        return str(value)
    if isinstance(value, numbers.Integral):
        return f"{value:,}"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"  # type: ignore[arg-type]


def _best_rows(column: "pd.Series[Any]", kind: Literal["max", "min"]) -> set[Hashable]:
    goal = column.max() if kind == "max" else column.min()
    return {position for position, value in enumerate(column) if value == goal}


def _class(**flags: bool) -> str:
    names = " ".join(name for name, flag in flags.items() if flag)
    return f' class="{names}"' if names else ""
