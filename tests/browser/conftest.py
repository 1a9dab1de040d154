"""A real JupyterLab on a copy of the notebooks, and a real Chromium that may connect only to it."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.browser.jupyterlab_page import Lab

ROOT = Path(__file__).parents[2]
CHROMIUM_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
START_SECONDS = 90
# Records the name of every other machine before the server looks it up.
JUPYTERLAB = """
import sys
from jupyterlab.labapp import main

foreign = open(sys.argv.pop(1), "w", buffering=1)


def look(event, arguments):
    if event == "socket.getaddrinfo" and arguments[0] not in (None, "", "localhost", "127.0.0.1", "::1"):
        print(arguments[0], file=foreign)


sys.addaudithook(look)
main()
"""


@pytest.fixture(scope="session")
def notebook_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's notebooks: a test may save, a reader's files stay as they are."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    return folder


@pytest.fixture(scope="session")
def lab_url(notebook_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(base URL, token) of a JupyterLab that sees nothing of the settings of whoever runs the tests."""
    home = tmp_path_factory.mktemp("home")
    token = secrets.token_hex(16)
    runtime = home / "runtime"
    environment = {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
    }
    command = [
        *(sys.executable, "-c", JUPYTERLAB, home / "foreign.txt"),
        *("--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
        *(f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True"),
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=notebook_folder, env=environment, stdout=log, stderr=log)
    try:
        yield _wait_until_ready(server, runtime, token, home / "server.log"), token
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    assert (home / "foreign.txt").read_text() == "", "the server looked for other machines"


def _wait_until_ready(server: "subprocess.Popen[bytes]", runtime: Path, token: str, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                url = str(json.loads(path.read_text())["url"])
                with urllib.request.urlopen(f"{url}api/status?token={token}", timeout=5):
                    return url
            except (urllib.error.URLError, json.JSONDecodeError, TimeoutError):
                pass  # not listening yet
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start within {START_SECONDS} s:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium from COURSE_CHROMIUM (default /usr/bin/chromium). A missing one is a failure, not a skipped test."""
    path = os.environ.get("COURSE_CHROMIUM", "/usr/bin/chromium")
    if not Path(path).is_file():
        pytest.fail(
            f"The browser tests need Chromium, and {path} is not there. Install it (Debian: apt-get install chromium) "
            "or set COURSE_CHROMIUM to the path of a Chromium or Chrome."
        )
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield instance
        instance.close()


@contextmanager
def lonely_page(browser: Browser, base: str) -> Iterator[Page]:
    """A page that can reach the server and nothing else; a request to anywhere else fails the test."""
    foreign: list[str] = []

    def only_the_server(route: Route) -> None:
        if route.request.url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    context = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
    context.route("**/*", only_the_server)
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()
    assert not foreign, f"the page asked for something outside the server: {foreign}"


@pytest.fixture
def page(browser: Browser, lab_url: tuple[str, str]) -> Iterator[Page]:
    """A fresh page for one test."""
    with lonely_page(browser, lab_url[0]) as page:
        yield page


@pytest.fixture
def lab(page: Page, lab_url: tuple[str, str], tmp_path: Path) -> Lab:
    """Opens notebooks, runs them and looks at them; screenshots go to the test's temporary folder."""
    return Lab(page, *lab_url, screenshots=tmp_path)
