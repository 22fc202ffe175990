"""`VespaIndex`: the item index whose vectors live in Vespa."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

import numpy as np
import orjson

from common.deadline import Clock, Deadline
from index.filters import Filter
from index.port import F32, AttributeKind, IndexStats, IndexUnavailable, Neighbours, StoredVectors
from index.vespa import answer, names, rules
from index.vespa.endpoints import Endpoints
from index.vespa.errors import (
    DeadlinePassed,
    NoCoverage,
    NotDeployed,
    RequestRefused,
    VersionMismatch,
)
from index.vespa.query import Body, QueryBuilder
from index.vespa.settings import VespaSettings
from index.vespa.text import is_text
from index.vespa.transport import AiohttpTransport, Transport

T = TypeVar("T")

#: Budget of the count in `stats` and of the check at the start.
_ADMIN_BUDGET = 5.0
_SEARCH = "/search/"


class VespaIndex:
    """`ItemIndex` over one document type of a Vespa application.

    One vector is one query. Two or three are one query of labelled operators: the content nodes walk
    filter and summary once. Its hits are split by the label's closeness; Vespa cuts by the best label, and
    where that may have cut a vector's own neighbours (`answer.neighbours_of_each` can tell), that vector
    is asked for alone. More vectors are parallel queries: the operators of one query run after one
    another on a node, so many of them add up.
    """

    def __init__(
        self, settings: VespaSettings, *, transport: Transport | None = None, clock: Clock = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._transport = AiohttpTransport(settings) if transport is None else transport
        self._builder = QueryBuilder(settings)
        self._endpoints = Endpoints(
            settings.endpoints,
            self._transport,
            settings.breaker,
            least_budget=settings.query.least_budget,
            clock=clock,
        )

    @property
    def version(self) -> str:
        """The document type; its content changes while it is served."""
        return self._settings.document_type

    @property
    def bundle_version(self) -> str:
        """The bundle whose item tower made the vectors."""
        return self._settings.bundle_version

    @property
    def revision(self) -> None:
        """Others feed Vespa; it does not say when."""

    @property
    def attributes(self) -> Mapping[str, AttributeKind]:
        """What can be filtered by."""
        return self._settings.attributes

    @property
    def open_circuits(self) -> int:
        """Endpoints that are being left alone, for metrics."""
        return self._endpoints.open_circuits

    async def search(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """See `ItemIndex.search`.

        Raises:
            IndexUnavailable: one of `errors`, when any vector has no answer.
            RuleBroken: vectors or filters that this index cannot be asked with.
        """
        rules.vectors(vectors, self._settings.dimension)
        count = len(vectors)
        if k <= 0 or count == 0:
            return [Neighbours([], np.empty(0, dtype=np.float32)) for _ in range(count)]
        if count == 1:
            return [await self._search_one(vectors[0], k, filters, deadline)]
        if count <= names.MAX_LABELS and k * count <= self._settings.query.max_hits:
            return await self._search_labelled(vectors, k, filters, deadline)
        return await _all([self._search_one(row, k, filters, deadline) for row in vectors])

    async def search_exact(
        self, vector: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> Neighbours:
        """The ``k`` nearest items of one vector ``[dim]`` without the graph: to shadow and to verify.

        Raises:
            IndexUnavailable: as `search`.
        """
        rules.vectors(vector[None], self._settings.dimension)
        body = self._builder.nearest(vector, k, filters, self._budget(deadline), approximate=False)
        return answer.neighbours(await self._ask(body, deadline))

    async def rank_all(self, vector: F32, k: int, filters: Filter | None, deadline: Deadline) -> Neighbours:
        """The ``k`` nearest items of one vector ``[dim]`` by the ``exact`` profile, which ranks every item.

        Raises:
            IndexUnavailable: as `search`.
        """
        rules.vectors(vector[None], self._settings.dimension)
        body = self._builder.exact(vector, k, filters, self._budget(deadline))
        return answer.neighbours(await self._ask(body, deadline))

    async def vectors(self, ids: Sequence[str], deadline: Deadline) -> StoredVectors:
        """See `ItemIndex.vectors`; one query for up to ``max_hits`` ids."""
        # An id that no document can have is unknown.
        wanted = [item for item in dict.fromkeys(ids) if len(item) > 0 and is_text(item)]
        step = self._settings.query.max_hits
        if not wanted:
            return StoredVectors([], np.empty((0, self._settings.dimension), dtype=np.float32))
        if len(wanted) <= step:
            return await self._stored(wanted, deadline)
        chunks = [wanted[i : i + step] for i in range(0, len(wanted), step)]
        parts = await _all([self._stored(chunk, deadline) for chunk in chunks])
        return StoredVectors(
            [item for part in parts for item in part.ids], np.concatenate([part.vectors for part in parts])
        )

    async def count(self, filters: Filter | None, deadline: Deadline) -> int:
        """How many items match.

        Raises:
            IndexUnavailable: as `search`.
        """
        return (await self._ask(self._builder.count(filters, self._budget(deadline)), deadline)).total

    async def stats(self) -> IndexStats:
        """Items as of now; -1 where Vespa does not say."""
        try:
            items = await self.count(None, Deadline.after(_ADMIN_BUDGET, self._clock))
        except IndexUnavailable:
            items = -1
        return IndexStats("vespa", items, f"hnsw_bfloat16:{self._settings.document_type}")

    async def check(self, deadline: Deadline | None = None) -> None:
        """Make sure that the deployed schema is the one of this bundle; called when the service starts.

        A search is sent with a tensor of our width: a missing rank profile, a tensor of another size and a
        missing attribute are refused by Vespa itself, and an unknown document type is answered with
        nothing at all. A version with no documents yet passes.

        Raises:
            VersionMismatch: the document type is not deployed, or has another shape.
            IndexUnavailable: Vespa did not answer.
        """
        limit = Deadline.after(_ADMIN_BUDGET, self._clock) if deadline is None else deadline
        probe = np.zeros(self._settings.dimension, dtype=np.float32)
        probe[0] = 1.0
        try:
            with contextlib.suppress(NoCoverage):
                await self._search_one(probe, 1, None, limit)
            with contextlib.suppress(NoCoverage):
                await self._ask(self._builder.attribute_probe(self._budget(limit)), limit)
        except (RequestRefused, NotDeployed) as error:
            raise VersionMismatch(
                f"bundle {self._settings.bundle_version} needs the document type "
                f"{self._settings.document_type} with width {self._settings.dimension} and attributes "
                f"{', '.join(sorted(self._settings.attributes))}; Vespa says: {error}"
            ) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def __aenter__(self) -> VespaIndex:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _search_one(
        self, vector: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> Neighbours:
        body = self._builder.nearest(vector, k, filters, self._budget(deadline))
        return answer.neighbours(await self._ask(body, deadline))

    async def _search_labelled(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        body = self._builder.nearest_of_each(vectors, k, filters, self._budget(deadline))
        got = await self._ask(body, deadline)
        lists = answer.neighbours_of_each(got, len(vectors), k, k * len(vectors))
        alone = [row for row, found in enumerate(lists) if found is None]
        again = await _all([self._search_one(vectors[row], k, filters, deadline) for row in alone])
        for row, found in zip(alone, again, strict=True):
            lists[row] = found
        return [found for found in lists if found is not None]

    async def _stored(self, ids: Sequence[str], deadline: Deadline) -> StoredVectors:
        got = await self._ask(self._builder.stored(ids, self._budget(deadline)), deadline)
        return answer.stored_vectors(got, ids, self._settings.dimension)

    def _budget(self, deadline: Deadline) -> float:
        """Seconds that Vespa may take: what is left, less the way there and back.

        Raises:
            DeadlinePassed: less than the least is left.
        """
        left = deadline.remaining()
        if left < self._settings.query.least_budget:
            raise DeadlinePassed(f"{left * 1000:.1f} ms left")
        return max(left - self._settings.query.network_margin, left / 2)

    async def _ask(self, body: Body, deadline: Deadline) -> answer.Answer:
        reply = await self._endpoints.send("POST", _SEARCH, orjson.dumps(body), deadline)
        return answer.parse(
            reply.status, reply.body, hits_beside_errors=self._settings.query.hits_beside_errors
        )


async def open_vespa_index(settings: VespaSettings, *, check: bool = True) -> VespaIndex:
    """The index, after making sure that what is deployed belongs to the bundle.

    Raises:
        VersionMismatch, IndexUnavailable: as `VespaIndex.check`; nothing is left open.
    """
    index = VespaIndex(settings)
    if check:
        try:
            await index.check()
        except BaseException:
            await index.close()
            raise
    return index


async def _all(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Results in order; the first failure cancels the rest and is raised as it is."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
