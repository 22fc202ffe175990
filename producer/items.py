"""Item features for indexes that do not hold them, such as Vespa, and for portraits that follow a stream."""

from __future__ import annotations

from functools import cached_property, partial

import numpy as np

from artifacts.cache.codec import FeatureCodec
from artifacts.cache.keys import item_key
from producer.features import FeatureTable
from producer.job import Entries, Job, digest_of, feature_entries

#: Rows of the features that are read at once.
_ROWS = 16_384


class ItemJob(Job):
    """`Job` that writes the features of every item of a table."""

    name = "items"

    def __init__(self, table: FeatureTable) -> None:
        self.bundle_version = table.bundle_version
        self._table = table
        self._codec = FeatureCodec(*table.features.shape[1:])

    def __len__(self) -> int:
        """Items in all."""
        return len(self._table.ids)

    @cached_property
    def source(self) -> str:
        """See `Job.source`; ids and features, which takes one read of the file."""
        features = self._table.features
        parts = (features[start : start + _ROWS].tobytes() for start in range(0, len(self), _ROWS))
        return digest_of(self._table.ids, parts)

    def run(self, prepared: tuple[int, int]) -> Entries:
        """See `Job.run`; an item whose features are not finite has no value."""
        rows = slice(*prepared)
        features = np.asarray(self._table.features[rows])
        key = partial(item_key, self.bundle_version)
        return feature_entries(self._table.ids[rows], features, key, self._codec)
