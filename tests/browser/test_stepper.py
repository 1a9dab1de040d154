"""The merge stepper in JupyterLab: forward, back, and typed words encoded as Python encodes them, without a kernel."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
from playwright.sync_api import Locator

from course_lib.show.segments import face
from course_lib.tokenizer import Tokenizer, train_bpe
from tests.browser.jupyterlab_page import Lab, box

pytestmark = pytest.mark.browser

CORPUS = "跟我学习语文 跟我来 跟我 newest lowest 😀😀 <script>"
CELLS = [
    "from course_lib import show",
    "show.merge_stepper()",
    f"show.merge_stepper({CORPUS!r}, num_merges=30)",
]
WORDS = [
    *["lowest", "跟我来", "觥筹", "😀a😀", "e\u0301ǅ", "\u200b \ufeff", "aaaa", ""],
    *["<script>document.title='broken'</script>", "<b>&amp;"],
]


@pytest.fixture
def stepper_notebook(notebook_folder: Path) -> str:
    """A notebook with the classroom demo and one with a corpus of Chinese, emoji and markup."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, notebook_folder / "stepper.ipynb")
    return "stepper.ipynb"


def tokens(row: Locator) -> list[str]:
    return row.locator(".ms-word .ms-token").all_text_contents()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_training_moves_forward_and_back(lab: Lab, stepper_notebook: str, theme: str) -> None:
    lab.open(stepper_notebook, theme=theme)
    assert lab.run_all() == []
    view = lab.page.locator(".course-stepper").first
    view.scroll_into_view_if_needed()
    place, first = box(view), lab.pixels(view, "first")
    stage = view.locator(".ms-stage")
    start = stage.inner_html()
    newest = view.locator(".ms-row").nth(2)
    assert tokens(newest) == list("newest")

    view.get_by_label("Next step").click()
    assert tokens(newest) == [*"newe", "st"]
    second = lab.pixels(view, "second")
    assert np.any(first != second)
    view.get_by_label("Back step").click()
    assert tokens(newest) == list("newest")

    lab.page.keyboard.press("End")  # the focus is on the button
    assert [tokens(row) for row in view.locator(".ms-row").all()] == [
        ["low"],
        ["lower"],
        ["newest"],
        ["widest"],
    ]
    assert "no pair is left" in view.inner_text()
    lab.pixels(view, "last")
    lab.page.keyboard.press("ArrowLeft")
    slider = view.get_by_label("Merges done")
    assert slider.input_value() == "11"
    slider.focus()
    lab.page.keyboard.press("Home")
    assert tokens(newest) == list("newest")
    slider.fill("7")
    lab.pixels(view, "middle")
    assert view.locator(".ms-merge").count() == 7
    view.get_by_label("Reset").click()
    assert stage.inner_html() == start

    view.get_by_label("Encoding").click()
    lab.pixels(view, "encoding_first")
    view.get_by_label("Next step").click()
    lab.pixels(view, "encoding_second")
    assert tokens(view.locator(".ms-current")) == ["H", "e", "ll", "o"]
    assert view.locator(".ms-gone").all_inner_texts() == ["1\ne + l\ngone"]
    view.get_by_label("Last step").click()
    assert tokens(view.locator(".ms-current")) == ["H", "e", "llo"]
    assert box(view) == place
    lab.close()


def test_typed_words_are_encoded_as_in_python_without_a_kernel(lab: Lab, stepper_notebook: str) -> None:
    lab.open(stepper_notebook)
    assert lab.run_all() == []
    lab.close()
    view = lab.page.locator(".course-stepper").nth(1)
    view.scroll_into_view_if_needed()
    view.get_by_label("Encoding").click()
    view.get_by_label("Merge list").select_option("learned from the corpus")
    python = learned_tokenizer()
    lengths = []
    for word in WORDS:
        view.get_by_label("Word to encode").fill(word)
        view.get_by_label("Next step").press("End")
        expected = [face(python.vocab[token]) for token in python.encode(word)]
        assert (
            tokens(view.locator(".ms-current")) == expected if word else view.locator(".ms-row").count() == 0
        )
        lengths.append(len(word.encode()) - len(expected))
        if word == "跟我来":
            lab.pixels(view, "chinese")
    assert sum(length > 0 for length in lengths) >= 3  # there was something to merge
    assert lab.page.locator(".course-stepper script").count() == 0
    assert lab.page.title() != "broken"


def learned_tokenizer() -> Tokenizer:
    """The engine with the merges of the second stepper, taking any text as one pre-token."""
    trained = train_bpe([CORPUS], 256 + 30)
    return Tokenizer(trained.vocab, trained.merges, pattern=r"(?s:.+)")
