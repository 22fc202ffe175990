"""User portraits from the shared cache (``u:`` keys), for requests that name a user and bring no history."""

from __future__ import annotations

from collections.abc import Callable

from artifacts.cache.codec import PortraitCodec, StoredPortrait
from artifacts.cache.keys import user_key
from common.deadline import Deadline
from service.query.cache.redis import RedisCache


class StoredPortraits:
    """Portraits that `mrse produce` keeps. Not kept in process: a new click must count at once.

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
