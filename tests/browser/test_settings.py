"""JupyterLab as `make lab` sets it up: it asks the reader nothing and reaches nothing outside."""

import json

import pytest

from tests.browser.jupyterlab_page import Lab

pytestmark = pytest.mark.browser

_FETCH = """async path => {
  const token = JSON.parse(document.getElementById('jupyter-config-data').textContent).token;
  const answer = await fetch(path, {headers: {Authorization: `token ${token}`}});
  return [answer.status, await answer.text()];
}"""


def test_no_news_no_updates_no_extensions(lab: Lab) -> None:
    """That no page or server looked for another machine is checked where the fixtures end."""
    lab.open("00_start_here.ipynb")
    config = json.loads(lab.page.locator("#jupyter-config-data").text_content() or "")
    assert config["news"] == {"disabled": True}
    for endpoint in ("update", "news"):
        status, text = lab.page.evaluate(_FETCH, f"{lab.url}lab/api/{endpoint}")
        assert status == 200 and not any(json.loads(text).values())
    # The request of the extension panel when it is opened: the answer contains no data from a package index.
    status, text = lab.page.evaluate(
        _FETCH, f"{lab.url}lab/api/extensions?query=git&page=1&per_page=30&refresh=0"
    )
    assert status == 200 and all(extension["installed"] for extension in json.loads(text))
    assert lab.page.get_by_text("Would you like to").count() == 0
    assert lab.page.locator(".Toastify__toast").count() == 0
