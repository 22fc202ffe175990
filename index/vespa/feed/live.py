"""Changes to one version of a Vespa application while it is searched: the `WritableIndex` over Vespa.

A change is written to the ledger first, as that of a file of changes is: so the feed of a folder that runs
meanwhile, or comes later, does not undo it, and what Vespa did not take is sent with the next change of the
item. It is acknowledged when Vespa has taken it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from artifacts.attributes import CATEGORY
from common.deadline import Clock, Deadline
from index.changes import ChangeRefused, ItemPut, ItemUpdate, Keep, WriteResult
from index.port import IndexFull, IndexUnavailable
from index.vespa import names
from index.vespa.client import VespaIndex
from index.vespa.endpoints import Endpoints
from index.vespa.feed.delivery import Delivery
from index.vespa.feed.ledger import FeedRefused, Ledger
from index.vespa.feed.merged import Change, Merged
from index.vespa.feed.operations import ItemRefused, Operations
from index.vespa.feed.report import FeedReport, FeedStopped, Outcome
from index.vespa.feed.source import new_feed_version
from index.vespa.joined import JoinedVespaIndex
from index.vespa.settings import FeedSettings, VespaSettings

T = TypeVar("T")

#: Items of a call that are sent before the next ones are looked at; *inferred*.
_TOGETHER: Final = 256
#: Times that a call sends what others changed of its items meanwhile; who comes later sees to the rest.
_MOST_PASSES: Final = 5
#: Tries are few and pauses short where somebody waits for the answer; the caller's deadline ends them.
LIVE: Final = FeedSettings(
    window_max=64, request_timeout=10.0, attempts=4, backoff=0.05, backoff_max=1.0, pause_blocked=1.0
)


class LiveVespaIndex(VespaIndex):
    """A `VespaIndex` that takes changes.

    Args:
        settings: of the version.
        package: the folder with the ledgers, which all who feed the version share.
        feeding: how changes are sent.
        clock: of deadlines.
    """

    def __init__(
        self,
        settings: VespaSettings,
        package: Path,
        feeding: FeedSettings = LIVE,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(settings, clock=clock)
        self._package = package
        self._feeding = feeding
        self._operations = Operations(settings.version)
        self._feed = Endpoints(settings.endpoints, clock)
        #: One thread has the ledger, so that its file is opened once and changes are written in their order.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vespa-ledger")
        self._ledger: Ledger | None = None
        self._last = 0
        self._shut = False

    def refusal(self, item_id: str, category: str, attributes: Mapping[str, object]) -> str | None:
        """Why no item of these can be put; see `WritableIndex`."""
        try:
            described = {**attributes, CATEGORY: category}
            self._operations.update(item_id, described, 1)  # type: ignore[arg-type]  # it checks the values
        except ItemRefused as error:
            return str(error)
        return None

    async def upsert(self, items: Sequence[ItemPut], deadline: Deadline) -> WriteResult:
        """Add items, or replace those with the same ids; see `WritableIndex`."""
        changes = [
            self._change(
                "put",
                item.id,
                item.attributes,
                item.category,
                item.vector,
                item.texts,
                item.picture,
                _kept(item.keep),
                item.features,
            )
            for item in items
        ]
        await self._make(changes, deadline)
        return WriteResult(len(changes))

    async def update(self, updates: Sequence[ItemUpdate], deadline: Deadline) -> WriteResult:
        """Change some attributes of items; see `WritableIndex`.

        Those of items that are not there are kept, and applied when a folder brings the item.
        """
        changes = [
            self._change("update", each.id, each.attributes, each.category, texts=each.texts)
            for each in updates
        ]
        unknown = await self._unknown([each.id for each in updates], deadline)
        await self._make(changes, deadline)
        return WriteResult(len(changes) - len(unknown), unknown)

    async def remove(self, ids: Sequence[str], deadline: Deadline) -> WriteResult:
        """Delete items; see `WritableIndex`."""
        distinct = list(dict.fromkeys(ids))
        changes = [self._change("remove", item_id) for item_id in distinct]
        unknown = await self._unknown(distinct, deadline)
        await self._make(changes, deadline)
        return WriteResult(len(distinct) - len(unknown), unknown)

    async def close(self) -> None:
        """Close every connection, and the ledger."""
        self._shut = True
        await super().close()
        await self._feed.close()
        await asyncio.to_thread(self._thread.shutdown)
        if self._ledger is not None:
            self._ledger.close()

    def _change(
        self,
        kind: Any,
        item_id: str,
        attributes: Mapping[str, Any] | None = None,
        category: str | None = None,
        vector: Any = None,
        texts: Mapping[str, str] | None = None,
        picture: Any = None,
        kept: frozenset[str] = frozenset(),
        features: Any = None,
    ) -> Change:
        """A change, later than all before it, checked.

        Raises:
            ChangeRefused: Vespa would not take it, or misread it.
        """
        self._last = max(new_feed_version(), self._last + 1)
        described = dict(attributes or {})
        if category is not None:
            described[CATEGORY] = category
        if texts and self._version.texts is not None:
            described[names.TEXTS] = dict(texts)
        if picture is not None and self._version.picture_dim:
            described[names.PICTURE_FEATURE] = picture.tolist()
        if features is not None and self._version.features is not None:
            described[names.ITEM_FEATURES] = features.tolist()
        cells = None if vector is None else np.asarray(vector, np.float32).tolist()
        change = Change(kind, item_id, self._last, described, cells, kept)
        try:
            change.operation(self._operations)
        except (ValueError, TypeError) as error:
            raise ChangeRefused(item_id, str(error)) from error
        return change

    async def _unknown(self, ids: Sequence[str], deadline: Deadline) -> tuple[str, ...]:
        """Those that are not there; none where a part of the index did not answer."""
        try:
            stored = await self.vectors(ids, deadline)
        except IndexUnavailable:
            return ()
        known = set(stored.ids)
        return tuple(item_id for item_id in ids if item_id not in known) if stored.coverage == 1 else ()

    async def _make(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Write changes to the ledger, and send them; all are taken when this returns.

        Raises:
            IndexUnavailable: some may not be taken; those that the ledger has come with the next change.
        """
        if self._shut:
            raise IndexUnavailable("closed")
        report = FeedReport()
        try:
            async with asyncio.timeout(deadline.remaining()):
                for start in range(0, len(changes), _TOGETHER):
                    await self._settle(changes[start : start + _TOGETHER], report)
        except TimeoutError as error:
            blocked = report.retries["status 507"]
            why = "a node is out of disk or memory, and the feed is blocked" if blocked else "not in time"
            raise IndexUnavailable("timeout", f"{why}; the change may have been done or not") from error

    async def _settle(self, changes: Sequence[Change], report: FeedReport) -> None:
        """Make changes, and what others change of the same items meanwhile.

        Vespa keeps no trace of what it removed. So whoever sends looks at the ledger afterwards: what it was
        told of an item since, which may have overtaken this on its way, is sent once more. What was written
        since counts, not what is of a later version: of a removal, an update after it and a put between
        them, in whatever order they come, all are sent with the update's version.
        """
        states, sequence = await self._on_ledger(lambda ledger: (ledger.record(changes), ledger.recorded))
        sent: dict[str, Merged] = {}
        for change, state in zip(changes, states, strict=True):
            if state is None:
                detail = "the folder fed last is of a later time than this machine's clock tells"
                raise IndexUnavailable("clock", detail)
            sent[change.item_id] = state  # of several of one item the last has all of it
        for _ in range(_MOST_PASSES):
            await self._send(sent, report)
            later = partial(Ledger.written_after, ids=list(sent), sequence=sequence)
            sequence, sent = await self._on_ledger(later)
            if not sent:
                return

    async def _send(self, states: Mapping[str, Merged], report: FeedReport) -> None:
        delivery = Delivery(self._operations, self._feed, self._feeding, report, self._clock, asyncio.sleep)
        operations = [state.operation(self._operations, item_id) for item_id, state in states.items()]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(delivery.deliver(each, group)) for each in operations]
        except BaseExceptionGroup as errors:
            first = errors.exceptions[0]
            if isinstance(first, FeedStopped):
                raise IndexUnavailable("feed_stopped", str(first)) from first
            raise first from None
        for settled in (task.result() for task in tasks):
            if settled.outcome is Outcome.FAILED:
                raise IndexUnavailable("feed_failed", settled.reason)

    async def _on_ledger(self, ask: Callable[[Ledger], T]) -> T:
        """What the ledger says, asked on its thread.

        Raises:
            IndexUnavailable: it cannot be read or written.
        """

        def asked() -> T:
            if self._ledger is None:
                self._ledger = Ledger.of(self._package, self._version.document_type)
            return ask(self._ledger)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, asked)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise IndexFull(f"the ledger of changes: {error}") from error
            raise IndexUnavailable("ledger", f"the ledger of changes: {error}") from error
        except (FeedRefused, sqlite3.Error, OSError) as error:
            raise IndexUnavailable("ledger", f"the ledger of changes: {error}") from error


def _kept(keep: Keep) -> frozenset[str]:
    """What stays of an item, by the names that the ledger has for it."""
    names_kept = set(keep.attributes)
    if keep.texts:
        names_kept.add(names.TEXTS)
    if keep.picture:
        names_kept.add(names.PICTURE_FEATURE)
    return frozenset(names_kept)


class LiveJoinedVespaIndex(LiveVespaIndex, JoinedVespaIndex):
    """A `LiveVespaIndex` over a package whose rank profiles bring vectors with the hits."""
