"""Two services take turns: what the same requests take of each, one at a time, in time and of the processor.

    python -m benchmarks.turns --one URL --other URL --shop SHOP --json turns.json

For a change that must not make the service slower: serve the old commit and the new one, and compare;
``benchmarks.recall --before`` does all of it. Blocks of the same requests go to one and then to the other, in
changing order, so that other work on the machine falls on both alike. A request that is repeated is a hit; a
*miss* has a query that was never asked before.
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from artifacts.shop.shop import Shop
from benchmarks.report import Claim, arguments, finish

_BLOCK, _HITS, _K = 150, 50, 200
_HEADERS = {"Content-Type": "application/json"}
KINDS = ("hit", "hit, history", "browse", "miss")
#: How much slower the other may be than the one.
SLOWER = 1.05
#: Milliseconds of each block, by kind, by measure, by server.
Runs = dict[str, dict[str, dict[str, list[float]]]]
Blocks = Mapping[str, Iterator[list[bytes]]]


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
    shop = Shop.open(options.shop)
    queries = sorted({event.query for event in shop.events() if event.query})
    blocks = blocks_of([item.id for item in shop.items()], queries)
    hosts = {"one": urlsplit(options.one).netloc, "other": urlsplit(options.other).netloc}
    runs = take_turns(hosts, blocks, 4 if options.quick else options.rounds)
    return finish(claims_of([runs]), runs, options.json, setting="quick" if options.quick else "full")


def take_turns(
    hosts: Mapping[str, str],
    blocks: Blocks,
    rounds: int,
    used: Mapping[str, Callable[[], float]] | None = None,
) -> Runs:
    """Ask each server each block.

    Args:
        hosts: the two servers' hosts and ports, the one that is compared with first.
        blocks: by kind, without an end; see `blocks_of`.
        rounds: blocks of each kind; one more ahead of them fills the caches.
        used: where it is known: the processor time in seconds that each server has used so far.
    """
    sending = {name: http.client.HTTPConnection(host) for name, host in hosts.items()}
    runs: Runs = {}
    for kind in KINDS:
        found: dict[str, dict[str, list[float]]] = {"ms": {name: [] for name in hosts}}
        if used is not None:
            found["cpu_ms"] = {name: [] for name in hosts}
        for number in range(rounds + 1):
            block = next(blocks[kind])
            for name in sorted(hosts, reverse=number % 2 == 1):
                before = 0.0 if used is None else used[name]()
                took = [_ask(sending[name], body) for body in block]
                if number:
                    found["ms"][name].append(statistics.median(took))
                    if used is not None:
                        found["cpu_ms"][name].append((used[name]() - before) * 1000 / len(block))
        runs[kind] = found
        for measure, each in found.items():
            print(
                f"{kind:<14}{measure:<8}"
                + "  ".join(f"{n} {statistics.median(m):.3f}" for n, m in each.items())
            )
    for connection in sending.values():
        connection.close()
    return runs


def claims_of(starts: Sequence[Runs]) -> list[Claim]:
    """That the other takes no more than the one, by the medians over what each start of both servers gave."""
    called = {"ms": "time", "cpu_ms": "processor time"}
    return [
        Claim.at_most(
            f"{kind}: {called[measure]} of the other over the one's",
            statistics.median(ratio(runs[kind][measure]) for runs in starts),
            SLOWER,
        )
        for kind in KINDS
        for measure in starts[0][kind]
    ]


def ratio(found: Mapping[str, Sequence[float]]) -> float:
    """The second server's over the first one's, the median over the blocks."""
    one, other = found.values()
    return statistics.median(b / a for a, b in zip(one, other, strict=True))


def blocks_of(items: Sequence[str], queries: Sequence[str]) -> dict[str, Iterator[list[bytes]]]:
    """Blocks of request bodies by kind, without an end."""
    draw = random.Random(5)
    hits = draw.sample(list(queries), _HITS)

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

    return {kind: endless(kind) for kind in KINDS}


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
