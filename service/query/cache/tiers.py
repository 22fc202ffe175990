"""The cache of query experts: in process (L1), then Redis, then the encoder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import numpy as np

from artifacts.cache.codec import FeatureCodec
from common.arrays import F16
from common.deadline import Deadline
from common.lru import Lru
from service.errors import ModelFailed
from service.query.cache.redis import RedisCache
from service.query.singleflight import SingleFlight

Tier = Literal["l1", "redis", "miss"]


class ExpertCache:
    """Query experts by key, computed where no cache has them.

    Args:
        codec: of their shape.
        local: the cache in process.
        shared: Redis, where it is set.
        hit: told for each lookup which tier had the value.
    """

    def __init__(
        self,
        codec: FeatureCodec,
        local: Lru[str, F16],
        shared: RedisCache | None,
        hit: Callable[[Tier], None],
    ) -> None:
        self._codec = codec
        self._local = local
        self._shared = shared
        self._hit = hit
        self._flights: SingleFlight[tuple[F16, Tier]] = SingleFlight()

    async def get(
        self, key: str, compute: Callable[[], Awaitable[F16]], deadline: Deadline
    ) -> tuple[F16, Tier]:
        """The value ``[E, d]`` and where it came from. Raises what ``compute`` raises; that is not kept.

        Raises:
            ModelFailed: the value is of another shape or not finite; it is not kept either.
        """
        found = self._local.get(key)
        if found is not None:
            self._hit("l1")
            return found, "l1"
        value, tier = await self._flights.run(key, lambda: self._fill(key, compute, deadline))
        self._hit(tier)
        return value, tier

    async def _fill(
        self, key: str, compute: Callable[[], Awaitable[F16]], deadline: Deadline
    ) -> tuple[F16, Tier]:
        if self._shared is not None:
            stored = await self._shared.get([key], deadline)
            value = self._codec.decode(stored.get(key))
            if value is not None:
                self._local.put(key, value)
                return value, "redis"
        value = await compute()
        if value.shape != self._codec.shape or not np.isfinite(value).all():
            raise ModelFailed("the model gave numbers for this query that cannot be used")
        if value.base is not None:
            value = value.copy()  # a row that is kept would keep its whole batch
        value.setflags(write=False)  # shared by every request that hits it
        self._local.put(key, value)
        if self._shared is not None:
            self._shared.put(key, self._codec.encode(value))
        return value, "miss"
