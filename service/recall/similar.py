"""I2I alone: the nearest items of one item."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from common.deadline import Deadline
from common.seldom import Seldom
from index.filters import Filter
from index.port import IndexUnavailable, ItemIndex, StoredVectors
from service.errors import DeadlinePassed, RecallError, Unavailable, UnknownItem
from service.recall.controls.plan import MOST_CANDIDATES
from service.recall.routes.outcome import Candidate, RouteOutcome, reasons, rounded
from service.recall.run import TIMEOUTS

log = logging.getLogger("mrse.recall")
_told = Seldom()


class Similar(NamedTuple):
    """What was found; ``banned`` says how many items that are never in an answer were left out of it."""

    outcome: RouteOutcome
    banned: int


async def similar(
    index: ItemIndex,
    item_id: str,
    k: int,
    filters: Filter | None,
    deadline: Deadline,
    bans: frozenset[str] = frozenset(),
) -> Similar:
    """The ``k`` nearest items of an item, without itself and without those of ``bans``.

    As many more are asked for as there are bans, of which there are few (`controls.rules.MAX_BANS`): so k
    are left.

    Raises:
        UnknownItem: the item is not in the index.
        DeadlinePassed: there was no time.
        Unavailable: the index has no answer, or did not reach all of its items and found this one nowhere.
    """
    started = time.perf_counter()
    wanted = min(k + 1 + len(bans), max(k + 1, MOST_CANDIDATES))
    try:
        stored = await index.vectors([item_id], deadline)
        if not stored.ids and stored.coverage < 1.0:
            raise Unavailable(f"whether there is an item {item_id!r} is unknown yet: {_share(stored)}")
        if not stored.ids:
            raise UnknownItem(f"there is no item {item_id!r}")
        (found,) = await index.search(stored.vectors, wanted, filters, deadline)
    except IndexUnavailable as error:
        if error.reason in TIMEOUTS:
            raise DeadlinePassed("search") from error
        raise Unavailable(f"the index gave no answer: {error.reason}") from error
    except RecallError:
        raise
    except Exception as error:
        if (left_out := _told.now()) is not None:
            log.exception("the index failed", extra={"left_out": left_out})
        raise Unavailable("the index gave no answer: internal") from error
    left = bans | {item_id}
    others = [pair for pair in zip(found.ids, rounded(found.scores), strict=True) if pair[0] not in left][:k]
    candidates = [
        Candidate(other, score, {"route": "i2i", "trigger": item_id, "rank": rank, "score": score})
        for rank, (other, score) in enumerate(others, start=1)
    ]
    took = (time.perf_counter() - started) * 1000
    outcome = RouteOutcome("ok", candidates, len(candidates), found.coverage, took, reasons([found]))
    return Similar(outcome, len(bans.intersection(found.ids)) if bans else 0)


def _share(stored: StoredVectors) -> str:
    return f"the index reached {stored.coverage:.0%} of its items"
