"""The events file as columns, read once: examples, histories, co-clicks and validation are made from them."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle.text import normalise
from artifacts.shop.holdout import HELD_OUT, Holdout
from artifacts.shop.schema import SPLITS
from artifacts.shop.shop import Shop
from common.arrays import F64, I8, I32, I64, Bool
from common.progress import Progress, silent

_TELL = 5000
TRAIN, VAL, _TEST = range(len(SPLITS))
_UNMARKED = -1


@dataclass(frozen=True)
class EventLog:
    """Behaviours, and events labelled as of low relevance, in the order of the file; ``[n]`` each.

    Attributes:
        user: row of the users in order of appearance, -1 where nobody is known.
        item: row of the catalogue, -1 where it has no such item.
        query: row of ``queries``; 0 is the empty query.
        picture: row of ``pictures``, -1 for none.
        behaviour: id of the behaviour, 0 where the event is none.
        low: whether the item is labelled as of low relevance.
        split: `TRAIN`, `VAL` or 2 for test.
        key: CRC-32 of user, query and item, which draws a sample of them.
        at: POSIX seconds.
        users: number of users.
        queries: distinct normalised queries.
        pictures: distinct paths of pictures.
    """

    user: I32
    item: I32
    query: I32
    picture: I32
    behaviour: I8
    low: Bool
    split: I8
    key: I64
    at: F64
    users: int
    queries: list[str]
    pictures: list[str]

    @property
    def behaves(self) -> Bool:
        """``[n]``, the behaviours of known users on items of the catalogue in the train split."""
        found: Bool = (self.behaviour > 0) & (self.user >= 0) & (self.item >= 0) & (self.split == TRAIN)
        return found


def read_log(
    shop: Shop,
    rows: Mapping[str, int],
    *,
    held_out: float = HELD_OUT,
    low_relevance: float = -1.0,
    progress: Progress = silent,
) -> EventLog:
    """Read the events once. Memory is under 40 bytes an event, and the distinct users, queries and pictures.

    Args:
        shop: whose events are read.
        rows: row of the catalogue by item id.
        held_out: share of the newest behaviours that is val, and again test, where the file marks no split.
        low_relevance: labels up to this are of low relevance.
        progress: told the events that are read.

    Raises:
        DataError: an event cannot be read.
    """
    user, item, query, picture = array("i"), array("i"), array("i"), array("i")
    behaviour, low, mark = array("b"), array("b"), array("b")
    key, at = array("I"), array("d")
    users: dict[str, int] = {}
    queries, pictures = {"": 0}, dict[str, int]()
    marked, ids = False, ACTIONS.behaviour_ids
    for done, event in enumerate(shop.events(), start=1):
        if done % _TELL == 0:
            progress("events", done, None)
        marked = marked or event.split is not None
        row, kind = rows.get(event.item, -1), ids.get(event.action, 0)
        is_low = row >= 0 and event.relevance is not None and event.relevance <= low_relevance
        if not kind and not is_low:
            continue
        text = normalise(event.query)
        user.append(-1 if event.user is None else users.setdefault(event.user, len(users)))
        item.append(row)
        query.append(queries.setdefault(text, len(queries)))
        picture.append(-1 if event.picture is None else pictures.setdefault(event.picture, len(pictures)))
        behaviour.append(kind)
        low.append(is_low)
        mark.append(_UNMARKED if event.split is None else SPLITS.index(event.split))
        key.append(zlib.crc32(f"{event.user or ''}\t{text}\t{event.item}".encode()))
        at.append(event.ts.timestamp())
    kinds, times = np.frombuffer(behaviour, np.int8), np.frombuffer(at)
    split = np.frombuffer(mark, np.int8)
    if marked:
        split = np.where(split == _UNMARKED, np.int8(TRAIN), split)
    else:
        split = Holdout.from_times(times[kinds > 0], held_out).splits(times)
    return EventLog(
        np.frombuffer(user, np.int32),
        np.frombuffer(item, np.int32),
        np.frombuffer(query, np.int32),
        np.frombuffer(picture, np.int32),
        kinds,
        np.frombuffer(low, np.bool_),
        split,
        np.frombuffer(key, np.uint32),
        times,
        len(users),
        list(queries),
        list(pictures),
    )
