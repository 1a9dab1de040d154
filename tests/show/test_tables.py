"""The table renderer: formats, emphasis, escaping, plain text."""

import re

import pandas as pd
import pytest

from course_lib.show import table

FRAME = pd.DataFrame(
    {
        "name": ["GPT-2", "<b>ours</b>"],
        "tokens": [50257, 1234567],
        "ratio": [4.4567, 3.0],
        "note": [None, "x"],
    }
)


def test_numbers_are_formatted_by_kind_and_on_request() -> None:
    assert table(FRAME).cells == [["GPT-2", "50,257", "4.46", "–"], ["<b>ours</b>", "1,234,567", "3", "x"]]
    formatted = table(FRAME, formats={"ratio": "{:.3f}", "tokens": lambda n: f"{n / 1000:.0f}k"})
    assert [row[1:3] for row in formatted.cells] == [["50k", "4.457"], ["1235k", "3.000"]]


def test_html_escapes_text_marks_the_best_and_has_a_caption() -> None:
    markup = table(FRAME, caption="Tokenizers & more", best={"ratio": "max", "tokens": "min"}).html()
    assert "<b>ours" not in markup and "&lt;b&gt;ours&lt;/b&gt;" in markup
    assert '<td class="number best">4.46</td>' in markup
    assert '<td class="number best">50,257</td>' in markup
    assert '<td class="number">3</td>' in markup
    assert "<caption>Tokenizers &amp; more</caption>" in markup


def test_spaces_stay_in_cells_and_in_the_caption() -> None:
    """A table of pre-tokens is about its spaces, and its caption quotes the text."""
    markup = table(pd.DataFrame({"pre-token": ["in   March"]}), caption="'in   March'").html()
    style, body = markup.split("</style>")
    assert body.count("in   March") == 2
    rules = re.findall(r"([^{}]+)\{([^}]*)\}", style)
    for element in ("caption", "td"):
        assert any(element in names and "white-space: pre-wrap" in rule for names, rule in rules), element


def test_colours_come_from_the_page() -> None:
    """Text and background are inherited, lines are translucent grey: so tables work on light and dark pages."""
    style = table(FRAME).html().split("</style>")[0]
    assert "color: inherit" in style and "#" not in style


def test_plain_text_is_there_for_terminals() -> None:
    bundle = table(FRAME, caption="Tokenizers")._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/plain"].startswith("Tokenizers\n")
    assert "1,234,567" in bundle["text/plain"]


def test_the_index_is_shown_only_if_it_is_named() -> None:
    assert table(FRAME).cells[0][0] == "GPT-2"
    named = table(FRAME.set_index("name")[["ratio"]], best={"ratio": "min"})
    assert named.cells == [["GPT-2", "4.46"], ["<b>ours</b>", "3"]]


def test_unknown_columns_and_goals_are_named() -> None:
    with pytest.raises(ValueError, match="formats names 'speed'"):
        table(FRAME, formats={"speed": "{}"})
    with pytest.raises(ValueError, match=r"best\['ratio'\] is 'most'"):
        table(FRAME, best={"ratio": "most"})  # type: ignore[dict-item]
