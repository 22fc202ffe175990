"""Embeddings of queries without a history, fused once.

Without a history the fusion reads nothing but the query's experts, so equal experts give equal embeddings.
"""

from __future__ import annotations

from collections.abc import Callable

from common.arrays import F16
from common.lru import Lru
from service.query.encoder import Fused, QueryEncoder
from service.query.portrait import RequestPortrait


class FusionCache:
    """What an encoder's fusion gave, least recently used first out. For one event loop.

    Args:
        encoder: whose fusion.
        entries: embeddings kept at most; 0 keeps none, and none is looked up.
        count: called with whether an embedding was known, for each that is looked up.
    """

    def __init__(self, encoder: QueryEncoder, entries: int, count: Callable[[bool], None]) -> None:
        self._encoder = encoder
        self._entries = entries
        self._count = count
        self._fused: Lru[bytes, Fused] = Lru(entries)

    def fuse(self, experts: F16, portrait: RequestPortrait) -> Fused:
        """As `QueryEncoder.fuse`."""
        if portrait.used or not self._entries:
            return self._encoder.fuse(experts, portrait.batch)
        key = experts.tobytes()
        fused = self._fused.get(key)
        self._count(fused is not None)
        if fused is None:
            fused = self._encoder.fuse(experts, portrait.batch)
            fused.embedding.setflags(write=False)
            fused.gate.setflags(write=False)
            self._fused.put(key, fused)
        return fused
