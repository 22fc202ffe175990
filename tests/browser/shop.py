"""What the tests do with the page, as its user would."""

from __future__ import annotations

from playwright.sync_api import Page


def settled(page: Page) -> None:
    """Wait until the newest question is answered and its pictures are there."""
    page.wait_for_function(
        "() => document.querySelector('#results').getAttribute('aria-busy') === 'false'"
        " && document.querySelectorAll('.card, #problem:not([hidden])').length > 0"
        " || document.querySelector('#summary').textContent.startsWith('Nothing')"
    )


def ask(page: Page, query: str) -> None:
    """Type a query at once, and wait for its answer."""
    page.fill("#query", query)
    settled(page)


def shown(page: Page, column: int = 0) -> list[str]:
    """The ids of the items of a column, in order."""
    ids = "(cards) => cards.map((card) => card.dataset.item)"
    found: list[str] = page.locator(".column").nth(column).locator(".card").evaluate_all(ids)
    return found


def unfold(page: Page, name: str) -> None:
    """Open a part that is folded on a phone."""
    if page.locator(f"#{name}").get_attribute("open") is None:
        page.locator(f"#{name} > summary").click()
