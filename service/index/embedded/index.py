"""The embedded engine's async face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from service.deadline import Deadline
from service.index.embedded.manifest import IndexManifest, read_manifest
from service.index.embedded.segment import Segment
from service.index.embedded.vectors import limit_threads
from service.index.embedded.workers import Checkpoint, Workers
from service.index.filters import Filter
from service.index.port import (
    F16,
    F32,
    AttributeKind,
    IndexStats,
    IndexUnavailable,
    Neighbours,
    StoredVectors,
)

#: Searches that may wait for a thread; beyond, a search fails at once with ``overloaded``. *Inferred*:
#: at 9 ms for a search of 1M rows more waiting than this is past any sensible deadline.
QUEUE = 64


class EmbeddedIndex:
    """An `ItemIndex` and `ItemFeatures` over one index folder."""

    def __init__(self, manifest: IndexManifest, base: Segment, workers: Workers) -> None:
        self.manifest = manifest
        self._base: Segment | None = base
        self._workers = workers
        self._attributes: Mapping[str, AttributeKind] = MappingProxyType(manifest.attributes)

    @classmethod
    def open(cls, path: Path, *, threads: int = 1, verify: bool = True, queue: int = QUEUE) -> EmbeddedIndex:
        """Map an index folder.

        Args:
            path: a folder that `build_index` wrote.
            threads: searches that run at once.
            verify: compare checksums, which reads every file once; without it sizes alone.
            queue: searches that may wait for a thread.

        Raises:
            IndexDamaged: a file is missing or not the one that was built.
        """
        manifest = read_manifest(path, verify=verify)
        return cls(manifest, Segment.open(path, manifest), Workers(threads, queue, limit_threads))

    @property
    def version(self) -> str:
        """Version of the index's content."""
        return self.manifest.index_version

    @property
    def bundle_version(self) -> str:
        """Version of the bundle whose item tower made the vectors."""
        return self.manifest.bundle_version

    @property
    def attributes(self) -> Mapping[str, AttributeKind]:
        """What can be filtered by."""
        return self._attributes

    async def search(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """The ``k`` nearest items of each row of ``vectors`` ``[B, dim]``, exact; equal scores by row.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded`` or ``closed``.
            ValueError: ``k`` below 1, vectors of another width or not finite.
        """
        base = self._segment()
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1")
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != base.dim or not np.isfinite(queries).all():
            raise ValueError(f"expected finite vectors [B, {base.dim}]; got shape {queries.shape}")

        def job(checkpoint: Checkpoint) -> list[Neighbours]:
            selection = base.select(filters)
            found = []
            for query in queries:
                checkpoint()
                found.append(Neighbours(*base.search(query, k, selection)))
            return found

        return await self._workers.run(job, deadline)

    async def vectors(self, ids: Sequence[str], deadline: Deadline) -> StoredVectors:
        """The stored embeddings; unknown ids are left out.

        Raises:
            IndexUnavailable: ``timeout`` or ``closed``.
        """
        return StoredVectors(*self._reachable(deadline).vectors(ids))

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        """The ids that are known, in the order asked, and their features ``[n, 3, d]``.

        Raises:
            IndexUnavailable: ``timeout`` or ``closed``.
        """
        return self._reachable(deadline).features(ids)

    async def stats(self) -> IndexStats:
        """Counts, as of now."""
        return IndexStats(engine=self.manifest.engine, items=self._segment().rows, kind=self.manifest.kind)

    async def close(self) -> None:
        """Stop the threads and let go of the files."""
        self._base = None
        await self._workers.close()

    def _reachable(self, deadline: Deadline) -> Segment:
        """For lookups, which stay on the event loop: microseconds for a history, below a thread's hop."""
        base = self._segment()
        if deadline.passed:
            raise IndexUnavailable("timeout")
        return base

    def _segment(self) -> Segment:
        if self._base is None:
            raise IndexUnavailable("closed")
        return self._base
