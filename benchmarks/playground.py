"""The playground in a browser: from a key to its pictures, what that costs, and whether the demo looks good.

    mrse demo --port 8080 &
    python -m benchmarks.playground --url http://127.0.0.1:8080 --json playground.json
    python -m benchmarks.playground --url http://127.0.0.1:8080 --looks --json playground-looks.json

The first in the environment of `make browser`, the second, which needs no browser, in that of `make dev`.
Queries are typed key by key by a quick typist, each once, in rounds with a new browser profile: neither page
nor service has seen them. A key's time begins when the browser has it, and ends when the newest answer is
painted with all its pictures; a key whose answer was dropped for a later one waits for that one's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import statistics
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import Claim, arguments, finish

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from artifacts.shop.shop import Shop

_ROUNDS = (
    ("striped mug", "blue dress", "polka dot handbag", "camo umbrella", "leather boots", "red t-shirt"),
    ("green plate", "checked shirt", "black sneakers", "floral scarf", "white lamp", "pink backpack"),
    ("orange vase", "denim jacket", "purple cushion", "zigzag blanket", "yellow cap", "wool sweater"),
)
#: Milliseconds between two keys of a quick typist.
_BETWEEN_KEYS_MS = 150
_PICTURES, _TOP = 200, 5

#: Notes when the browser had each key, and when an answer to it or to a later key was painted.
_WATCH = """() => {
  window.keys = [];
  let pressed = [];
  document.querySelector("#query").addEventListener("input", (event) => pressed.push(event.timeStamp), true);
  new MutationObserver(() => {
    if (document.querySelector("#results").getAttribute("aria-busy") !== "false") return;
    const answered = pressed;
    pressed = [];
    requestAnimationFrame(() => {
      const painted = new MessageChannel();
      painted.port1.onmessage = () => window.keys.push(...answered.map((then) => performance.now() - then));
      painted.port2.postMessage(null);
    });
  }).observe(document.querySelector("#results"), { attributes: true, attributeFilter: ["aria-busy"] });
}"""


def _typed(browser: Browser, url: str, rounds: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Milliseconds of the keys of each round, and of the last round's queries typed once more."""
    told: dict[str, Any] = {}
    everything: list[float] = []
    for number, queries in enumerate(rounds, start=1):
        with _opened(browser, url) as page:
            page.evaluate(_WATCH)
            times = _type(page, queries)
            everything += times
            told[f"round {number}"] = _summary(times, queries)
            if number == len(rounds):
                told["the last again"] = _summary(_type(page, queries), queries)
    told["all rounds"] = _summary(everything, [query for queries in rounds for query in queries])
    return told


