"""Every feature of the page, walked at desktop and phone width."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from shop import ask, settled, shown, unfold


def test_the_shop_opens_with_what_is_popular(page: Page) -> None:
    assert len(shown(page)) == 24
    expect(page.locator("#shop-name")).to_have_text("Demo shop")
    card = page.locator(".card").first
    assert re.fullmatch(r"[\d,]+\.\d\d", card.locator(".price").inner_text())
    assert card.locator(".stock").inner_text() in ("in stock", "sold out")
    loaded = page.locator(".card img").evaluate_all("(all) => all.map((one) => one.naturalWidth > 0)")
    assert len(loaded) >= 12
    assert all(loaded)
    page.click("#more")
    settled(page)
    assert len(shown(page)) == 48


def test_nothing_is_wider_than_the_window(page: Page, size: str) -> None:
    width = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(width)
    page.locator(".person").nth(1).click()
    page.select_option("#versus", "words")
    ask(page, "striped mug")
    unfold(page, "insight")
    unfold(page, "filters")
    unfold(page, "engineer")
    assert page.evaluate(width)
    page.locator(".card .product").first.click()
    assert page.evaluate("document.querySelector('dialog').scrollWidth <= window.innerWidth")


def test_answers_come_while_one_types_and_the_last_word_wins(page: Page) -> None:
    slow: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if json.loads(route.request.post_data or "{}").get("query") == "mug":
            slow.append(route)
        else:
            route.continue_()

    ask(page, "umbrella")
    page.route("**/recall", hold_the_first)
    page.locator("#query").press_sequentially("s")  # a request for each key
    page.fill("#query", "mug")
    page.fill("#query", "umbrella")
    settled(page)
    umbrellas = shown(page)
    assert {text.split(" · ")[-1] for text in page.locator(".card .meta").all_inner_texts()[:5]} == {
        "Umbrellas"
    }
    for route in slow:  # the answer to "mug" comes last, to nobody: its request was given up
        route.fulfill(json={"items": [], "routes": {}, "degraded": [], "took_ms": 1})
    page.wait_for_timeout(100)
    assert shown(page) == umbrellas
    assert "q=umbrella" in page.url


def test_filters_made_of_the_catalogue_narrow_the_answer(page: Page) -> None:
    unfold(page, "filters")
    ask(page, "mug")
    page.get_by_label("In stock only").check()
    settled(page)
    assert set(page.locator(".stock").all_inner_texts()) == {"in stock"}
    page.locator(".facet.choice .value input").first.check()
    settled(page)
    brand = page.locator(".facet.choice .value").first.locator("span").first.inner_text()
    texts = page.locator(".card .meta").all_inner_texts()
    assert texts
    assert all(text.startswith(brand) for text in texts)
    page.get_by_label("Price, at most").fill("20")
    settled(page)
    page.wait_for_function("() => location.hash.includes('lte')")
    settled(page)
    prices = [float(text.replace(",", "")) for text in page.locator(".price").all_inner_texts()]
    assert prices
    assert max(prices) <= 20
    page.get_by_role("button", name="Take all out").click()
    settled(page)
    assert page.locator(".chip").count() == 0
    page.get_by_role("button", name="Kinds of Kitchen").click()
    page.get_by_label("Plates").check()
    ask(page, "")
    assert {text.split(" · ")[-1] for text in page.locator(".card .meta").all_inner_texts()} == {"Plates"}


def test_a_picture_is_searched_with_by_upload_paste_and_drop(page: Page, url: str, tmp_path: Path) -> None:
    item = page.locator(".card:has(img)").first
    wanted = item.get_attribute("data-item")
    content = page.request.get(f"{url}playground/picture", params={"item_id": str(wanted)}).body()
    (tmp_path / "photo.jpg").write_bytes(content)

    page.set_input_files("#file", tmp_path / "photo.jpg")
    page.wait_for_selector("#photo img")
    settled(page)
    assert shown(page)[0] == wanted, "a catalogue picture finds itself"
    assert page.locator(".card").first.locator(".route.p2i").count() == 1
    page.get_by_role("button", name="Take the picture out").click()
    settled(page)
    expect(page.locator("#photo")).to_be_hidden()

    for how in ("paste", "drop"):
        page.evaluate(
            """([how, text]) => {
              const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
              const given = new DataTransfer();
              given.items.add(new File([bytes], "photo.jpg", { type: "image/jpeg" }));
              const event = how === "paste"
                ? new ClipboardEvent("paste", { clipboardData: given, bubbles: true })
                : new DragEvent("drop", { dataTransfer: given, bubbles: true });
              document.body.dispatchEvent(event);
            }""",
            [how, base64.b64encode(content).decode()],
        )
        page.wait_for_selector("#photo img")
        settled(page)
        assert shown(page)[0] == wanted, how
        page.get_by_role("button", name="Take the picture out").click()
        settled(page)

    (tmp_path / "bad.png").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "bad.png")
    expect(page.locator("#problem")).to_contain_text("cannot read that picture")


def test_similar_and_like_this_but(page: Page) -> None:
    ask(page, "backpack")
    first = page.locator(".card:has(img)").first
    item = first.get_attribute("data-item")
    first.get_by_role("button", name="Similar").click()
    settled(page)
    assert item not in shown(page)
    expect(page.locator("#chips")).to_contain_text("similar to")
    page.locator("#chips button").first.click()
    ask(page, "backpack")
    page.locator(f'.card[data-item="{item}"]').get_by_role("button", name="Like, but").click()
    settled(page)
    assert page.locator("#query").evaluate("(field) => field === document.activeElement")
    ask(page, "red")
    assert item not in shown(page)
    titles = page.locator(".card .meta").all_inner_texts()
    assert {text.split(" · ")[-1] for text in titles} == {"Backpacks"}


def test_a_shopper_moves_the_answer_and_what_moved_is_marked(page: Page) -> None:
    ask(page, "t-shirt")
    before = shown(page)
    page.get_by_role("button", name="Ada").click()
    settled(page)
    page.wait_for_selector(".move")
    after = shown(page)
    assert after != before
    marked = page.locator(".card:has(.move)").evaluate_all("(all) => all.map((one) => one.dataset.item)")
    known = enumerate(after[: len(before)])  # fewer under load
    assert set(marked) >= {one for place, one in known if before[place] != one}
    done = page.locator("#shopper .done li")
    count = done.count()
    assert count == 8
    done.first.get_by_role("button").click()
    settled(page)
    assert done.count() == count - 1
    expect(page.locator(".person.you")).to_be_visible()
    page.get_by_role("button", name="Nobody").click()
    settled(page)
    assert shown(page) == before


def test_clicks_make_a_history_and_say_why(page: Page) -> None:
    ask(page, "mug")
    clicked = page.locator(".card .product").nth(2)
    title = clicked.inner_text()
    clicked.click()
    dialog = page.locator("dialog[open]")
    expect(dialog.locator("h2")).to_have_text(title)
    expect(dialog.locator(".reasons")).to_contain_text("fits the meaning of “mug”")
    page.keyboard.press("Escape")
    expect(page.locator("#shopper .done li.click")).to_have_count(1)  # a dialog tells later that it is closed
    settled(page)
    reason = None
    for card in page.locator(".card:has(.route.i2i)").all()[:24]:
        if "your clicks" in card.locator(".routes").inner_text():
            card.locator(".product").click()
            reason = dialog.locator(".reasons").inner_text()
            break
    if reason is not None:
        assert f"Because you clicked {title}" in reason
        if dialog.locator(".stock.out").count() == 0:
            dialog.get_by_role("button", name="Put in the basket").click()
            settled(page)
            assert page.locator("#shopper .done li.cart").count() == 1


def test_how_the_answer_came_about_is_shown(page: Page) -> None:
    unfold(page, "insight")
    ask(page, "blue mug")
    told = page.locator("#insight")
    for words in (
        "What the model listened to",
        "picture and words",
        "What found the items",
        "Time in the service",
    ):
        expect(told).to_contain_text(words)
    assert told.locator(".gate .part").count() == 3
    shares = [int(share) for share in re.findall(r"(\d+)%", told.locator(".bars").first.inner_text())]
    assert 98 <= sum(shares) <= 102


@pytest.mark.parametrize("versus", ["words", "nobody", "arm:words=on"])
def test_two_answers_stand_side_by_side(page: Page, versus: str) -> None:
    page.get_by_role("button", name="Ben").click()
    ask(page, "stoneware mug")
    page.select_option("#versus", versus)
    settled(page)
    assert page.locator(".column").count() == 2
    left, right = shown(page), shown(page, 1)
    assert right
    marks = page.locator(".column").nth(1).locator(".card:has(.move)").count()
    assert marks >= sum(left[place] != one for place, one in enumerate(right[: len(left)]))
    if versus == "words":
        routes = page.locator(".column").nth(1).locator(".route").all_inner_texts()
        assert set(routes) == {"words"}


def test_the_address_holds_what_is_asked(page: Page, url: str) -> None:
    unfold(page, "filters")
    page.get_by_role("button", name="Chloe").click()
    ask(page, "dress & more")
    page.get_by_label("In stock only").check()
    page.select_option("#versus", "nobody")
    settled(page)
    left, right, address = shown(page), shown(page, 1), page.url
    other = page.context.new_page()
    other.goto(address)
    settled(other)
    assert (shown(other), shown(other, 1)) == (left, right)
    assert other.locator("#query").input_value() == "dress & more"
    other.close()
    page.go_back()
    page.wait_for_function("() => !location.hash.includes('versus')")
    settled(page)
    assert page.locator(".column").count() == 1
    sent = page.evaluate("performance.getEntriesByType('navigation')[0].name")
    assert sent == url, "the query stays behind #, which no log gets"
    page.goto(url + "#f=%7Bbroken&h=nothing&k=-3&q=mug")
    settled(page)
    assert shown(page)


def test_the_request_can_be_copied_as_code_that_runs(page: Page, url: str, size: str) -> None:
    page.get_by_role("button", name="Ada").click()
    ask(page, "mug for o'clock")
    expected = shown(page)
    page.click("#copy")
    code = page.locator("dialog pre")
    assert "mrse_client import Client" not in code.inner_text()
    done = subprocess.run(["bash", "-c", code.inner_text()], capture_output=True, check=True, timeout=60)
    assert [item["item_id"] for item in json.loads(done.stdout)["items"]] == expected
    page.get_by_role("button", name="Python").click()
    compile(code.inner_text(), "copied.py", "exec")
    assert "Client(" in code.inner_text()
    page.get_by_role("button", name="TypeScript").click()
    expect(code).to_contain_text('import { Client } from "mrse-client"')


def test_the_keyboard_reaches_everything(page: Page) -> None:
    page.locator("body").press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("mug")
    settled(page)
    page.locator(".card .product").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("dialog[open]")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    settled(page)
    page.get_by_role("button", name="Ben").focus()
    page.keyboard.press("Enter")
    settled(page)
    assert page.evaluate("document.activeElement.textContent").endswith("Ben"), "the strip was made anew"
    page.keyboard.press("Tab")
    assert page.evaluate(
        "document.activeElement.closest('.card') !== null || document.activeElement !== document.body"
    )
