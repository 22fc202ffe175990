"""Adds behaviours to stored portraits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from artifacts.bundle.manifest import Manifest
from artifacts.bundle.portrait import Behaviour
from artifacts.cache.codec import FeatureCodec, PortraitCodec, StoredPortrait
from artifacts.cache.keys import item_key, user_key
from common.arrays import F16
from producer.merge import merged
from producer.store import Store


class Refresher:
    """Reads portraits, adds behaviours, writes them back; safe beside other writers of the same portraits.

    The store has the features of items too, where `mrse produce items` put them; ``unknown`` is called with
    the number of items of a refresh that have none.
    """

    def __init__(self, store: Store, manifest: Manifest, unknown: Callable[[int], None]) -> None:
        self._store = store
        self._manifest = manifest
        self._portraits = PortraitCodec(*manifest.dimensions.shape)
        self._items = FeatureCodec(*manifest.dimensions.shape)
        self._unknown = unknown

    def add(self, behaviours: Mapping[str, Sequence[Behaviour]]) -> None:
        """Add each user's behaviours to the user's portrait; adding the same again changes nothing."""

        def change(stored: Sequence[bytes | None]) -> list[bytes]:
            before = [self._portraits.decode(value) for value in stored]
            features = self._features(behaviours.values(), before)
            return [
                self._portraits.encode(merged(old, new, features, self._manifest))
                for new, old in zip(behaviours.values(), before, strict=True)
            ]

        self._store.update([user_key(self._manifest.version, user) for user in behaviours], change)

    def _features(
        self, new: Iterable[Sequence[Behaviour]], before: Sequence[StoredPortrait | None]
    ) -> Mapping[str, F16]:
        """Features of the new items, and of stored ones whose features were unknown."""
        wanted = dict.fromkeys(b.item_id for behaviours in new for b in behaviours)
        for portrait in filter(None, before):
            known = set(portrait.known)
            wanted |= dict.fromkeys(b.item_id for b in portrait.behaviours if b.item_id not in known)
        values: Any = self._store.redis.mget([item_key(self._manifest.version, item) for item in wanted])
        decoded = zip(wanted, map(self._items.decode, values), strict=True)
        features = {item: row for item, row in decoded if row is not None}
        self._unknown(len(wanted) - len(features))
        return features