@contextmanager
def _opened(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#results[aria-busy=false]")
    page.focus("#query")
    yield page
    context.close()


def _type(page: Page, queries: Sequence[str]) -> list[float]:
    times: list[float] = []
    for query in queries:
        page.fill("#query", "")
        _settle(page)
        page.evaluate("() => { window.keys = []; }")
        for letter in query:
            page.keyboard.press(letter if letter != " " else "Space")
            page.wait_for_timeout(_BETWEEN_KEYS_MS)
        _settle(page)
        times += page.evaluate("() => window.keys ?? []")
    return times


def _settle(page: Page) -> None:
    page.wait_for_selector("#results[aria-busy=false]")
    page.wait_for_timeout(100)


def _summary(times: Sequence[float], queries: Sequence[str]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "keys": sum(map(len, queries)),
        "answered": len(times),
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "max_ms": round(ordered[-1], 1),
    }


def _cost(browser: Browser, url: str, queries: Sequence[str]) -> dict[str, Any]:
    """What a key costs: requests, bytes as they are sent, processor time of page and service.

    Apart from what is timed: who counts is in the way.
    """
    with _opened(browser, url) as page:
        tools = page.context.new_cdp_session(page)
        asked: Counter[str] = Counter()
        sent: Counter[str] = Counter()
        kinds: dict[str, str] = {}

        def begins(event: dict[str, Any]) -> None:
            address = event["request"]["url"]
            if not address.startswith("data:"):
                kinds[event["requestId"]] = kind = address.removeprefix(url).partition("?")[0]
                asked[kind] += 1

        def ends(event: dict[str, Any]) -> None:
            if (kind := kinds.get(event["requestId"])) is not None:
                sent[kind] += event["encodedDataLength"]

        tools.on("Network.requestWillBeSent", begins)
        tools.on("Network.loadingFinished", ends)
        tools.send("Network.enable")
        tools.send("Performance.enable", {"timeDomain": "threadTicks"})
        before, service = _page_seconds(tools), _service_seconds(url)
        _type(page, queries)
        after, used = _page_seconds(tools), _service_seconds(url) - service
    keys = sum(map(len, queries))
    return {
        "keys": keys,
        "requests a key": {kind: round(count / keys, 2) for kind, count in sorted(asked.items())},
        "kB a key": {kind: round(count / keys / 1000, 1) for kind, count in sorted(sent.items())},
        "page, ms a key": {
            name: round((after[name] - before[name]) * 1000 / keys, 2)
            for name in ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
        },
        "service, ms a key": round(used * 1000 / keys, 2),
    }


def _page_seconds(tools: Any) -> dict[str, float]:
    return {each["name"]: each["value"] for each in tools.send("Performance.getMetrics")["metrics"]}


def _service_seconds(url: str) -> float:
    """Processor time of the service so far."""
    with urllib.request.urlopen(f"{url}metrics", timeout=30) as answer:
        told = answer.read().decode()
    return sum(float(found) for found in re.findall(r"^process_cpu_seconds_total(?:{.*})? (\S+)", told, re.M))


def _looks(url: str, path: Path) -> dict[str, Any]:
    """How many of the first five of each example are right, and how many pictures find themselves first.

    Several items may have one picture, and nothing in it tells them apart: any of them is right then.
    """
    from artifacts.shop.shop import Shop
    from models.synthetic import RELEVANT, Judge

    judge, shop = Judge.open(path), Shop.open(path)
    right = {}
    for example in _get(url, "playground/shop")["examples"]:
        if "state" not in example:
            ids = _ask(url, {"query": example["query"], "k": 24})[:_TOP]
            grades = judge.all_relevances(example["query"])[judge.rows(ids)]
            right[example["label"]] = int((grades >= RELEVANT).sum())
    digests = {item.id: _digest(shop, item.picture) for item in shop.items() if item.picture}
    sharing = Counter(digests.values())
    pictures = {item.id: item.picture for item in shop.items() if item.picture}
    drawn = random.Random(1).sample(sorted(pictures), min(_PICTURES, len(pictures)))
    found: Counter[str] = Counter()
    for item_id in drawn:
        picture = base64.b64encode(shop.picture(pictures[item_id])).decode()
        first = _ask(url, {"picture": picture, "k": 1})[:1]
        if first == [item_id]:
            found["itself"] += 1
        elif first and digests.get(first[0]) == digests[item_id]:
            found["another item with the same picture"] += 1
        else:
            found["another picture"] += 1
    return {
        "right of five": right,
        "pictures": len(drawn),
        "of them with a picture that several items have": sum(sharing[digests[each]] > 1 for each in drawn),
        "first": dict(found),
    }


def _digest(shop: Shop, picture: str) -> str:
    return hashlib.sha256(shop.picture(picture)).hexdigest()


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=30) as answer:
        return json.load(answer)


def _ask(url: str, body: dict[str, Any]) -> list[str]:
    content = json.dumps(body | {"timeout_ms": 10_000}).encode()
    request = urllib.request.Request(f"{url}recall", content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [item["item_id"] for item in json.load(answer)["items"]]


def _in_a_browser(url: str, chromium: str, rounds: Sequence[Sequence[str]]) -> tuple[list[Claim], Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        typed = _typed(browser, url, rounds)
        cost = _cost(browser, url, rounds[0])
        browser.close()
    times = typed["all rounds"]
    claims = [
        Claim.at_most("from a key to its pictures, p95", times["p95_ms"], 100, "ms"),
        Claim.at_least("keys that were answered", times["answered"] / times["keys"], 1),
        Claim.at_most("requests a key", sum(cost["requests a key"].values()), 2),
    ]
    return claims, {"typed": typed, "cost": cost}


def _judged(url: str, path: Path) -> tuple[list[Claim], Any]:
    looks = _looks(url, path)
    first = looks["first"]
    good = first.get("itself", 0) + first.get("another item with the same picture", 0)
    least = min(looks["right of five"].values())
    claims = [
        Claim.at_least("examples: right of the first five, the least", least, _TOP),
        Claim.at_least("pictures that find themselves first", good / looks["pictures"], 0.9),
    ]
    return claims, looks


def main() -> int:
    """Measure."""
    given = arguments(
        (__doc__ or "").partition("\n")[0],
        [
            ("--url", {"default": "http://127.0.0.1:8080"}),
            ("--chromium", {"default": os.environ.get("MRSE_CHROMIUM", "/usr/bin/chromium")}),
            ("--looks", {"action": "store_true", "help": "judge the demo's answers, in place of typing"}),
            ("--shop", {"type": Path, "default": Path(".run/shop"), "help": "the demo's, to judge by"}),
        ],
    )
    url = given.url.rstrip("/") + "/"
    if given.looks:
        claims, runs = _judged(url, given.shop)
    else:
        claims, runs = _in_a_browser(url, given.chromium, _ROUNDS[:1] if given.quick else _ROUNDS)
    print(json.dumps(runs, indent=2))
    return finish(claims, runs, given.json, setting="quick" if given.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
