"""Actions of a reader in JupyterLab, as functions for tests: open, run all, move a slider, look."""

import io
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page

RUN_MILLISECONDS = 300_000

_READY = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""

_RUN_ALL = """async () => {
  await window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""

_ERRORS = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells;
  return cells.flatMap((cell, index) => (cell.outputs || [])
    .filter(output => output.output_type === 'error')
    .map(output => `cell ${index}: ${output.ename}: ${output.evalue}`));
}"""

# From a real key press to the new, decoded picture, measured inside the page, so that the connection between
# test and browser is not included.
_WATCH = """selector => {
  const image = document.querySelector(selector);
  let pressed = null;
  window.addEventListener('keydown', event => { pressed = event.timeStamp; }, {capture: true, once: true});
  window.nextPicture = new Promise((resolve, reject) => {
    const observer = new MutationObserver(async () => {
      try { await image.decode(); } catch { return; }  // replaced while it was decoded: wait for the next one
      observer.disconnect();
      resolve(performance.now() - pressed);
    });
    observer.observe(image, {attributes: true, attributeFilter: ['src']});
    setTimeout(() => { observer.disconnect(); reject(new Error('no new picture within 10 s')); }, 10000);
  });
}"""


@dataclass
class Lab:
    """A browser page on a running JupyterLab."""

    page: Page
    url: str
    token: str
    screenshots: Path

    def open(self, notebook: str, *, theme: str = "JupyterLab Light") -> None:
        """Open a notebook by its name in the folder, and wait until its kernel answers."""
        self.page.goto(f"{self.url}lab/tree/{notebook}?token={self.token}&reset")
        self.page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.context?.isReady")
        self.page.evaluate(_READY)
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )
        self.page.evaluate(
            "() => window.jupyterapp.shell.leftCollapsed"
            " || window.jupyterapp.commands.execute('application:toggle-left-area')"
        )

    def run_all(self) -> list[str]:
        """Run every cell; return the error outputs, one line each."""
        self.page.set_default_timeout(RUN_MILLISECONDS)
        self.page.evaluate(_RUN_ALL)
        self.page.set_default_timeout(60_000)
        errors: list[str] = self.page.evaluate(_ERRORS)
        return errors

    def close(self) -> None:
        """End the kernel."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")

    def pixels(self, element: Locator, name: str = "") -> NDArray[np.uint8]:
        """An element's screenshot as (height, width, RGB); saved as ``name``.png if a name is given."""
        path = self.screenshots / f"{name}.png" if name else None
        return np.asarray(Image.open(io.BytesIO(element.screenshot(path=path))).convert("RGB"))

    def press_for_picture(self, handle: Locator, image_selector: str, key: str) -> float:
        """Press a key on a focused slider handle; return the milliseconds until the picture changes."""
        handle.focus()
        self.page.evaluate(_WATCH, image_selector)
        self.page.keyboard.press(key)
        milliseconds: float = self.page.evaluate("() => window.nextPicture")
        return milliseconds


def box(element: Locator) -> dict[str, float]:
    """Position and size of an element on the page."""
    bounds: Any = element.bounding_box()
    assert bounds is not None, "the element is not visible"
    return {name: float(value) for name, value in bounds.items()}


def describe(milliseconds: list[float]) -> str:
    """Median and 90th percentile, for the report."""
    p90 = statistics.quantiles(milliseconds, n=10)[-1]
    return (
        f"median {statistics.median(milliseconds):.0f} ms, p90 {p90:.0f} ms over {len(milliseconds)} presses"
    )
