"""Several things in one query: what Q2I and I2I need of Vespa takes two round trips.

Of vectors only those of triggers come; that others are close to the query is told by their cosines.

Which neighbours belong to which vector is told by their cosines to each, which come with the hits. Of all the
content nodes' finds only so many come as are worth it, the nearest to any of the vectors first; so a vector
whose last neighbour is nearer than the last hit has all of its neighbours. One that has not, since others
have nearer ones on many nodes, is asked for by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from common.arrays import F32
from common.deadline import Deadline
from index.filters import Filter
from index.port import FirstSearch, Neighbours, Related
from index.vespa import answer, names
from index.vespa.asking import all_of, both
from index.vespa.client import VespaIndex
from index.vespa.stored import HIT_BYTES
from index.vespa.tensors import check_unit
from index.vespa.text import is_text

#: Hits asked for as a multiple of the neighbours wanted, at most: so many content nodes of a group can be
#: answered at once. *Inferred*.
_MOST_SPREAD: Final = 8.0
#: How fast a spread that is no longer seen is forgotten, each query.
_FORGET: Final = 0.02
#: The profiles of a package (`names.PROFILES`) from which on the first search says what filters let pass.
_TELLS_NEAR: Final = 4
#: Characters that would end a label in a tensor's text.
_ENDS_LABEL: Final = frozenset("\"'\\{}")


class JoinedVespaIndex(VespaIndex):
    """`FarIndex` over a package whose rank profiles bring vectors and cosines with the hits."""

    #: Finds of all nodes for each neighbour that was wanted, as seen lately.
    _spread = 1.0

    async def first_search(
        self,
        vector: F32,
        k: int,
        filters: Filter | None,
        deadline: Deadline,
        *,
        ids: Sequence[str],
        head: int,
    ) -> FirstSearch:
        """See `FarIndex.first_search`; a second query beside it where odd ids, or many, ask for one.

        And where there are filters, and the package is of a release whose profile does not say which of the
        ids they let pass.

        Raises:
            IndexUnavailable, ValueError: as `search`.
        """
        check_unit(vector[None], self._version.dimension)
        wanted = [item for item in dict.fromkeys(ids) if item and is_text(item)]
        inside = filters is None or self._version.profiles >= _TELLS_NEAR
        inside = inside and len(wanted) + k <= names.MAX_HITS
        inside = inside and not any(_ENDS_LABEL.intersection(item) for item in wanted)
        search = partial(self._first, vector, k, filters, deadline, head)
        if inside or not wanted:
            return await search(wanted)
        first, stored = await both(search(()), self.vectors(wanted, deadline))
        return FirstSearch(first.near, stored, first.head)

    async def _first(
        self,
        vector: F32,
        k: int,
        filters: Filter | None,
        deadline: Deadline,
        head: int,
        ids: Sequence[str],
    ) -> FirstSearch:
        dimension = len(vector)

        def body(budget: float) -> dict[str, str | int | bool]:
            return self.builder.first(vector, k, filters, budget, ids, head)

        largest = (k + len(ids)) * HIT_BYTES + 4 * dimension * (len(ids) + 64 * head)
        got = await self.ask(body, deadline, largest)
        found = answer.first(got, k, ids, dimension, filtered=bool(ids) and filters is not None)
        if self.shadow is not None:
            self.shadow.offer(vector, k, filters, found.near)
        nearest = found.near.ids[:head]
        return FirstSearch(found.near, found.asked, {i: found.head[i] for i in nearest if i in found.head})

    async def related(
        self, vectors: F32, query: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> Related:
        """See `FarIndex.related`; one query for up to `names.MAX_RELATED` vectors.

        Raises:
            IndexUnavailable, ValueError: as `search`.
        """
        check_unit(np.concatenate([vectors, query[None]]), self._version.dimension)
        parts = [
            self._related(vectors[start : start + names.MAX_RELATED], query, k, filters, deadline)
            for start in range(0, len(vectors), names.MAX_RELATED)
        ]
        cosines: dict[str, float] = {}
        near: list[Neighbours] = []
        for part in await all_of(parts):
            near += part.near
            cosines |= part.cosines
        return Related(near, cosines)

    async def _related(
        self, vectors: F32, query: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> Related:
        count = len(vectors)
        hits = min(names.MAX_HITS, math.ceil(count * k * self._spread))

        def body(budget: float) -> dict[str, str | int | bool]:
            return self.builder.related(vectors, query, k, hits, filters, budget)

        got = await self.ask(body, deadline, hits * (HIT_BYTES + 8 * count))
        ids, cosines, whole = answer.related(got, count)
        if count > 1:
            seen = got.total / (count * k)
            forgotten = self._spread - _FORGET * (self._spread - 1.0)
            self._spread = min(_MOST_SPREAD, max(1.0, seen, forgotten))
        near: list[Neighbours] = []
        short: list[int] = []
        last = float(got.hits[-1]["relevance"]) if got.hits else 0.0
        for row in range(count):
            order = np.argsort(-cosines[:, 1 + row], kind="stable")[:k]
            scores = cosines[order, 1 + row]
            if count > 1 and not whole and (len(order) < k or scores[-1] < last - 1e-6):
                short.append(row)
            near.append(
                Neighbours([ids[place] for place in order.tolist()], scores, got.coverage, got.degraded)
            )
        related = dict(zip(ids, cosines[:, 0].tolist(), strict=True))
        if short:
            again = await all_of(
                [self._related(vectors[[row]], query, k, filters, deadline) for row in short]
            )
            for row, part in zip(short, again, strict=True):
                near[row] = part.near[0]
                related |= part.cosines
        return Related(near, related)
