"""show_source: whole, readable, harmless."""

import html
import re

import pytest

from course_lib.show import show_source


def example(text: str) -> str:
    """Say something.

    A docstring is part of the lesson.
    """
    return f"<script>{text}</script> & more"  # a comment


class Example:
    """A class."""

    def method(self) -> int:
        """A method."""
        return 1


def text_of(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", re.search(r"<pre>(.*)</pre>", markup, re.DOTALL)[1]))  # type: ignore[index]


def test_a_function_is_shown_whole_with_docstring_and_comment() -> None:
    source = show_source(example)
    assert source.code.startswith("def example(text: str) -> str:\n")
    assert "A docstring is part of the lesson." in source.code
    assert "# a comment" in source.code
    assert text_of(source.html()) == source.code


def test_html_is_highlighted_and_escaped() -> None:
    markup = show_source(example).html()
    assert '<span class="cs-k">def</span>' in markup
    assert "[class^=cs-k]{color:var(--jp-mirror-editor-keyword-color,#0b7a3b)}" in markup
    assert "<script>" not in markup
    assert "&lt;script&gt;" in markup


def test_plain_text_names_the_place() -> None:
    bundle = show_source(example)._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert re.match(r"# .*test_source\.py, line \d+\ndef example", bundle["text/plain"])


def test_methods_are_dedented_and_classes_and_modules_are_whole() -> None:
    assert show_source(Example.method).code.startswith("def method(self)")
    assert "def method" in show_source(Example).code
    import course_lib.errors

    assert "class FormatError" in show_source(course_lib.errors).code


@pytest.mark.parametrize("nothing", [len, 3, "text"])
def test_what_has_no_source_is_refused(nothing: object) -> None:
    with pytest.raises(TypeError, match="has no Python source"):
        show_source(nothing)
