"""The last behaviours of every user of a log, in columns: 17 bytes for each, whatever the log's order."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from artifacts.actions import ACTIONS
from artifacts.cache.codec import microseconds

#: One row of a log: user, item, action, time.
LogRow = tuple[str, str, str, datetime]


@dataclass(frozen=True)
class Histories:
    """Behaviours of user ``u`` are rows ``offsets[u]:offsets[u + 1]``, most recent first.

    ``items`` int32 index into ``item_ids``, ``actions`` int8 `behaviour_ids`, ``times`` int64
    microseconds since 1970.
    """

    users: Sequence[str]
    item_ids: Sequence[str]
    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    actions: npt.NDArray[np.int8]
    times: npt.NDArray[np.int64]

    @classmethod
    def collect(
        cls, log: Iterable[LogRow], limit: int, behaviours: Sequence[str], *, one_slot: bool = False
    ) -> Histories:
        """Read a log in any order, and keep the last ``limit`` behaviours of each user.

        With ``one_slot`` an item has one place, that of the last action on it, as `recent` has it.

        What is none of the ``behaviours`` that the bundle was trained with is left out, and of rows that are
        equal in all four one counts.
        """
        ids = {name: ACTIONS.behaviour_ids[name] for name in behaviours}
        users: dict[str, int] = {}
        item_ids: dict[str, int] = {}
        rows = (array("i"), array("i"), array("b"), array("q"))
        for user, item, action, ts in log:
            if (behaviour := ids.get(action)) is not None:
                rows[0].append(users.setdefault(user, len(users)))
                rows[1].append(item_ids.setdefault(item, len(item_ids)))
                rows[2].append(behaviour)
                rows[3].append(microseconds(ts))
        columns = [np.frombuffer(row, dtype=row.typecode) for row in rows]
        # Behaviours of the same time by the name of their item, as `merged` orders them.
        by_name = np.empty(len(item_ids), dtype=np.int32)
        by_name[sorted(item_ids.values(), key=list(item_ids).__getitem__)] = np.arange(len(item_ids))
        who, items, actions, times = columns
        order = np.lexsort((actions, by_name[items], -times, who))
        columns = [column[order] for column in columns]
        kept = ~_repeats(*columns)
        if one_slot:
            pairs = columns[0].astype(np.int64) * max(1, len(item_ids)) + columns[1]
            kept = np.zeros(len(pairs), dtype=np.bool_)
            kept[np.unique(pairs, return_index=True)[1]] = True
        columns = [column[kept] for column in columns]
        who = columns[0]
        newest = np.arange(len(who)) - np.searchsorted(who, who, side="left") < limit
        who, items, actions, times = (column[newest] for column in columns)
        offsets = np.searchsorted(who, np.arange(len(users) + 1)).astype(np.int64)
        return cls(list(users), list(item_ids), offsets, items, actions, times)

    def __len__(self) -> int:
        """Users."""
        return len(self.users)

    def parts(self) -> tuple[list[str], list[bytes]]:
        """Everything that a digest of the histories covers: names, and bytes of the columns."""
        columns = (self.offsets, self.items, self.actions, self.times)
        return [*self.users, "", *self.item_ids], [column.tobytes() for column in columns]


def _repeats(*columns: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Whether a row equals the one before it."""
    same = np.ones(max(len(columns[0]) - 1, 0), dtype=np.bool_)
    for column in columns:
        same &= column[1:] == column[:-1]
    return np.concatenate([np.zeros(min(len(columns[0]), 1), dtype=np.bool_), same])
