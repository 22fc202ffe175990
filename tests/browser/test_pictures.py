"""The pictures of the documentation, made by walking the page; where ``MRSE_PICTURES`` names a folder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from shop import ask, settled

_COLOURS = 256


def _keep(page: Page, path: Path) -> None:
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    few = picture.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def test_pictures_are_taken(browser: Browser, url: str, pictures: Path | None) -> None:
    if pictures is None:
        pytest.skip("MRSE_PICTURES names no folder")
    for name, width, height, scheme in (
        ("", 1280, 860, "light"),
        ("-dark", 1280, 860, "dark"),
        ("-phone", 390, 844, "light"),
    ):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(url)
        settled(page)
        ask(page, "striped mug")
        _keep(page, pictures / f"playground{name}.png")
        if not name:
            page.get_by_role("button", name="Ada").click()
            ask(page, "t-shirt")
            page.wait_for_selector(".move")
            _keep(page, pictures / "playground-shopper.png")
            page.get_by_role("button", name="Nobody").click()
            ask(page, "camo umbrella")
            page.select_option("#versus", "words")
            settled(page)
            _keep(page, pictures / "playground-versus.png")
            page.select_option("#versus", "")
            ask(page, "polka dot handbag")
            page.locator(".card:has(img) .product").first.click()
            _keep(page, pictures / "playground-item.png")
        context.close()
