"""Source code of the library, shown in a notebook where reading it is the lesson."""

import html
import inspect
import textwrap
from pathlib import Path
from typing import Any

from pygments import lex
from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token

# Colours that keep at least 4.5:1 on a light page; the second is for dark pages. The theme's own come first.
_COLOURS = {
    Comment: ("comment", "#5c6b73", "#9aa7ad"),
    Keyword: ("keyword", "#0b7a3b", "#5cc98a"),
    Name.Function: ("def", "#1750eb", "#82aaff"),
    Name.Class: ("def", "#1750eb", "#82aaff"),
    Name.Decorator: ("meta", "#7a3e9d", "#c792ea"),
    Number: ("number", "#096e83", "#7fd1e0"),
    String: ("string", "#a8320e", "#f0a583"),
    Operator: ("operator", "#7a3e9d", "#c792ea"),
}


class Source:
    """Source code that displays itself: highlighted HTML, and plain text elsewhere. ``code`` holds the text."""

    def __init__(self, code: str, origin: str) -> None:
        self.code = code
        self.origin = origin

    def html(self) -> str:
        """The code as highlighted HTML that follows the notebook's light or dark theme."""
        return (
            f"<style>{_css()}</style>"
            f'<figure class="course-source"><figcaption>{html.escape(self.origin)}</figcaption>'
            f"<pre>{''.join(_highlight(self.code))}</pre></figure>"
        )

    def __repr__(self) -> str:
        return f"# {self.origin}\n{self.code}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": repr(self)}


def show_source(obj: Any) -> Source:
    """Show how something is written: a function, method, class or module, with its docstring and comments.

    Raises TypeError for objects that have no Python source, such as compiled functions.
    """
    obj = inspect.unwrap(obj) if callable(obj) else obj
    try:
        code = textwrap.dedent(inspect.getsource(obj)).rstrip() + "\n"
        path = Path(inspect.getsourcefile(obj) or "")
    except (TypeError, OSError) as error:
        raise TypeError(
            f"obj={obj!r} has no Python source to show; give a function, class or module"
        ) from error
    first_line = 1 if inspect.ismodule(obj) else inspect.getsourcelines(obj)[1]
    module = inspect.getmodule(obj)
    place = (
        module.__name__.replace(".", "/") + ".py" if module and module.__name__ != "__main__" else path.name
    )
    return Source(code, f"{place}, line {first_line}")


def _highlight(code: str) -> list[str]:
    pieces = []
    for kind, text in lex(code, PythonLexer(stripnl=False)):
        escaped = html.escape(text)
        name = next((colour[0] for token, colour in _COLOURS.items() if kind in token), "")  # type: ignore[comparison-overlap]
        if kind in Token.Literal.String.Doc:  # type: ignore[comparison-overlap]
            name = "string"
        pieces.append(f'<span class="cs-{name}">{escaped}</span>' if name else escaped)
    return pieces


def _css() -> str:
    light = {name: colour for name, colour, _ in _COLOURS.values()}
    dark = {name: colour for name, _, colour in _COLOURS.values()}
    rules = [
        ".course-source{margin:4px 0 8px}",
        ".course-source figcaption{font-size:12px;opacity:.75;margin-bottom:3px}",
        (
            ".course-source pre{margin:0;padding:10px 14px;overflow-x:auto;font-size:13px;line-height:1.45;"
            "border-left:3px solid #0077B4;background:rgba(127,127,127,.09);color:inherit;"
            "font-family:var(--jp-code-font-family,monospace)}"
        ),
        *(f".course-source .cs-{n}{{color:var(--jp-mirror-editor-{n}-color,{c})}}" for n, c in light.items()),
        ".course-source .cs-comment{font-style:italic}",
        "@media (prefers-color-scheme:dark){",
        *(
            f":root:not([data-theme=light]) .course-source .cs-{n}{{color:var(--jp-mirror-editor-{n}-color,{c})}}"
            for n, c in dark.items()
        ),
        "}",
    ]
    return "".join(rules)
