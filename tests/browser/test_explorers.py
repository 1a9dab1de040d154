"""Every explorer of chapters 2 to 12 in JupyterLab: each control is moved, and the result is computed independently."""

import base64
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import nbformat
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator
from playwright.sync_api import TimeoutError as TooLate

from course_lib import show
from tests.browser.conftest import lonely_page
from tests.browser.explorer_case import Case
from tests.browser.explorer_cases import CASES, SETUP
from tests.browser.jupyterlab_page import Lab, box
from tests.pictures import full_drawing, pixels

pytestmark = pytest.mark.browser

_BYTES = """async image => {
  const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}"""

# The contrast between an element's text and its background, as WCAG 2 defines it.
_CONTRAST = """element => {
  const rgba = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = element;
  while (behind) {
    const colour = rgba(getComputedStyle(behind).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) break;
    behind = behind.parentElement;
  }
  const [low, high] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
    .map(colour => light(rgba(colour))).sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


@pytest.fixture(scope="module")
def explorers(
    browser: Browser,
    lab_url: tuple[str, str],
    notebook_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    """One notebook with all explorers, one per cell, that has been run; no error may reach the console of the page."""
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, *(case.cell for case in CASES))]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, notebook_folder / "explorers.ipynb")
    complaints: list[str] = []
    with lonely_page(browser, lab_url[0]) as page:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        lab = Lab(page, *lab_url, screenshots=tmp_path_factory.mktemp("explorers"))
        lab.open("explorers.ipynb")
        assert lab.run_all() == []
        yield lab
        lab.close()
    assert not complaints


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    """The names that the notebook's first cell defines, run here."""
    names: dict[str, Any] = {}
    exec(SETUP, names)
    return names


def _cell(lab: Lab, case: Case) -> Locator:
    cell = lab.page.locator(".jp-Notebook .jp-Cell").nth(1 + CASES.index(case))
    cell.scroll_into_view_if_needed()
    cell.locator("img.course-picture").wait_for()
    return cell


def _twin(case: Case, namespace: dict[str, Any]) -> show.Explorer:
    """The same explorer in this process."""
    *before, last = case.cell.rpartition("\n")
    exec("".join(before), namespace)
    twin = eval(last, namespace)
    assert isinstance(twin, show.Explorer)
    return twin


def _move(lab: Lab, cell: Locator, twin: show.Explorer, name: str, how: str) -> None:
    """Move one control on the page by keyboard, menu or click, and set that of the twin to the expected value."""
    control = twin.controls[name]
    kind = next(k for k in (widgets.Dropdown, widgets.Checkbox, widgets.Widget) if isinstance(control, k))
    alike = [
        other
        for other in twin.controls.values()
        if next(k for k in (widgets.Dropdown, widgets.Checkbox, widgets.Widget) if isinstance(other, k))
        is kind
    ]
    selector = {widgets.Dropdown: "select", widgets.Checkbox: "input[type=checkbox]"}.get(
        kind, ".noUi-handle"
    )
    element = cell.locator(selector).nth(alike.index(control))
    if kind is widgets.Dropdown:
        element.select_option(how)
        control.label = how
    elif kind is widgets.Checkbox:
        element.click()
        control.value = not control.value
    else:
        element.focus()
        lab.page.keyboard.press(how)
        control.value = _after(control, how)


def _after(slider: Any, key: str) -> Any:
    """A slider's value after a key."""
    if isinstance(slider, widgets.SelectionSlider):
        values = [value for _, value in slider.options]
        place = {"Home": 0, "End": len(values) - 1}.get(key)
        if place is None:
            place = slider.index + {"ArrowRight": 1, "ArrowLeft": -1}[key]
        return values[place]
    if key in ("Home", "End"):
        return slider.min if key == "Home" else slider.max
    step = slider.step * {"ArrowRight": 1, "ArrowLeft": -1}[key]
    if isinstance(slider, widgets.FloatLogSlider):
        return 10 ** (math.log10(slider.value) + step)
    return type(slider.value)(round(slider.value + step, 9))


def _wait_for_title(lab: Lab, picture: Locator, title: str) -> None:
    try:
        lab.page.wait_for_function(
            "([image, title]) => image.title === title && image.complete",
            arg=[picture.element_handle(), title],
            timeout=20_000,
        )
    except TooLate:
        assert picture.get_attribute("title") == title
        raise


def _shown(picture: Locator) -> np.ndarray:
    return pixels(base64.b64decode(picture.evaluate(_BYTES)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_explorer_follows_all_its_controls(explorers: Lab, namespace: dict[str, Any], case: Case) -> None:
    lab = explorers
    cell = _cell(lab, case)
    picture = cell.locator("img.course-picture")
    twin = _twin(case, namespace)
    assert {name for name, _ in case.moves} == set(twin.controls), "a control is not tried"
    _wait_for_title(lab, picture, first := twin.alt)
    place, height = box(picture), box(cell)["height"]
    before = lab.pixels(picture, f"{case.name} before")

    for name, how in case.moves:
        _move(lab, cell, twin, name, how)
        _wait_for_title(lab, picture, twin.alt)
    for text in case.says():
        assert text in twin.alt
    if case.exact:
        expected, deadline = full_drawing(twin.figure), time.monotonic() + 10
        while not np.array_equal(expected, _shown(picture)) and time.monotonic() < deadline:
            time.sleep(0.05)
        np.testing.assert_array_equal(_shown(picture), expected)
    assert np.any(before != lab.pixels(picture, f"{case.name} after"))
    assert (box(picture), box(cell)["height"]) == (place, height), "something jumped"
    assert not cell.get_by_role("alert").is_visible()
    for label in cell.locator(".widget-label").all():
        assert label.evaluate("label => label.scrollWidth <= label.clientWidth"), label.inner_text()

    cell.get_by_role("button", name="Reset").click()
    _wait_for_title(lab, picture, first)
    assert all(select.input_value() for select in cell.locator("select").all()), "an empty menu"


def test_every_control_can_be_reached_with_the_tab_key(explorers: Lab, namespace: dict[str, Any]) -> None:
    case = CASES[-1]
    cell = _cell(explorers, case)
    wanted = cell.locator(".noUi-handle, select, input[type=checkbox], button:has-text('Reset')")
    assert wanted.count() == len(_twin(case, namespace).controls) + 1
    cell.locator(".noUi-handle").first.focus()
    reached = set()
    for _ in range(3 * wanted.count()):
        reached.add(wanted.evaluate_all("all => all.indexOf(document.activeElement)"))
        explorers.page.keyboard.press("Tab")
    assert reached >= set(range(wanted.count()))


def test_controls_can_be_read_in_the_dark_theme(explorers: Lab) -> None:
    page = explorers.page
    page.evaluate(
        "() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
    )
    page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    cell = _cell(explorers, CASES[-1])
    texts = cell.locator(".widget-label, .widget-readout, select, .course-status, label")
    assert texts.count() > 20
    contrasts = [text.evaluate(_CONTRAST) for text in texts.all()]
    explorers.pixels(cell, "dark")
    assert min(contrasts) > 4.5
