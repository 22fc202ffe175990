"""What a Vespa application holds of items that are named: vectors, attributes, titles, features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

import numpy as np

from common.arrays import F16
from common.deadline import Deadline
from index.port import TITLE_CHARACTERS, IndexUnavailable, StoredValues, StoredVectors
from index.vespa import answer, names
from index.vespa.asking import all_of
from index.vespa.query import Body, QueryBuilder
from index.vespa.text import is_text
from index.vespa.values import stored_features, stored_titles, stored_values
from index.vespa.version import Version

#: Most bytes of a hit (an id of 128 characters, escaped, which two features are named by) beside a vector.
HIT_BYTES: Final = 4096
#: Bytes that an attribute of a hit has at most where it is no long list; with those of many hits that are
#: shorter, room for some that are.
_ATTRIBUTE_BYTES: Final = 4096
#: Of a title: `TITLE_CHARACTERS`, each of them in JSON as an escape at worst.
_TITLE_BYTES: Final = 6 * TITLE_CHARACTERS


class Ask(Protocol):
    """Sends one query; see `asking.ask`."""

    async def __call__(
        self, body: Callable[[float], Body], deadline: Deadline, largest: int = 0
    ) -> answer.Answer:
        """Its answer."""


class StoredItems:
    """Part of `VespaIndex`: one query for up to `names.MAX_HITS` ids; unknown ones are left out."""

    _version: Version
    builder: QueryBuilder
    ask: Ask

    async def vectors(self, ids: Sequence[str], deadline: Deadline) -> StoredVectors:
        """See `ItemIndex.vectors`; one query for up to `names.MAX_HITS` ids."""
        parts = await all_of([self._stored(chunk, deadline) for chunk in _chunks(ids)])
        rows = [np.empty((0, self._version.dimension), dtype=np.float32), *(part.vectors for part in parts)]
        return StoredVectors(
            [item for part in parts for item in part.ids],
            np.concatenate(rows),
            min((part.coverage for part in parts), default=1.0),
            tuple(sorted({reason for part in parts for reason in part.degraded})),
        )

    async def values(self, ids: Sequence[str], attributes: Sequence[str], deadline: Deadline) -> StoredValues:
        """See `ItemValues.values`; one query for up to `names.MAX_HITS` ids."""
        parts = await all_of([self._values(chunk, attributes, deadline) for chunk in _chunks(ids)])
        return StoredValues(
            [item for part in parts for item in part.ids],
            {name: [value for part in parts for value in part.values[name]] for name in attributes},
            min((part.coverage for part in parts), default=1.0),
            tuple(sorted({reason for part in parts for reason in part.degraded})),
        )

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        """See `ItemFeatures.features`; one query for up to `names.MAX_HITS` ids.

        Raises:
            IndexUnavailable: as `search`; ``no-features`` where the version keeps none.
        """
        shape = self._version.features
        if shape is None:
            raise IndexUnavailable("no-features")

        async def ask(chunk: Sequence[str]) -> tuple[list[str], F16]:
            largest = len(chunk) * (HIT_BYTES + 4 * math.prod(shape))
            got = await self.ask(partial(self.builder.features, chunk), deadline, largest)
            return stored_features(got, chunk, shape)

        parts = await all_of(list(map(ask, _chunks(ids))))
        return [item for found, _ in parts for item in found], np.concatenate(
            [np.zeros((0, *shape), np.float16), *(features for _, features in parts)]
        )

    async def titles(self, ids: Sequence[str], deadline: Deadline) -> dict[str, str]:
        """See `ItemTitles.titles`; one query for up to `names.MAX_HITS` ids.

        Raises:
            IndexUnavailable: as `search`.
        """

        async def ask(chunk: Sequence[str]) -> dict[str, str]:
            largest = len(chunk) * (HIT_BYTES + _TITLE_BYTES)
            return stored_titles(await self.ask(partial(self.builder.titles, chunk), deadline, largest))

        parts = await all_of(list(map(ask, _chunks(ids))))
        return {item: title for part in parts for item, title in part.items()}

    async def _stored(self, ids: Sequence[str], deadline: Deadline) -> StoredVectors:
        bytes_each = HIT_BYTES + 4 * self._version.dimension
        got = await self.ask(partial(self.builder.stored, ids), deadline, len(ids) * bytes_each)
        return answer.stored_vectors(got, ids, self._version.dimension)

    async def _values(
        self, ids: Sequence[str], attributes: Sequence[str], deadline: Deadline
    ) -> StoredValues:
        bytes_each = HIT_BYTES + _ATTRIBUTE_BYTES * len(attributes)
        got = await self.ask(partial(self.builder.values, ids, attributes), deadline, len(ids) * bytes_each)
        return stored_values(got, ids, attributes, self._version.attributes)


def _chunks(ids: Sequence[str]) -> list[list[str]]:
    """As many ids as a query may name, each once; one that no document can have is unknown."""
    wanted = [item for item in dict.fromkeys(ids) if item and is_text(item)]
    return [wanted[i : i + names.MAX_HITS] for i in range(0, len(wanted), names.MAX_HITS)]
