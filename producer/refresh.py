"""Adds behaviours to stored portraits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from redis import Redis

from artifacts.bundle.manifest import Manifest
from artifacts.bundle.portrait import Behaviour
from artifacts.cache.codec import FeatureCodec, PortraitCodec, StoredPortrait
from artifacts.cache.keys import item_key, user_key
from common.arrays import F16
from producer.merge import merged
from producer.store import Store

#: Features ``[3, d]`` of the items that are known, by id.
Lookup = Callable[[Sequence[str]], Mapping[str, F16]]


def stored_features(redis: Redis, bundle_version: str, codec: FeatureCodec) -> Lookup:
    """Features from Redis, where `mrse produce items` put them."""

    def look_up(ids: Sequence[str]) -> dict[str, F16]:
        if not ids:
            return {}
        keys = [item_key(bundle_version, item_id) for item_id in ids]
        values: Any = redis.mget(keys)
        decoded = ((item_id, codec.decode(value)) for item_id, value in zip(ids, values, strict=True))
        return {item_id: features for item_id, features in decoded if features is not None}

    return look_up


class Refresher:
    """Reads portraits, adds behaviours, writes them back; safe beside other writers of the same portraits.

    Args:
        store: where the portraits are.
        manifest: the bundle's.
        look_up: features of items.
        unknown: called with the number of items of a refresh that have no features.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        look_up: Lookup,
        unknown: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._store = store
        dimensions = manifest.dimensions
        self._bundle_version = manifest.version
        self._codec = PortraitCodec(len(dimensions.experts), dimensions.expert_dim)
        self._merged = partial(
            merged, limit=dimensions.history, known=manifest.behaviours, shape=self._codec.shape
        )
        self._look_up = look_up
        self._unknown = unknown

    def add(self, behaviours: Mapping[str, Sequence[Behaviour]]) -> None:
        """Add each user's behaviours to the user's portrait; adding the same again changes nothing."""

        def change(stored: Sequence[bytes | None]) -> list[bytes]:
            before = [self._codec.decode(value) for value in stored]
            features = self._features(behaviours.values(), before)
            return [
                self._codec.encode(self._merged(old, new, features))
                for new, old in zip(behaviours.values(), before, strict=True)
            ]

        keys = [user_key(self._bundle_version, user) for user in behaviours]
        self._store.update(keys, change)

    def _features(
        self, new: Iterable[Sequence[Behaviour]], before: Sequence[StoredPortrait | None]
    ) -> Mapping[str, F16]:
        """Features of the new items, and of stored ones whose features were unknown."""
        wanted = dict.fromkeys(b.item_id for behaviours in new for b in behaviours)
        for portrait in before:
            if portrait is not None:
                known = set(portrait.known)
                wanted |= dict.fromkeys(b.item_id for b in portrait.behaviours if b.item_id not in known)
        features = self._look_up(list(wanted))
        self._unknown(len(wanted) - len(features))
        return features
