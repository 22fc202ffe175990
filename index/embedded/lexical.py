"""Searches of an index by words, beside its searches by vectors: same rows, filters and changes."""

from __future__ import annotations

from collections.abc import Sequence

from common.deadline import Deadline
from common.turns import Turns
from index.embedded.buffer_words import best_of
from index.embedded.live import LiveIndex
from index.embedded.nearest import merged
from index.embedded.state import State
from index.embedded.workers import Step, TooMuch, Workers, limited
from index.filters import Filter
from index.port import IndexUnavailable, Neighbours

#: Rows that a search may add up on the event loop, which takes a millisecond; longer ones go to a thread.
#: *Inferred*, as `readable.AT_ONCE`.
AT_ONCE = 100_000
#: What a row of the write buffer costs, in rows of the base: it is cleared, added to and looked at.
_BUFFERED = 1


class EmbeddedLexical:
    """A `LexicalIndex` over one index folder."""

    def __init__(self, live: LiveIndex, workers: Workers) -> None:
        self._live = live
        self._workers = workers
        self._turns = Turns()

    async def search_text(
        self, texts: Sequence[str], k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """The ``k`` items that are best by BM25 for each text; exact, equal scores in a fixed order.

        Short searches run on the event loop, others on a thread.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded``, ``closed``, ``damaged``, or ``no-texts``: the base
                was replaced by one that holds none.
            ValueError: ``k`` below 1.
        """
        self._workers.check_open()
        live = self._live
        live.check_files()
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1")
        if not live.behind:
            await self._turns.take()
        if not live.behind:  # after the turn: to read changes takes long
            try:
                return _search(live, live.state, texts, k, filters, limited(AT_ONCE, deadline))
            except TooMuch:
                pass  # what is done twice is a small part of the whole
        return await self._workers.run(
            lambda step: _search(live, live.current(), texts, k, filters, step), deadline
        )


def _search(
    live: LiveIndex, state: State, texts: Sequence[str], k: int, accepted: Filter | None, step: Step
) -> list[Neighbours]:
    return [_best(live, state, text, k, accepted, step) for text in texts]


def _best(
    live: LiveIndex, state: State, text: str, k: int, accepted: Filter | None, step: Step
) -> Neighbours:
    base, held, put = state.base, state.base.words, state.buffer.words
    if held is None or put is None:
        raise IndexUnavailable("no-texts")
    words = held.query(text)
    selection = base.selections.get(accepted, step)
    while True:
        step(state.buffer.rows * _BUFFERED)
        alive = state.tombstones.alive if state.tombstones.count else None
        rows, scores = held.best(words, k, selection, alive, step)
        if not state.changes:
            return Neighbours(base.ids.ids(rows), scores)
        with live.lock:
            stale = not state.tombstones.alive[rows].all()
            found = state.buffer.accepted(accepted)
            sums = put.sums(words)
        # A row that got a tombstone since the base was searched makes it be searched again.
        if not stale:
            return Neighbours(*merged(base.ids.ids(rows), scores, state.buffer, best_of(sums, found, k), k))
