"""`VespaIndex`: the item index whose vectors live in Vespa."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from artifacts.popularity import POPULARITY
from common.arrays import F32
from common.deadline import Clock, Deadline
from index.filters import Filter
from index.port import IndexStats, IndexUnavailable, Neighbours
from index.vespa import answer, names
from index.vespa.asking import all_of, ask
from index.vespa.endpoints import Endpoints
from index.vespa.errors import NoCoverage, NotDeployed, RequestRefused, VersionMismatch, VespaError
from index.vespa.query import Body, QueryBuilder
from index.vespa.settings import VespaSettings
from index.vespa.shadow import Shadow, ask_exactly
from index.vespa.stored import HIT_BYTES, StoredItems
from index.vespa.tensors import check_unit
from index.vespa.transport import Transport

#: Seconds for the count in `stats` and for the check at the start.
_ADMIN_BUDGET: Final = 5.0


class VespaIndex(StoredItems):
    """`ItemIndex` over one document type of a Vespa application: one query a vector, side by side."""

    #: Others feed Vespa, and it does not say when.
    revision = None

    def __init__(
        self, settings: VespaSettings, *, transport: Transport | None = None, clock: Clock = time.monotonic
    ) -> None:
        self._version = settings.version
        self._clock = clock
        self.builder = QueryBuilder(settings.version, settings.search)
        self._endpoints = Endpoints(settings.endpoints, clock, transport)
        #: Sends one query; see `asking.ask`.
        self.ask = partial(ask, self._endpoints)
        self.shadow: Shadow | None = None
        if settings.shadow.share:
            # Its failures open no circuit of ours.
            self._apart = Endpoints(replace(settings.endpoints, connections=1), clock)
            exact, told = partial(ask_exactly, self._apart, self.builder), self._endpoints.shadowed
            self.shadow = Shadow(settings.shadow, exact, lambda: self._endpoints.is_idle, told, clock)
        #: The containers, for metrics.
        self.calls = self._endpoints
        #: The document type; its content changes while it is served.
        self.version = settings.version.document_type
        self.bundle_version = settings.version.bundle_version
        self.attributes = settings.version.attributes

    async def search(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """See `ItemIndex.search`.

        Raises:
            IndexUnavailable: one of `errors`, when any vector has no answer.
            ValueError: the vectors are not finite rows of unit length, as wide as the index.
        """
        check_unit(vectors, self._version.dimension)
        if k <= 0:
            return [Neighbours([], np.empty(0, dtype=np.float32)) for _ in vectors]
        found = await all_of([self._search(row, k, filters, deadline) for row in vectors])
        if self.shadow is not None:
            self.shadow.offer(vectors[0], k, filters, found[0])
        return found

    async def search_text(
        self, texts: Sequence[str], k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """See `LexicalIndex.search_text`.

        Raises:
            IndexUnavailable: as `search`; ``no-texts`` where the version holds none.
        """
        return await all_of([self._search_words(text, k, filters, deadline) for text in texts])

    @property
    def picture_dim(self) -> int:
        """See `PhotoIndex`; 0 where items are not found by pictures."""
        return self._version.picture_dim

    async def search_pictures(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """See `PhotoIndex.search_pictures`.

        Raises:
            IndexUnavailable, ValueError: as `search`.
        """
        check_unit(vectors, self.picture_dim)
        return await all_of([self._search_pictures(row, k, filters, deadline) for row in vectors])

    async def top(self, attribute: str, k: int, filters: Filter | None, deadline: Deadline) -> Neighbours:
        """See `RankedIndex.top`; by popularity alone, for which a version has a rank profile.

        Raises:
            IndexUnavailable: as `search`.
            ValueError: another attribute, or the version does not have it.
        """
        if attribute != POPULARITY or not self._version.popular:
            raise ValueError(f"{self.version} does not list items by {attribute}")
        body = partial(self.builder.popular, k, filters)
        return answer.scored(await self.ask(body, deadline, k * HIT_BYTES))

    async def search_exact(
        self, vector: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> Neighbours:
        """The ``k`` nearest items of one vector ``[dim]`` without the graph: to measure the graph's recall.

        Raises:
            IndexUnavailable, ValueError: as `search`.
        """
        check_unit(vector[None], self._version.dimension)
        return await self._search(vector, k, filters, deadline, approximate=False)

    async def count(
        self, deadline: Deadline, *, item: str | None = None, filters: Filter | None = None
    ) -> int:
        """How many items there are; or 1 where ``item`` is there and meets the filters, else 0.

        Raises:
            IndexUnavailable: as `search`.
        """
        body = partial(self.builder.count, item=item, filters=filters)
        return (await self.ask(body, deadline)).total

    async def older(self, feed_ver: int, deadline: Deadline) -> tuple[list[str], int]:
        """Items that were fed with a version below ``feed_ver``: some of them, and how many there are.

        Raises:
            IndexUnavailable: as `search`; also where not every item was looked at.
        """
        body = partial(self.builder.older, feed_ver, names.MAX_HITS)
        found = await self.ask(body, deadline, names.MAX_HITS * HIT_BYTES)
        if found.coverage < 1.0 or found.degraded:
            raise VespaError("no_coverage", f"only {found.coverage:.0%} of the items were looked at")
        return answer.item_ids(found), found.total

    async def stats(self) -> IndexStats:
        """Items as of now; -1 where Vespa does not say."""
        try:
            items = await self.count(Deadline.after(_ADMIN_BUDGET, self._clock))
        except IndexUnavailable:
            items = -1
        return IndexStats("vespa", items, f"hnsw_{self._version.vectors}:{self._version.document_type}")

    async def check(self, deadline: Deadline | None = None) -> None:
        """Make sure that the schema of this version is deployed; called when the service starts.

        Queries are sent: a search with a vector of the version's width, one that names every attribute, and,
        where items are found by words, one by a word. Vespa refuses them where a rank profile, the width or
        an attribute is another, and answers with nothing at all where it does not know the document type. A
        version without documents passes.

        Raises:
            VersionMismatch: the document type is not deployed, or has another shape.
            IndexUnavailable: Vespa did not answer.
        """
        limit = Deadline.after(_ADMIN_BUDGET, self._clock) if deadline is None else deadline
        probe = np.zeros(self._version.dimension, dtype=np.float32)
        probe[0] = 1.0
        try:
            with contextlib.suppress(NoCoverage):
                await self._search(probe, 1, None, limit)
            with contextlib.suppress(NoCoverage):
                await self.ask(self.builder.attribute_probe, limit)
            if self._version.texts is not None:
                with contextlib.suppress(NoCoverage):
                    await self._search_words("a", 1, None, limit)
            if self.picture_dim:
                photo = np.eye(1, self.picture_dim, dtype=np.float32)[0]
                with contextlib.suppress(NoCoverage):
                    await self._search_pictures(photo, 1, None, limit)
        except (RequestRefused, NotDeployed) as error:
            raise VersionMismatch(
                f"bundle {self._version.bundle_version} needs the document type "
                f"{self._version.document_type} with width {self._version.dimension} and attributes "
                f"{', '.join(sorted(self._version.attributes))}; Vespa says: {error}"
            ) from error

    async def close(self) -> None:
        """Close every connection."""
        if self.shadow is not None:
            await self.shadow.close()
            await self._apart.close()
        await self._endpoints.close()

    async def __aenter__(self) -> VespaIndex:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _search(
        self,
        vector: F32,
        k: int,
        filters: Filter | None,
        deadline: Deadline,
        *,
        approximate: bool = True,
    ) -> Neighbours:
        def body(budget: float) -> Body:
            return self.builder.nearest(vector, k, filters, budget, approximate=approximate)

        return answer.neighbours(await self.ask(body, deadline, k * HIT_BYTES))

    async def _search_words(
        self, text: str, k: int, filters: Filter | None, deadline: Deadline
    ) -> Neighbours:
        if self._version.texts is None:
            raise IndexUnavailable("no-texts")
        words = self._version.texts.query(text)
        if not words or k <= 0:
            return Neighbours([], np.empty(0, dtype=np.float32))
        body = partial(self.builder.words, words, k, filters)
        return answer.scored(await self.ask(body, deadline, k * HIT_BYTES))

    async def _search_pictures(
        self, vector: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> Neighbours:
        body = partial(self.builder.pictures, vector, k, filters)
        return answer.neighbours(await self.ask(body, deadline, k * HIT_BYTES))
