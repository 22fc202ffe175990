"""The events file as columns, read once: examples, histories, co-clicks and validation are made from them."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from artifacts.actions import ACTIONS
from artifacts.bundle.text import normalise
from artifacts.shop.holdout import Holdout
from artifacts.shop.schema import SPLITS
from artifacts.shop.shop import Shop
from common.arrays import Bool
from common.progress import Progress, silent

_TELL = 5000
TRAIN, VAL = 0, 1
_UNMARKED = -1
#: What a label says: nothing, of low relevance, or an answer although the event is no behaviour.
LOW, ANSWERS = 1, 2
#: One event: rows of user, item, query and picture (-1 = none), id of the behaviour (0 = none), what its
#: label says, place of the split in `SPLITS`, CRC-32 of user, query and item (a sample is drawn by it), POSIX
#: seconds, and the label (NaN = none).
_NAMES = ("user", "item", "query", "picture", "behaviour", "low", "split", "key", "at", "grade")
_EVENT = np.dtype({"names": _NAMES, "formats": ["i4", "i4", "i4", "i4", "i1", "i1", "i1", "u4", "f8", "f4"]})
_PACK = struct.Struct("<4i3bIdf").pack


@dataclass(frozen=True)
class EventLog:
    """Behaviours, and events with a label, in the order of the file.

    Attributes:
        events: ``[n]``, see `_EVENT`; items that the catalogue lacks have the row -1.
        users: number of users.
        queries: distinct normalised queries; row 0 is the empty one.
        pictures: distinct paths of pictures.
    """

    events: npt.NDArray[np.void]
    users: int
    queries: list[str]
    pictures: list[str]

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        return self.events[column]

    @property
    def behave(self) -> Bool:
        """``[n]``, the behaviours of known users on items of the catalogue."""
        result: Bool = (self["user"] >= 0) & (self["item"] >= 0) & (self["behaviour"] > 0)
        return result

    @property
    def trains(self) -> Bool:
        """``[n]``, those of the train split."""
        result: Bool = self.behave & (self["split"] == TRAIN)
        return result


def read_log(
    shop: Shop,
    rows: Mapping[str, int],
    held_out: float,
    *,
    low_relevance: float = -1.0,
    progress: Progress = silent,
) -> EventLog:
    """Read the events once. Memory is some 40 bytes an event, and the distinct users, queries and pictures.

    Args:
        shop: whose events are read.
        rows: row of the catalogue by item id.
        held_out: share of the newest behaviours that is val, and again test, where the file marks no split.
        low_relevance: labels up to this are of low relevance, and those above it say that the item answers
            what was asked; below 0 labels are not read.
        progress: told the events that are read.

    Raises:
        DataError: an event cannot be read.
    """
    columns = bytearray()
    users: dict[str, int] = {}
    queries, pictures = {"": 0}, dict[str, int]()
    marked, ids = False, ACTIONS.behaviour_ids
    for done, event in enumerate(shop.events(), start=1):
        if done % _TELL == 0:
            progress("events", done, None)
        marked = marked or event.split is not None
        item, behaviour = rows.get(event.item, -1), ids.get(event.action, 0)
        label = 0
        if item >= 0 and event.relevance is not None and low_relevance >= 0:
            label = LOW if event.relevance <= low_relevance else 0 if behaviour else ANSWERS
        if not behaviour and not label:
            continue
        text = normalise(event.query)
        columns += _PACK(
            -1 if event.user is None else users.setdefault(event.user, len(users)),
            item,
            queries.setdefault(text, len(queries)),
            -1 if event.picture is None else pictures.setdefault(event.picture, len(pictures)),
            behaviour,
            label,
            _UNMARKED if event.split is None else SPLITS.index(event.split),
            zlib.crc32(f"{event.user or ''}\t{text}\t{event.item}".encode()),
            event.ts.timestamp(),
            math.nan if event.relevance is None else event.relevance,
        )
    events = np.frombuffer(columns, _EVENT)
    if marked:
        events["split"] = np.maximum(events["split"], TRAIN)
    else:
        holdout = Holdout.from_times(events["at"][events["behaviour"] > 0], held_out)
        events["split"] = holdout.splits(events["at"])
    return EventLog(events, len(users), list(queries), list(pictures))
