"""What goes wrong is told in words, and the page goes on."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from shop import ask, settled, shown

_PAGE = "<html><body><h1>502 Bad Gateway</h1><script>document.title = 'run'</script></body></html>"
_PROBLEM = {"type": "/problems/x", "title": "The request cannot be used", "status": 422, "detail": "x"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 502, "body": _PAGE, "content_type": "text/html"}, "such as a proxy, answered with 502"),
        (
            {"status": 200, "body": _PAGE, "content_type": "text/html"},
            "answered with a page in place of data",
        ),
        ({"status": 200, "body": "", "content_type": "text/html"}, "answered with a page in place of data"),
        (
            {"status": 422, "json": _PROBLEM | {"errors": [{"field": "k", "reason": "too many"}]}},
            "k: too many",
        ),
        ({"status": 401, "json": _PROBLEM | {"status": 401}}, "wants a key"),
        ({"status": 500, "json": _PROBLEM | {"status": 500, "title": "Internal error"}}, "Internal error"),
        ({"status": 200, "json": {"hello": 1}}, "something else than items"),
        (None, "cannot be reached"),
    ],
)
def test_problems_are_told_and_the_next_answer_takes_them_away(
    page: Page, answer: dict | None, words: str
) -> None:
    ask(page, "mug")
    before = shown(page)

    def fail(route: Route) -> None:
        if answer is None:
            route.abort("connectionrefused")
        else:
            route.fulfill(**answer)

    page.route("**/recall", fail)
    page.fill("#query", "plate")
    expect(page.locator("#problem")).to_contain_text(words)
    assert shown(page) == before
    expect(page.locator("#summary")).to_contain_text("the answer before")
    page.unroute("**/recall")
    ask(page, "umbrella")
    expect(page.locator("#problem")).to_be_hidden()


def test_a_busy_service_is_asked_again_by_itself(page: Page) -> None:
    busy = _PROBLEM | {"status": 503, "title": "Overloaded"}
    left = [2]

    def sometimes(route: Route) -> None:
        if left[0]:
            left[0] -= 1
            route.fulfill(status=503, json=busy, headers={"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/recall", sometimes)
    page.fill("#query", "teapot")
    expect(page.locator("#problem")).to_contain_text("asked again by itself")
    expect(page.locator("#problem")).to_be_hidden(timeout=30_000)
    settled(page)
    assert shown(page)


def test_where_the_answer_beside_fails_the_asked_one_stands(page: Page) -> None:
    """With the words of the failure, and neither is told to be an answer of before."""
    ask(page, "mug")
    page.select_option("#versus", "words")
    settled(page)
    mugs = shown(page, 1)
    assert mugs

    def fail_beside(route: Route) -> None:
        if "weights" in (route.request.post_data_json or {}):
            route.fulfill(status=422, json=_PROBLEM | {"errors": [{"field": "k", "reason": "too many"}]})
        else:
            route.continue_()

    page.route("**/recall", fail_beside)
    page.fill("#query", "umbrella")
    expect(page.locator("#problem")).to_contain_text("k: too many")
    settled(page)
    expect(page.locator("#summary")).to_contain_text("items in")
    expect(page.locator(".column-note").nth(1)).to_have_text("no answer")
    assert shown(page)
    assert shown(page, 1) == []
    page.unroute("**/recall")
    ask(page, "mug")
    expect(page.locator("#problem")).to_be_hidden()
    assert shown(page, 1) == mugs


def test_answers_beside_each_other_stand_without_titles_and_pictures(page: Page) -> None:
    """Where previews fail the items are an answer all the same."""
    page.route("**/playground/previews*", lambda route: route.abort("connectionrefused"))
    page.select_option("#versus", "words")
    ask(page, "umbrella")
    expect(page.locator("#summary")).to_contain_text("items in")
    expect(page.locator("#problem")).to_be_hidden()
    assert shown(page)
    assert shown(page, 1)


def test_without_javascript_it_says_so(browser: Browser, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    told = page.locator("noscript p")  # by its place: Playwright finds no text within it
    expect(told).to_be_visible()
    expect(told).to_contain_text("needs JavaScript")
    context.close()
