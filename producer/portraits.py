"""User portraits from a log: each user's last behaviours and the features of their items."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from artifacts.bundle.manifest import Manifest
from artifacts.cache.codec import PortraitCodec, encoded_id
from artifacts.cache.keys import user_key
from artifacts.embeddings import EmbeddingsError
from common.arrays import F16, I64, Bool
from producer.features import FeatureTable, finite_rows
from producer.histories import Histories
from producer.job import Entries, Job, digest_of
from producer.merge import merged

_CHUNK = 16_384


class PortraitJob(Job):
    """`Job` that writes a portrait for every user of a log. Of items without features it holds the id alone.

    A stored portrait is merged, not replaced: a follower may have seen later behaviours than the log has.

    Raises:
        EmbeddingsError: the table is another bundle's.
    """

    name = "portraits"
    reconciles = True

    def __init__(self, histories: Histories, table: FeatureTable, manifest: Manifest) -> None:
        if table.bundle_version != manifest.version:
            raise EmbeddingsError(
                table.path,
                f"was made with bundle {table.bundle_version}, but the bundle is {manifest.version}",
            )
        self.bundle_version = manifest.version
        self._histories = histories
        self._manifest = manifest
        self._codec = PortraitCodec(*manifest.dimensions.shape)
        self._features: F16 = table.features
        places = {item_id: row for row, item_id in enumerate(table.ids)}
        rows = np.array([places.get(item_id, -1) for item_id in histories.item_ids], dtype=np.int64)
        self._rows: list[int] = np.where(_finite(table.features, rows), rows, -1).tolist()
        self._ids = [encoded_id(item_id) for item_id in histories.item_ids]

    def __len__(self) -> int:
        """Users in all."""
        return len(self._histories)

    @cached_property
    def source(self) -> str:
        """See `Job.source`; which items are known is part of it, their features follow from the bundle."""
        names, columns = self._histories.parts()
        return digest_of(names, [*columns, np.array(self._rows, dtype=np.int64).tobytes()])

    def run(self, prepared: tuple[int, int]) -> Entries:
        """See `Job.run`."""
        start, end = prepared
        log = self._histories
        bounds = log.offsets[start : end + 1].tolist()
        low, high = bounds[0], bounds[-1]
        items, actions, times = (c[low:high].tolist() for c in (log.items, log.actions, log.times))
        values = []
        for user in range(end - start):
            here = slice(bounds[user] - low, bounds[user + 1] - low)
            values.append(self._portrait(items[here], actions[here], times[here]))
        keys = [user_key(self.bundle_version, user) for user in log.users[start:end]]
        return Entries(keys, values)

    def reconcile(self, stored: bytes, value: bytes) -> bytes:
        """The portrait of both histories; for most users of a log produced again they are the same."""
        if stored == value:
            return value
        old, new = self._codec.decode(stored), self._codec.decode(value)
        if old is None or new is None:
            return value
        features = dict(zip(new.known, new.features, strict=True))
        return self._codec.encode(merged(old, new.behaviours, features, self._manifest))

    def _portrait(self, items: list[int], actions: list[int], times: list[int]) -> bytes:
        rows = self._rows
        distinct = dict.fromkeys(items)
        known = [item for item in distinct if rows[item] >= 0]
        order = known + [item for item in distinct if rows[item] < 0]
        place = {item: n for n, item in enumerate(order)}
        return self._codec.pack(
            [place[item] for item in items],
            actions,
            times,
            [self._ids[item] for item in order],
            len(known),
            self._features[[rows[item] for item in known]],
        )


def _finite(features: F16, rows: I64) -> Bool:
    """Whether each row's features are finite; no row (-1) counts as finite."""
    fine = np.ones(len(rows), dtype=np.bool_)
    places = np.flatnonzero(rows >= 0)
    for start in range(0, len(places), _CHUNK):
        part = places[start : start + _CHUNK]
        fine[part] = finite_rows(features[rows[part]])
    return fine
