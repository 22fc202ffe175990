"""A browser and a demo for the tests of the page: `make browser`. Without Playwright none is collected.

``MRSE_CHROMIUM`` names the browser (else the usual places), ``MRSE_BROWSER_URL`` a demo that runs (else one
is started), ``MRSE_PICTURES`` a folder that gets the pictures for the documentation.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if importlib.util.find_spec("playwright") is None:
    collect_ignore_glob = ["test_*.py"]

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_ROOT = Path(__file__).parents[2]
_START_S = 600.0
_PATIENCE_MS = 60_000
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a demo, with a slash at its end."""
    given = os.environ.get("MRSE_BROWSER_URL")
    if given:
        yield given.rstrip("/") + "/"
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mrse = os.environ.get("MRSE_COMMAND", str(_ROOT / ".venv/bin/mrse"))
    command = [*mrse.split(), "demo", "--dir", str(_ROOT / ".run"), "--port", str(port)]
    log = tmp_path_factory.mktemp("demo") / "log"
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, cwd=_ROOT)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, log)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the demo did not start: {log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE_MS)
    places = (os.environ.get("MRSE_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for place in places if place and (path := shutil.which(place))), None)
    assert found, "no Chromium: install Debian's package `chromium`, or name one in MRSE_CHROMIUM"
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs rights that a container does not give; the pages are our own.
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=["desktop", "phone"])
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def context(browser: Browser, size: str) -> Iterator[BrowserContext]:
    viewport = DESKTOP if size == "desktop" else PHONE
    made = browser.new_context(viewport=viewport, has_touch=size == "phone", reduced_motion="reduce")
    made.set_default_timeout(_PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, url: str) -> Iterator[Page]:
    """The page, opened; it must not fail, load from elsewhere, or do what its own policy forbids."""
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda told: wrong.append(told.text) if "Content Security" in told.text else None)
    page.on(
        "request", lambda asked: wrong.append(asked.url) if not asked.url.startswith((url, "data:")) else None
    )
    page.goto(url)
    from shop import settled

    settled(page)
    yield page
    assert not wrong


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    """Where the documentation's pictures go; None where they are not asked for."""
    if (folder := os.environ.get("MRSE_PICTURES")) is None:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


sys.path.insert(0, str(Path(__file__).parent))  # for `shop`, which the tests share
