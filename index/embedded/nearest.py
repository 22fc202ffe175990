"""The best items as of a state: of its base and of what was put since, in one order.

The state is the one of `LiveIndex.current`, or `LiveIndex.state` where the index is not `behind`. That takes
two system calls, so a request asks it once for each thing that it asks of the index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from common.arrays import F32, I64
from index.embedded.live import LiveIndex
from index.embedded.selection import Selection
from index.embedded.state import State
from index.embedded.top import best, largest
from index.embedded.workers import Step
from index.embedded.write_buffer import WriteBuffer, search_snapshot
from index.filters import Filter
from index.port import ExactAnswer, Neighbours

#: What a row of the write buffer costs, in rows of the base: it is twice as wide, and its filter is not kept.
_BUFFERED = 3


def search(
    live: LiveIndex, state: State, queries: F32, k: int, accepted: Filter | None, step: Step
) -> list[Neighbours]:
    """The ``k`` nearest items of each query; raises what ``step`` raises."""
    selection = state.base.selections.get(accepted, step)
    return [_nearest(live, state, query, k, selection, accepted, step) for query in queries]


def search_exact(
    live: LiveIndex, state: State, query: F32, k: int, accepted: Filter | None, step: Step
) -> ExactAnswer:
    """The ``k`` nearest items of a query, without probing; raises what ``step`` raises."""
    usual = state.base.selections.get(accepted, step)
    selection = replace(usual, matches=None, rows=usual.rows if usual.bits is None else None)
    near = _nearest(live, state, query, k, selection, accepted, step)
    return ExactAnswer(near, selection.count / max(1, state.base.rows))


def search_pictures(
    live: LiveIndex, state: State, queries: F32, k: int, accepted: Filter | None, step: Step
) -> list[Neighbours]:
    """The ``k`` items whose pictures are nearest to each query; raises what ``step`` raises."""
    return [_nearest_pictures(live, state, query, k, accepted, step) for query in queries]


def top(
    live: LiveIndex, state: State, attribute: str, k: int, accepted: Filter | None, step: Step
) -> Neighbours:
    """The ``k`` items with the largest values of a number attribute; raises what ``step`` raises."""
    selection = state.base.selections.get(accepted, step)
    while True:
        step(state.buffer.rows)
        rows, values = state.base.ordered.top(attribute, k, selection, state.tombstones, step)
        with live.lock:
            put, given = state.buffer.numbers(attribute, accepted)
            stale = not state.tombstones.alive[rows].all()
        if not stale:
            break
    put, given = best(put, given, k)
    names = [state.buffer.ids[row] for row in put.tolist()]
    return Neighbours(*largest(state.base.ids.ids(rows), values, names, given, k))


def _nearest_pictures(
    live: LiveIndex, state: State, query: F32, k: int, accepted: Filter | None, step: Step
) -> Neighbours:
    def searched() -> tuple[I64, F32]:
        pictures = state.base.pictures
        if pictures is None:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        selection = pictures.searched.selections.get(accepted, step)
        rows, scores = pictures.searched.search(query, k, selection, state.picture_tombstones, step)
        return pictures.items[rows], scores

    return _with_put(live, state, query, k, searched, lambda: state.buffer.picture_snapshot(accepted), step)


def _nearest(
    live: LiveIndex,
    state: State,
    query: F32,
    k: int,
    selection: Selection,
    accepted: Filter | None,
    step: Step,
) -> Neighbours:
    def searched() -> tuple[I64, F32]:
        return state.base.search(query, k, selection, state.tombstones, step)

    return _with_put(live, state, query, k, searched, lambda: state.buffer.snapshot(accepted), step)


def _with_put(
    live: LiveIndex,
    state: State,
    query: F32,
    k: int,
    searched: Callable[[], tuple[I64, F32]],
    put: Callable[[], tuple[I64, F32]],
    step: Step,
) -> Neighbours:
    """The best of what ``searched`` finds in the base and of what was ``put`` since, as of one moment."""
    while True:
        step(state.buffer.rows * _BUFFERED)
        rows, scores = searched()
        if not state.changes:
            return Neighbours(state.base.ids.ids(rows), scores)
        with live.lock:
            snapshot = put()
            stale = not state.tombstones.alive[rows].all()
        # A row that got a tombstone since the base was searched makes it be searched again.
        if not stale:
            break
    ids = state.base.ids.ids(rows)
    if len(snapshot[0]):
        ids, scores = merged(ids, scores, state.buffer, search_snapshot(snapshot, query, k), k)
    return Neighbours(ids, scores)


def merged(
    ids: list[str], scores: F32, buffer: WriteBuffer, found: tuple[I64, F32], k: int
) -> tuple[list[str], F32]:
    """The ``k`` best of the base's results and the write buffer's; equal scores with the base's first."""
    rows, more = found
    ids = ids + [buffer.ids[row] for row in rows.tolist()]
    scores = np.concatenate([scores, more])
    order = np.argsort(-scores, kind="stable")[:k]
    return [ids[place] for place in order.tolist()], scores[order]
