"""What `mrse produce` keeps in the shared cache: item features (``i:``) and user portraits (``u:``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from artifacts.cache.codec import FeatureCodec, PortraitCodec, StoredPortrait
from artifacts.cache.keys import item_key, user_key
from common.arrays import F16
from common.deadline import Deadline
from service.query.cache.redis import RedisCache


class ProducedFeatures:
    """`index.port.ItemFeatures` for indexes that do not hold them, such as Vespa.

    Args:
        bundle_version: the namespace.
        codec: for the bundle's dimensions.
        shared: where they are; without it no item is known.
    """

    def __init__(self, bundle_version: str, codec: FeatureCodec, shared: RedisCache | None) -> None:
        self._bundle_version = bundle_version
        self._codec = codec
        self._shared = shared

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        """The ids that are known, in the order asked, and their features ``[n, E, d]``."""
        keys = {item_id: item_key(self._bundle_version, item_id) for item_id in ids}
        stored = {} if self._shared is None else await self._shared.get(list(keys.values()), deadline)
        values = {item_id: self._codec.decode(stored.get(key)) for item_id, key in keys.items()}
        known = {item_id: value for item_id, value in values.items() if value is not None}
        if not known:
            return [], np.zeros((0, *self._codec.shape), np.float16)
        return list(known), np.stack(list(known.values()))


class ProducedPortraits:
    """Portraits for requests that name a user and bring no history.

    They are not kept in process: a new click must count at once.

    Args:
        bundle_version: the namespace.
        codec: for the bundle's dimensions.
        shared: where they are.
        found: told of each lookup whether there was one.
    """

    def __init__(
        self, bundle_version: str, codec: PortraitCodec, shared: RedisCache, found: Callable[[bool], None]
    ) -> None:
        self._bundle_version = bundle_version
        self._codec = codec
        self._shared = shared
        self._found = found

    async def get(self, user_id: str, deadline: Deadline) -> StoredPortrait | None:
        """The user's portrait, or None where there is none; a cache that is away has none."""
        key = user_key(self._bundle_version, user_id)
        portrait = self._codec.decode((await self._shared.get([key], deadline)).get(key))
        self._found(portrait is not None)
        return portrait
