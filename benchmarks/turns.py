"""Two running services take turns: how long each takes for the same requests, one at a time.

    python -m benchmarks.turns --one URL --other URL --shop SHOP --json turns.json

For a change that must not make the service slower: serve the old commit and the new one, and compare. Blocks
of the same requests go to one and then to the other, in changing order, so that other work on the machine
falls on both alike. A request that is repeated is a hit; a *miss* has a query that was never asked before.
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from artifacts.shop.shop import Shop
from benchmarks.report import Claim, arguments, finish

_BLOCK, _HITS, _K = 150, 50, 200
_HEADERS = {"Content-Type": "application/json"}


def main() -> int:
    """Compare the two by kind of request."""
    options = arguments(
        "Compare the time that two services take.",
        [
            ("--one", {"required": True, "help": "address of the service that is compared with"}),
            ("--other", {"required": True, "help": "address of the service that is judged"}),
            ("--shop", {"type": Path, "required": True, "help": "the shop that both serve"}),
            ("--rounds", {"type": int, "default": 20}),
        ],
    )
    rounds = 4 if options.quick else options.rounds
    urls = {"one": options.one, "other": options.other}
    sending = {name: http.client.HTTPConnection(urlsplit(url).netloc) for name, url in urls.items()}
    runs: dict[str, dict[str, list[float]]] = {}
    claims = []
    for kind, blocks in _blocks(Shop.open(options.shop)).items():
        medians: dict[str, list[float]] = {name: [] for name in urls}
        for number in range(rounds + 1):
            block = next(blocks)
            for name in sorted(urls, reverse=number % 2 == 1):
                took = [_ask(sending[name], body) for body in block]
                if number:  # the first block fills the caches
                    medians[name].append(statistics.median(took))
        runs[kind] = medians
        ratio = statistics.median(b / a for a, b in zip(medians["one"], medians["other"], strict=True))
        claims.append(Claim.at_most(f"{kind}: time of the other over one's", ratio, 1.05))
        print(f"{kind:<24} " + "  ".join(f"{n} {statistics.median(m):.3f} ms" for n, m in medians.items()))
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


def _blocks(shop: Shop) -> dict[str, Iterator[list[bytes]]]:
    """Blocks of request bodies by kind, without an end."""
    draw = random.Random(5)
    items = [item.id for item in shop.items()]
    queries = sorted({event.query for event in shop.events() if event.query})
    hits = draw.sample(queries, _HITS)

    def history() -> list[dict[str, str]]:
        return [{"item_id": draw.choice(items), "action": "click"} for _ in range(8)]

    def body(**values: object) -> bytes:
        return json.dumps({"k": _K, "timeout_ms": 10_000, **values}).encode()

    def endless(kind: str) -> Iterator[list[bytes]]:
        users = [history() for _ in range(_HITS)]
        while True:
            if kind == "miss":
                yield [body(query=f"{draw.choice(queries)} {draw.random():.12f}") for _ in range(_BLOCK)]
            elif kind == "browse":
                yield [body(history=draw.choice(users)) for _ in range(_BLOCK)]
            elif kind == "hit, history":
                yield [body(query=draw.choice(hits), history=draw.choice(users)) for _ in range(_BLOCK)]
            else:
                yield [body(query=draw.choice(hits)) for _ in range(_BLOCK)]

    return {kind: endless(kind) for kind in ("hit", "hit, history", "browse", "miss")}


def _ask(connection: http.client.HTTPConnection, body: bytes) -> float:
    """Milliseconds until the whole answer has come."""
    started = time.perf_counter()
    connection.request("POST", "/recall", body, _HEADERS)
    answer = connection.getresponse()
    content = answer.read()
    took = (time.perf_counter() - started) * 1000
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {content[:500].decode('utf-8', 'replace')}")
    return took


if __name__ == "__main__":
    sys.exit(main())
