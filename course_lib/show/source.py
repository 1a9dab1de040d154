"""Source code of the library, shown in notebooks where reading it is the lesson."""

import html
import inspect
import textwrap
from pathlib import Path
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers.python import PythonLexer

from course_lib.show.look import PALETTE

# By CSS selector of Pygments' short class names ("k" for a keyword, "kn" for one of imports): the name of the
# notebook theme's colour, then our own for light and for dark pages, with a contrast of at least 4.5:1 on light ones.
_COLOURS = {
    "[class^=cs-c]": ("comment", "#5c6b73", "#9aa7ad"),
    "[class^=cs-k]": ("keyword", "#0b7a3b", "#5cc98a"),
    ":is(.cs-nf,.cs-fm,.cs-nc)": ("def", "#1750eb", "#82aaff"),
    ".cs-nd": ("meta", "#7a3e9d", "#c792ea"),
    "[class^=cs-m]": ("number", "#096e83", "#7fd1e0"),
    "[class^=cs-s]": ("string", "#a8320e", "#f0a583"),
    "[class^=cs-o]": ("operator", "#7a3e9d", "#c792ea"),
}

_FORMATTER = HtmlFormatter(nowrap=True, classprefix="cs-")


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
            f"<pre>{highlight(self.code, PythonLexer(stripnl=False), _FORMATTER)}</pre></figure>"
        )

    def __repr__(self) -> str:
        return f"# {self.origin}\n{self.code}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": repr(self)}


def show_source(obj: Any) -> Source:
    """Show the source of a function, method, class or module, with its docstring and comments.

    Raises TypeError for objects that have no Python source, such as compiled functions.
    """
    obj = inspect.unwrap(obj) if callable(obj) else obj
    try:
        code = textwrap.dedent(inspect.getsource(obj)).rstrip() + "\n"
        path = Path(inspect.getsourcefile(obj) or "")
    except (TypeError, OSError) as error:
        message = f"obj={obj!r} has no Python source to show; give a function, class or module"
        raise TypeError(message) from error
    first_line = 1 if inspect.ismodule(obj) else inspect.getsourcelines(obj)[1]
    module = inspect.getmodule(obj)
    place = path.name
    if module and module.__name__ != "__main__":
        place = module.__name__.replace(".", "/") + ".py"
    return Source(code, f"{place}, line {first_line}")


def _css() -> str:
    def colours(page: str, place: int) -> list[str]:
        return [
            f"{page}.course-source {selector}{{color:var(--jp-mirror-editor-{entry[0]}-color,{entry[place]})}}"
            for selector, entry in _COLOURS.items()
        ]

    rules = [
        ".course-source{margin:4px 0 8px}",
        ".course-source figcaption{font-size:12px;opacity:.75;margin-bottom:3px}",
        ".course-source pre{margin:0;padding:10px 14px;overflow-x:auto;font-size:13px;line-height:1.45}",
        f".course-source pre{{border-left:3px solid {PALETTE['blue']};background:rgba(127,127,127,.09)}}",
        ".course-source pre{color:inherit;font-family:var(--jp-code-font-family,monospace)}",
        *colours("", 1),
        ".course-source [class^=cs-c]{font-style:italic}",
        "@media (prefers-color-scheme:dark){",
        *colours(":root:not([data-theme=light]) ", 2),
        "}",
    ]
    return "".join(rules)
