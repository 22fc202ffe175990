"""Measures the playground in a browser: from a key to its pictures, and whether the demo looks good.

    mrse demo --port 8080 &
    python -m benchmarks.playground --url http://127.0.0.1:8080 --shop .run/shop --json playground.json

In the environment of `make browser` (``--shop`` needs that of `make dev`, and is left out where it is not).
A key's time ends when the newest answer is shown and all its pictures are decoded, as the page itself knows.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import urllib.request
from pathlib import Path
from typing import Any

_QUERIES = ("striped mug", "blue dress", "polka dot handbag", "camo umbrella", "leather boots", "red t-shirt")
#: Milliseconds between two keys of a quick typist.
_BETWEEN_KEYS_MS = 150

#: Notes when each key was pressed, and when an answer to it or to a later key was there with its pictures: a
#: key whose answer was dropped waits until that of a later one.
_WATCH = """() => {
  window.keys = [];
  let pressed = [];
  document.querySelector("#query").addEventListener("input", () => pressed.push(performance.now()), true);
  new MutationObserver(() => {
    if (document.querySelector("#results").getAttribute("aria-busy") !== "false") return;
    const now = performance.now();
    window.keys.push(...pressed.map((then) => now - then));
    pressed = [];
  }).observe(document.querySelector("#results"), { attributes: true, attributeFilter: ["aria-busy"] });
}"""


def _typed(url: str, rounds: int, chromium: str) -> dict[str, Any]:
    """Types the queries, key by key; the first round fills the browser's and the service's caches."""
    from playwright.sync_api import sync_playwright

    told: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(url)
        page.wait_for_selector("#results[aria-busy=false]")
        page.evaluate(_WATCH)
        for number in range(rounds + 1):
            keys = 0
            times: list[float] = []
            for query in _QUERIES:
                page.fill("#query", "")
                page.wait_for_selector("#results[aria-busy=false]")
                page.evaluate("() => { window.keys = []; }")
                for letter in query:
                    page.locator("#query").press(letter if letter != " " else "Space")
                    page.wait_for_timeout(_BETWEEN_KEYS_MS)
                    keys += 1
                page.wait_for_selector("#results[aria-busy=false]")
                times += page.evaluate("() => window.keys")
            told["first round" if number == 0 else f"round {number}"] = _summary(times, keys)
        browser.close()
    return told


def _summary(times: list[float], keys: int) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "keys": keys,
        "answered": len(times),
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "max_ms": round(ordered[-1], 1),
    }


def _looks(url: str, path: Path) -> dict[str, Any]:
    """How many of the first five of each example are right, and how many pictures find themselves first."""
    import base64

    from artifacts.shop.shop import Shop
    from models.synthetic import RELEVANT, Judge

    judge, shop = Judge.open(path), Shop.open(path)
    right = {}
    for example in _get(url, "playground/shop")["examples"]:
        if "state" not in example:
            ids = _ask(url, {"query": example["query"], "k": 24})[:5]
            grades = judge.all_relevances(example["query"])[judge.rows(ids)]
            right[example["label"]] = int((grades >= RELEVANT).sum())
    pictured = [item for item in shop.items() if item.picture]
    drawn = random.Random(1).sample(pictured, min(200, len(pictured)))
    found = sum(
        _ask(url, {"picture": base64.b64encode(shop.picture(item.picture or "")).decode(), "k": 1})
        == [item.id]
        for item in drawn
    )
    return {"right of five": right, "pictures": len(drawn), "first": found}


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}/{path}", timeout=30) as answer:
        return json.load(answer)


def _ask(url: str, body: dict[str, Any]) -> list[str]:
    content = json.dumps(body | {"timeout_ms": 10_000}).encode()
    request = urllib.request.Request(f"{url}/recall", content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [item["item_id"] for item in json.load(answer)["items"]]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--shop", type=Path, help="the demo's shop, to judge its answers by")
    parser.add_argument("--no-browser", action="store_true", help="judge the answers alone")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    url = given.url.rstrip("/")
    told: dict[str, Any] = {}
    if not given.no_browser:
        told["typed"] = _typed(url + "/", given.rounds, given.chromium)
    if given.shop is not None:
        told["looks"] = _looks(url, given.shop)
    print(json.dumps(told, indent=2))
    if given.json is not None:
        given.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
