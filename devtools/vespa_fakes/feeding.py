"""A feed with faults, and what has to be stored in the end; for the test and the benchmark."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from devtools.vespa_fakes.document_server import Chaos

CHAOS = Chaos(
    seed=5,
    busy=0.03,
    unavailable=0.01,
    internal=0.005,
    timeout=0.005,
    reset_before=0.01,
    reset_after=0.01,
    closed=0.005,
    garbage=0.002,
    silent_before=0.0005,
    silent_after=0.0005,
    blocked=((700, 30), (2500, 40)),
)


def changes(items: int, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Price changes, removals and new items, each with a later version than the last."""
    rng = random.Random(seed)
    for number in range(count):
        item = f"item-{rng.randrange(items)}"
        version = 11 + number
        if rng.random() < 0.1:
            yield {
                "id": f"new-{number}",
                "feed_ver": version,
                "vector": [rng.random() + 0.1 for _ in range(128)],
            }
        elif rng.random() < 0.05:
            yield {"id": item, "feed_ver": version, "remove": True}
        else:
            yield {"id": item, "feed_ver": version, "attributes": {"price": float(number)}}


def newest(items: int, all_changes: Sequence[dict[str, Any]]) -> dict[str, int]:
    """What must be there in the end, with its feed version."""
    expected = dict.fromkeys((f"item-{i}" for i in range(items)), 10)
    for change in all_changes:
        if change.get("remove"):
            expected.pop(change["id"], None)
        elif "vector" in change or change["id"] in expected:
            expected[change["id"]] = change["feed_ver"]
    return expected
