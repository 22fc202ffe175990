"""Item features for indexes that do not hold them, such as Vespa, and for portraits that follow a stream."""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np

from artifacts.cache.codec import FeatureCodec
from artifacts.cache.keys import item_key
from producer.features import FeatureTable, finite_rows
from producer.fill import Entries, OneStep


class ItemJob(OneStep):
    """`Job` that writes the features of every item of a table."""

    name = "items"
    reconciles = False
    workers = 1

    def __init__(self, table: FeatureTable) -> None:
        self.bundle_version = table.bundle_version
        self._table = table
        self._codec = FeatureCodec(*table.shape)

    def __len__(self) -> int:
        """Items in all."""
        return len(self._table.ids)

    @cached_property
    def source(self) -> str:
        """See `Job.source`; ids and features, which takes one read of the file."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update("\0".join(self._table.ids).encode("utf-8", "surrogatepass"))
        for start in range(0, len(self), 16_384):
            digest.update(self._table.features[start : start + 16_384].tobytes())
        return digest.hexdigest()

    def encode(self, start: int, end: int) -> Entries:
        """See `OneStep.encode`; an item whose features are not finite has no value."""
        features = np.asarray(self._table.features[start:end])
        fine = finite_rows(features)
        ids = self._table.ids[start:end]
        keys = [
            item_key(self.bundle_version, item_id)
            for item_id, ok in zip(ids, fine.tolist(), strict=True)
            if ok
        ]
        values = [self._codec.encode(row) for row, ok in zip(features, fine.tolist(), strict=True) if ok]
        return Entries(keys, values, len(ids) - len(keys))

    def reconcile(self, stored: bytes, value: bytes) -> bytes:
        """The new value: features depend on the item and the bundle alone."""
        return value
