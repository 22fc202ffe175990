"""What producers and `PUT /items` keep in the shared cache: item features (``i:``), portraits (``u:``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

import numpy as np

from artifacts.cache.codec import FeatureCodec, PortraitCodec, StoredPortrait
from artifacts.cache.keys import item_key, user_key
from common.arrays import F16
from common.deadline import Deadline
from index.port import IndexUnavailable
from service.errors import Unavailable
from service.query.cache.redis import RedisCache

#: Seconds that features of an item are kept: as long as `mrse produce items` keeps them, *inferred*.
_KEPT_S = 30 * 86_400.0


class NoPortrait(Enum):
    """Why there is no portrait of a user: none is stored, or it could not be read."""

    NONE = "none"
    UNAVAILABLE = "unavailable"


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
        """The ids that are known, in the order asked, and their features ``[n, E, d]``.

        Raises:
            IndexUnavailable: Redis did not say of each item whether it is known.
        """
        keys = {item_id: item_key(self._bundle_version, item_id) for item_id in ids}
        stored: dict[str, bytes | None] = {}
        if self._shared is not None:
            stored = await self._shared.get(list(keys.values()), deadline)
            if len(stored) < len(keys):
                raise IndexUnavailable("redis", "the features of items could not be read")
        values = {item_id: self._codec.decode(stored.get(key)) for item_id, key in keys.items()}
        known = {item_id: value for item_id, value in values.items() if value is not None}
        if not known:
            return [], np.zeros((0, *self._codec.shape), np.float16)
        return list(known), np.stack(list(known.values()))

    async def put(self, features: Mapping[str, F16]) -> None:
        """Store the features ``[E, d]`` of items; they are there when this returns.

        Raises:
            Unavailable: Redis does not answer, or there is none.
        """
        if self._shared is None:
            raise Unavailable("item features are kept in Redis, and redis.url is not set")
        values = {
            item_key(self._bundle_version, item_id): self._codec.encode(each)
            for item_id, each in features.items()
        }
        await self._shared.store(values, _KEPT_S)

    async def remove(self, ids: Sequence[str]) -> None:
        """Remove the features of items.

        Raises:
            Unavailable: Redis does not answer.
        """
        if self._shared is not None:
            await self._shared.remove([item_key(self._bundle_version, item_id) for item_id in ids])


class ProducedPortraits:
    """Portraits for requests that name a user and bring no history.

    They are not kept in process: a new click must count at once.

    Args:
        bundle_version: the namespace.
        codec: for the bundle's dimensions.
        shared: where they are.
        found: told of each lookup ``yes``, ``no``, ``away`` (Redis did not answer) or ``damaged``.
    """

    def __init__(
        self, bundle_version: str, codec: PortraitCodec, shared: RedisCache, found: Callable[[str], None]
    ) -> None:
        self._bundle_version = bundle_version
        self._codec = codec
        self._shared = shared
        self._found = found

    async def get(self, user_id: str, deadline: Deadline) -> StoredPortrait | NoPortrait:
        """The user's portrait, or why there is none to read."""
        key = user_key(self._bundle_version, user_id)
        answer = await self._shared.get([key], deadline)
        if key not in answer:
            self._found("away")
            return NoPortrait.UNAVAILABLE
        if answer[key] is None:
            self._found("no")
            return NoPortrait.NONE
        portrait = self._codec.decode(answer[key])
        self._found("damaged" if portrait is None else "yes")
        return NoPortrait.UNAVAILABLE if portrait is None else portrait
