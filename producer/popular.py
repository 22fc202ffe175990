"""How popular items are now: what their embeddings folder says, and what a stream tells since.

Made of the folder and the stream alone, so it may be run again and again. Only items that something was done
with get a new value: the others fade alike (`artifacts.popularity`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from redis import Redis

from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from artifacts.popularity import POPULARITY
from producer.stream import Entry, MalformedEntryError, added_at, parse

_PAGE = 4096
_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class PopularChanges:
    """New values by item id, and how many behaviours they come from.

    ``unknown`` were on items that the folder does not have, ``malformed`` could not be read. ``since`` is
    when the first entry of the stream was added, None where it has none.
    """

    values: dict[str, float]
    behaviours: int
    unknown: int
    malformed: int
    since: float | None


def popular_changes(folder: EmbeddingsFolder, redis: Redis, stream: str, now: datetime) -> PopularChanges:
    """Add a stream's behaviours since the folder's log ended to the popularity of the folder's items.

    Args:
        folder: whose items have a popularity.
        redis: where the stream is.
        stream: its name.
        now: behaviours from much later are malformed.

    Raises:
        EmbeddingsError: the folder cannot be read, or has no popularity.
        RedisError: Redis is away.
    """
    spec = folder.meta.popularity
    if spec is None:
        raise EmbeddingsError(folder.path, "has no popularity to add to; `mrse embed` counts it from a log")
    held = _held(folder)
    added: dict[str, float] = {}
    behaviours = unknown = malformed = 0
    since: float | None = None
    for entry in _entries(redis, stream):
        since = added_at(entry[0]) if since is None else since
        try:
            parsed = parse(entry, now)
        except MalformedEntryError:
            malformed += 1
            continue
        behaviour = None if parsed is None else parsed[1]
        if behaviour is None or behaviour.ts is None or behaviour.ts.timestamp() <= spec.as_of:
            continue
        if behaviour.item_id not in held:
            unknown += 1
            continue
        behaviours += 1
        worth = float(spec.worth(np.array([behaviour.ts.timestamp()]))[0])
        added[behaviour.item_id] = added.get(behaviour.item_id, 0.0) + worth
    values = {item_id: float(f"{held[item_id] + more:.6g}") for item_id, more in added.items()}
    return PopularChanges(values, behaviours, unknown, malformed, since)


def _held(folder: EmbeddingsFolder) -> dict[str, float]:
    return {
        item_id: value or 0.0
        for batch in folder.batches(["id", POPULARITY], _ROWS)
        for item_id, value in zip(batch["id"], batch[POPULARITY], strict=True)
    }


def _entries(redis: Redis, stream: str) -> Iterator[Entry]:
    """All entries of a stream, a page at a time; groups that read it are not disturbed."""
    start = "-"
    while True:
        page: Any = redis.xrange(stream, min=start, count=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        start = f"({page[-1][0].decode()}"
