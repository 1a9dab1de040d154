"""The pattern for browser tests of chapters: Run All, no error; a moved control changes the picture without jumps."""

import statistics
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tests.browser.jupyterlab_page import Lab, box, describe

pytestmark = pytest.mark.browser

PRESSES = 9

CELLS = [
    """import pandas as pd
from course_lib import show
show.style()""",
    """class PairTokenizer:
    def encode(self, text):
        data = text.encode()
        return [int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2)]

    def decode_bytes(self, ids):
        return b"".join(i.to_bytes(2 if i > 255 else 1, "big") for i in ids)

class ByteTokenizer(PairTokenizer):
    def encode(self, text):
        return list(text.encode())""",
    """results = pd.DataFrame(
    [(name, corpus, 256 * 2**k, 10_000, 10_000 / (1 + gain * k))
     for name, gain in (("English", 0.5), ("both", 0.35)) for corpus in ("English", "Chinese") for k in range(8)],
    columns=["tokenizer", "corpus", "vocab_size", "bytes", "tokens"],
)
show.compression_explorer(results)""",
    'show.token_view(["跟我学习语文", "Hello world"], {"bytes": ByteTokenizer(), "pairs": PairTokenizer()})',
    """def draw(figure):
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 1))
    (line,) = axes.plot([], [])
    def update(number):
        line.set_data([0, 10], [0, 1 / (5 - number)])
    return update

show.explorer(draw, title="Fails at five", number=show.Slider("number", min=4, max=9))""",
]


@pytest.fixture
def small_notebook(notebook_folder: Path) -> str:
    """A notebook with one of each interactive piece, so that they are tested independently of chapters."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, notebook_folder / "small.ipynb")
    return "small.ipynb"


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_interactive_pieces_in_jupyterlab(
    lab: Lab, small_notebook: str, theme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.open(small_notebook, theme=theme)
    assert lab.run_all() == []
    page = lab.page

    picture = page.locator("img.course-picture").first
    picture.scroll_into_view_if_needed()
    before, place = lab.pixels(picture, "explorer_before"), box(picture)
    cell = picture.locator("xpath=ancestor::div[contains(@class, 'jp-Cell ')]")
    cell_height = box(cell)["height"]
    handle = cell.locator(".noUi-handle").first
    keys = ["ArrowRight", "ArrowLeft"] * PRESSES
    latencies = [lab.press_for_picture(handle, "img.course-picture", key) for key in keys[:PRESSES]]
    after = lab.pixels(picture, "explorer_after")
    assert box(picture) == place
    assert box(cell)["height"] == cell_height
    assert before.shape == after.shape
    assert np.any(before != after)
    with capsys.disabled():
        print(f"\nexplorer, {theme}: {describe(latencies)}")
    assert statistics.median(latencies) > 0
    assert "4,096" in str(picture.get_attribute("title")) or "8,192" in str(picture.get_attribute("title"))
    lab.pixels(cell, "explorer_cell")

    box_to_type = page.get_by_label("Text to tokenize")
    box_to_type.scroll_into_view_if_needed()
    view = page.locator(".course-tokens")
    lab.pixels(view, "tokens_first")
    box_to_type.fill("")
    box_to_type.press_sequentially("<script>document.title = 'broken'</script> 觥筹")
    faces = view.locator(".ct-row").first.locator(".ct-face")
    faces.get_by_text("⟨E7⟩").wait_for()  # from 筹, the last character typed; not in the first text
    assert "".join(faces.all_text_contents()).startswith("<script>document.title = 'broken'</script> ⟨E8⟩")
    assert page.locator(".course-tokens script").count() == 0
    assert page.title() != "broken"
    assert box_to_type.input_value().endswith("觥筹")
    lab.pixels(view, "tokens_typed")

    broken = page.locator("img.course-picture").nth(1)
    broken.scroll_into_view_if_needed()
    cell = broken.locator("xpath=ancestor::div[contains(@class, 'jp-Cell ')]")
    height = box(cell)["height"]
    cell.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    alert = cell.get_by_role("alert")
    alert.wait_for()
    assert "ZeroDivisionError" in alert.inner_text()
    assert box(cell)["height"] == height
    lab.pixels(cell, "error")
    cell.get_by_role("button", name="Reset").click()
    broken.wait_for()
    assert box(cell)["height"] == height
    lab.close()
