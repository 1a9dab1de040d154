"""The token highlighter: how several tokenizers split the text that the reader types."""

import html
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from course_lib.show.cells import close_widgets, close_with_cell
from course_lib.show.segments import Row, TokenizerLike, tokenize
from course_lib.show.token_picture import picture_of_rows

_FOLDER = pathlib.Path(__file__).parent


def token_view(texts: str | Sequence[str], tokenizers: Mapping[str, TokenizerLike]) -> "TokenView":
    """Show how several tokenizers split a text, side by side: coloured tokens with ids, bytes and counts.

    ``texts``: the text to start with, or several to choose from; the reader can edit it. ``tokenizers``: by display
    name, objects with ``encode`` and ``decode_bytes``. A token that is only part of a UTF-8 character shows its bytes
    (⟨E8 A7⟩), and an invisible character shows its code point. Text is never interpreted as HTML.
    """
    samples = [texts] if isinstance(texts, str) else list(texts)
    if not samples or not all(isinstance(sample, str) for sample in samples):
        raise TypeError(f"texts={texts!r} must be a str or a non-empty sequence of str")
    if not tokenizers:
        raise ValueError("tokenizers is empty; give at least one, by name")
    return TokenView(samples, dict(tokenizers))


class TokenView(anywidget.AnyWidget):
    """The widget made by ``token_view``. Set ``text`` to tokenize another text; ``rows`` holds the results as dicts."""

    _esm = _FOLDER / "token_view.js"
    _css = _FOLDER / "token_view.css"
    text = traitlets.Unicode().tag(sync=True)
    samples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)

    def __init__(self, samples: Sequence[str], tokenizers: Mapping[str, TokenizerLike]) -> None:
        self._tokenizers = tokenizers
        rows = self._tokenize(samples[0])
        self._first_rows, self._first_text = rows, samples[0]
        super().__init__(text=samples[0], samples=list(samples), rows=[row.as_dict() for row in rows])
        self.observe(self._typed, names="text")
        close_with_cell(lambda: close_widgets(self))

    def _tokenize(self, text: str) -> list[Row]:
        return [tokenize(name, tokenizer, text) for name, tokenizer in self._tokenizers.items()]

    def _typed(self, change: Any) -> None:
        self.rows = [row.as_dict() for row in self._tokenize(change["new"])]

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, and the tokens of the first text as HTML, as a picture and as plain text."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        picture, metadata = picture_of_rows(
            self._first_rows, alt=_plain_text(self._first_text, self._first_rows)
        )
        data = {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": _static_html(self._first_rows),
            **picture,
        }
        return data, metadata


def _plain_text(text: str, rows: Sequence[Row]) -> str:
    lines = [f"{text!r} in tokens:"]
    for row in rows:
        cut = "|".join("".join(part.text for part in token.parts) for token in row.tokens)
        lines.append(f"{row.name}: {row.error or f'{_summary(row)}: {cut}'}")
    return "\n".join(lines)


def _summary(row: Row) -> str:
    plural = "" if row.count == 1 else "s"
    return f"{row.count:,} token{plural} · {row.bytes:,} bytes · {row.ratio:.2f} bytes/token"


def _static_html(rows: Sequence[Row]) -> str:
    """The first frame for pages without a kernel, with the same style sheet."""
    css = (_FOLDER / "token_view.css").read_text(encoding="utf-8")
    body = "".join(_row_html(row) for row in rows)
    return f'<style>{css}</style><div class="course-tokens" data-under="id">{body}</div>'


def _row_html(row: Row) -> str:
    if row.error:
        summary, kind, content = "", "ct-line ct-error", html.escape(row.error)
    else:
        summary, kind = html.escape(_summary(row)), "ct-line"
        content = "".join(_token_html(index, token) for index, token in enumerate(row.tokens))
        hidden = row.count - len(row.tokens)
        if hidden > 0:
            content += f'<span class="ct-more">… and {hidden:,} more tokens</span>'
    return (
        f'<section class="ct-row"><header><b>{html.escape(row.name)}</b>'
        f'<span class="ct-count">{summary}</span></header><div class="{kind}">{content}</div></section>'
    )


def _token_html(index: int, token: Any) -> str:
    parts = "".join(f'<span class="ct-{part.kind}">{html.escape(part.text)}</span>' for part in token.parts)
    return (
        f'<span class="ct-token ct-{index % 6}" title="id {token.id} · {token.bytes}">'
        f'<bdi class="ct-face">{parts}</bdi>'
        f'<span class="ct-under ct-id">{token.id}</span></span>{"<br>" if token.breaks else ""}'
    )
