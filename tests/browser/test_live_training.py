"""The live picture of chapter 12 in JupyterLab: it moves while the cell that trains is running, and does not jump."""

import itertools
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tests.browser.jupyterlab_page import Lab, box

pytestmark = pytest.mark.browser

_PREPARE = """
import dataclasses, tempfile, time
import pandas as pd
from course_lib.chapters.ch12_capstone.experiments import capstone
from course_lib.chapters.ch12_capstone import explorers
folder = tempfile.TemporaryDirectory()
material = capstone.prepare(folder.name, 60_000, 10_000, 400)
config = capstone.configuration(material, steps=60, sample_every=20, eval_every=20)
baselines = pd.DataFrame({"name": ["gzip"], "bits_per_byte": [2.0]})
"""

# Slowed down, so that the intermediate states are visible on a fast machine too.
_TRAIN = """
with explorers.LiveTraining(config, 2.0, baselines) as live:
    result = capstone.run_anew(config, callbacks=[live, lambda state: time.sleep(0.1)], progress=False)
"""

_START = """() => {
  window.finished = false;
  window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => { window.finished = true; });
}"""


def test_the_picture_moves_while_the_cell_runs(lab: Lab, notebook_folder: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in (_PREPARE, _TRAIN)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, notebook_folder / "live.ipynb")
    lab.open("live.ipynb")
    page = lab.page
    page.evaluate(_START)
    picture = page.locator("img.course-picture")
    picture.wait_for()
    place, pictures, titles = box(picture), [], set()
    for _ in range(3):
        shown = picture.get_attribute("src")
        page.wait_for_function(
            "old => { const image = document.querySelector('img.course-picture');"
            " return image.src !== old && image.complete && image.naturalWidth > 0 }",
            arg=shown,
        )
        pictures.append(lab.pixels(picture))
        titles.add(picture.get_attribute("title"))
        assert box(picture) == place
    assert not page.evaluate("window.finished"), "these were seen while the cell was running"
    assert len(titles) == 3 and all(np.any(a != b) for a, b in itertools.pairwise(pictures))
    page.wait_for_function("window.finished", timeout=120_000)
    tokens = 60 * 16 * 64
    page.wait_for_function(
        "start => document.querySelector('img.course-picture').title.startsWith(start)",
        arg=f"After {tokens:,} tokens",
    )
    assert picture.count() == 1 and box(picture) == place
    lab.pixels(picture, "live_training")
