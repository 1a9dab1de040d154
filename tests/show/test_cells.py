"""A cell that runs again frees its widgets, figures, and the data of their callbacks."""

import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import ipywidgets
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from course_lib import show

POWERS = """
from course_lib import show

data = Data()
def draw(figure, data=data):
    (curve,) = figure.subplots().plot([], [])
    def update(result, power):
        curve.set_data([0, 1], [data.start, power])
    return update

explorer = show.explorer(
    draw, size=(2, 1), compute=lambda power, data=data: [data], power=show.Slider("{label}", min=1, max=9)
)
explorer.controls["power"].value = 5
explorer
"""
CELLS = {
    "explorer": POWERS.format(label="power"),
    "two explorers": POWERS.format(label="one") + POWERS.format(label="two"),
    "token view": (
        "from course_lib import show\nfrom course_lib.tokenizer import train_bpe\n"
        "view = show.token_view('ab ab', {'bytes': train_bpe(['ab ab'], 257)})\nview.text = 'ba'\nview"
    ),
    "merge stepper": "from course_lib import show\nshow.merge_stepper('ab ab', num_merges=2)",
    "live training": (
        "import pandas as pd\nfrom course_lib.model import ModelConfig\n"
        "from course_lib.chapters.ch12_capstone.explorers import LiveTraining\n"
        "from course_lib.train import TrainConfig\n"
        "config = TrainConfig(model=ModelConfig(9, 8, 8, 1, 2), train_tokens='t', warmup_steps=0)\n"
        "live = LiveTraining(config, 1.0, pd.DataFrame({'name': ['gzip'], 'bits_per_byte': [2.0]}))\nlive"
    ),
}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # a shell installs its own
    config = Config()
    config.HistoryManager.enabled = False
    made = InteractiveShell.instance(config=config)
    made.user_ns["Data"] = Data
    yield made
    made.reset()
    Data.alive.clear()
    InteractiveShell.clear_instance()
    ipywidgets.Widget.close_all()


def ran(shell: InteractiveShell, cell: str, cell_id: str | None = None) -> None:
    result = shell.run_cell(cell, store_history=True, cell_id=cell_id)
    result.raise_error()


def widgets() -> dict[str, Any]:
    return dict(ipywidgets.widgets.widget._instances)


class Data:
    """Stands for data that a reader's explorer may hold: a large array, or a model."""

    alive: ClassVar["weakref.WeakSet[Data]"] = weakref.WeakSet()
    start = 0.5

    def __init__(self) -> None:
        self.alive.add(self)


@pytest.mark.parametrize(("name", "cell_id"), [("explorer", None), *((name, "abc") for name in CELLS)])
def test_more_runs_leave_what_one_leaves(shell: InteractiveShell, name: str, cell_id: str | None) -> None:
    before = set(widgets())
    made: list[Any] = []
    counts = []
    for _ in range(3):
        ran(shell, CELLS[name], cell_id)
        made.append(shell.user_ns["_"])  # so does the output history
        gc.collect()
        counts.append((len(widgets().keys() - before), len(Data.alive)))
    assert counts[0][0] > 0
    assert counts[1:] == [counts[0]] * 2
    blits = [item._blit for item in made if hasattr(item, "_blit")]
    for blit in blits[:-1]:
        assert not blit.figure.axes and blit._background is None
    assert all(blit.figure.axes for blit in blits[-1:])


def test_cells_keep_theirs_and_are_known_by_their_id(shell: InteractiveShell) -> None:
    before = set(widgets())
    sizes = []
    for cell, cell_id in (
        (POWERS.format(label="a"), "a"),
        (POWERS.format(label="a"), "b"),  # the same text in another cell
        ("explorer = None", "c"),
        (POWERS.format(label="changed"), "b"),
        ("1 / 1", "a"),  # the cell no longer makes one
    ):
        ran(shell, cell, cell_id)
        sizes.append(len(widgets().keys() - before))
    assert sizes == [sizes[0], 2 * sizes[0], 2 * sizes[0], 2 * sizes[0], sizes[0]]
    ran(shell, "explorer.controls['power'].value = 7; assert explorer.frames == 3", "d")


def test_a_cell_that_fails_and_cells_within_cells(shell: InteractiveShell) -> None:
    before = set(widgets())
    wrong = "from course_lib import show\nshow.explorer(lambda figure: 1 / 0, x=show.Slider('x', [1, 2]))"
    late = (
        "from course_lib import show\n"
        "show.explorer(lambda figure: lambda x: 1 / 0, x=show.Slider('x', [1, 2]))"
    )
    for cell in (wrong, late):
        left = []
        for _ in range(3):
            assert not shell.run_cell(cell, cell_id="wrong").success
            left.append(len(widgets().keys() - before))
        assert left == [left[0]] * 3
    shell.run_cell("", cell_id="wrong")
    nested = f"get_ipython().run_cell('', cell_id='inner'); get_ipython().run_cell('1 + 1', cell_id='inner')\n{POWERS}"
    left = []
    for _ in range(3):
        ran(shell, nested.format(label="x"), "outer")
        left.append(len(widgets().keys() - before))
    assert left == [left[0]] * 3


def test_what_is_closed_says_so(shell: InteractiveShell) -> None:
    ran(shell, POWERS.format(label="power"), "a")
    first = shell.user_ns["explorer"]
    ran(shell, POWERS.format(label="power"), "a")
    assert first._repr_mimebundle_()[0] == {"text/plain": "[closed figure] : its cell was run again"}
    first.controls["power"].value = 3  # without effect
    first.close()
    with pytest.raises(RuntimeError, match="was closed: its cell was run again"):
        first.reset()


def test_outside_of_cells_nothing_is_closed() -> None:
    kept = [show.explorer(lambda figure: lambda x: None, x=show.Slider("x", [1, 2])) for _ in range(3)]
    for explorer in kept:
        explorer.controls["x"].value = 2
        assert explorer.frames == 2
        explorer.close()
