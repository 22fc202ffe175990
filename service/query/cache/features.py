"""Item features from the shared cache (``i:`` keys), for indexes that do not hold them, such as Vespa."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from artifacts.cache.codec import F16, FeatureCodec
from artifacts.cache.keys import item_key
from common.deadline import Deadline
from service.query.cache.redis import RedisCache


class CachedFeatures:
    """`index.port.ItemFeatures` on a shared cache; without one, no item is known."""

    def __init__(self, bundle_version: str, codec: FeatureCodec, shared: RedisCache | None) -> None:
        self._bundle_version = bundle_version
        self._codec = codec
        self._shared = shared

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        """The ids that are known, in the order asked, and their features ``[n, 3, d]``."""
        keys = {item_id: item_key(self._bundle_version, item_id) for item_id in ids}
        stored = {} if self._shared is None else await self._shared.get(list(keys.values()), deadline)
        known: list[str] = []
        values: list[F16] = []
        for item_id in ids:
            value = self._codec.decode(stored.get(keys[item_id]))
            if value is not None:
                known.append(item_id)
                values.append(value)
        shape = (0, *self._codec.shape)
        return known, np.stack(values) if values else np.zeros(shape, dtype=np.float16)
