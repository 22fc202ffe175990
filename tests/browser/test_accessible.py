"""axe-core finds nothing serious or critical, in light and dark, in every state that the page has."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from shop import ask, settled, unfold

_AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
_SIZES = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}


def _look(page: Page, where: str) -> None:
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    told = [
        f"{where}: {each['id']}, {each['impact']}: {each['help']}: {each['nodes'][0]['html'][:160]}"
        f" {each['nodes'][0].get('failureSummary', '')[:200]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert not told, "\n".join(told)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", list(_SIZES))
def test_nothing_serious_is_found(browser: Browser, url: str, name: str, scheme: str) -> None:
    context = browser.new_context(
        viewport=_SIZES[name], color_scheme=scheme, reduced_motion="reduce", bypass_csp=True
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(url)
    settled(page)
    page.add_script_tag(path=_AXE)
    _look(page, "start")
    unfold(page, "filters")
    unfold(page, "insight")
    unfold(page, "engineer")
    page.get_by_role("button", name="Ada").click()
    ask(page, "striped mug")
    page.get_by_label("In stock only").check()
    settled(page)
    page.wait_for_selector(".move")
    _look(page, "a shopper's answer")
    page.select_option("#versus", "words")
    settled(page)
    _look(page, "side by side")
    page.locator(".card .product").first.click()
    _look(page, "an item")
    page.keyboard.press("Escape")
    settled(page)
    page.click("#copy")
    _look(page, "code")
    page.keyboard.press("Escape")
    page.route("**/recall", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.fill("#query", "x")
    page.wait_for_selector("#problem:not([hidden])")
    _look(page, "a problem")
    context.close()
