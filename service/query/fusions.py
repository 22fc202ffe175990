"""Embeddings of queries without a history, fused once.

Without a history the fusion reads nothing but the query's experts, so that these say what it gives.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from artifacts.cache.codec import F16
from service.query.encoder import Fused, QueryEncoder
from service.query.portrait import Portrait


class KnownFusions:
    """What one bundle's fusion gave, least recently used first out. For one event loop.

    Args:
        entries: embeddings kept at most; 0 keeps none, and none is looked up.
        count: called with whether an embedding was known, for each that is looked up.
    """

    def __init__(self, entries: int, count: Callable[[bool], None]) -> None:
        self._entries = entries
        self._count = count
        self._fused: OrderedDict[bytes, Fused] = OrderedDict()

    def __len__(self) -> int:
        return len(self._fused)

    def fuse(self, encoder: QueryEncoder, experts: F16, portrait: Portrait) -> Fused:
        """As `QueryEncoder.fuse`, of always the same encoder."""
        if portrait.used or not self._entries:
            return encoder.fuse(experts, portrait.batch)
        key = experts.tobytes()
        fused = self._fused.get(key)
        self._count(fused is not None)
        if fused is not None:
            self._fused.move_to_end(key)
            return fused
        fused = self._fused[key] = encoder.fuse(experts, portrait.batch)
        fused.embedding.setflags(write=False)
        fused.gate.setflags(write=False)
        if len(self._fused) > self._entries:
            self._fused.popitem(last=False)
        return fused
