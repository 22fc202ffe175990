"""Answers requests as serving does: query tower, portraits and exact search over an embeddings folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path

import numpy as np

from artifacts.bundle import Bundle, PortraitBatch, QueryTower, build_portraits
from artifacts.bundle.manifest import Precision
from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from artifacts.shop.shop import Shop
from common.arrays import F32, I64
from models.evaluation.heldout import Request
from models.pictures import PictureFeatures

#: Requests that share a run of the tower.
_ROWS = 64


class Retriever:
    """A bundle's query side over the catalogue of a shop, whose embeddings folder it reads.

    Attributes:
        tower: the query tower.
        ids: of the items, by row.
        rows: row of each item id.
        features: float16 ``[N, experts, d]`` of the items.
        items: float32 ``[N, e]``, their embeddings.

    Raises:
        EmbeddingsError: the folder cannot be used, another bundle made it, or it holds what is held out.
    """

    def __init__(self, bundle: Bundle, shop: Shop, embeddings: Path, *, threads: int = 2) -> None:
        folder = EmbeddingsFolder.open(embeddings)
        if folder.meta.bundle_version != bundle.version:
            reason = f"is of bundle {folder.meta.bundle_version}, not of {bundle.version}"
            raise EmbeddingsError(embeddings, reason)
        if folder.meta.behaviours != "train":
            reason = "has the held-out behaviours in its vectors; to judge, embed with --behaviours train"
            raise EmbeddingsError(embeddings, reason)
        self._threads = threads
        self.tower = QueryTower(bundle, threads=threads)
        self._pictures = PictureFeatures(shop, self.tower, threads)
        self.features, self.items = folder.features, folder.vectors.astype(np.float32)
        self.ids = folder.ids()
        self.rows = {name: row for row, name in enumerate(self.ids)}

    def in_precision(self, precision: Precision) -> Retriever:
        """The same with the query experts in another precision."""
        other = copy(self)
        other.tower = QueryTower(self.tower.bundle, precision=precision, threads=self._threads)
        return other

    def embed(self, requests: Sequence[Request], *, history: bool = True) -> F32:
        """Query embeddings ``[n, e]``, with the users' histories or without."""
        inputs = self.fusion_inputs(requests, history=history)
        found = [self.tower.fuse(*part).embedding for part in inputs]
        width = self.tower.bundle.manifest.dimensions.embedding_dim
        return np.concatenate([*found, np.zeros((0, width), dtype=np.float32)])

    def fusion_inputs(
        self, requests: Sequence[Request], *, history: bool = True
    ) -> Iterator[tuple[F32, PortraitBatch]]:
        """What the query fusion reads, a part of the requests at a time: experts ``[n, E, d]``, portraits."""
        manifest = self.tower.bundle.manifest
        for start in range(0, len(requests), _ROWS):
            part = requests[start : start + _ROWS]
            text = self.tower.bundle.text.queries([r.event.query for r in part])
            experts = self.tower.experts(text, self._pictures.features([r.event.picture for r in part]))
            histories = [r.history if history else () for r in part]
            known = [
                [b for b in past if b.item_id in self.rows and b.action in manifest.behaviours]
                for past in histories
            ]
            portraits = build_portraits(
                known,
                [self.features[[self.rows[b.item_id] for b in done]] for done in known],
                [r.event.ts for r in part],
                expert_dim=experts.shape[2],
                experts=experts.shape[1],
            )
            yield experts, portraits

    def browse(self, requests: Sequence[Request], k: int) -> I64:
        """Item rows ``[n, k]`` nearest to any of the users' interests, best first, as U2I finds them.

        Only of a bundle that gives interests (`QueryTower.has_interests`).
        """
        result = np.zeros((0, min(k, len(self.items))), dtype=np.int64)
        for inputs in self.fusion_inputs(requests):
            interests = self.tower.fuse(*inputs).interests
            assert interests is not None
            nearest = np.max([interests[:, n] @ self.items.T for n in range(interests.shape[1])], axis=0)
            result = np.concatenate([result, np.argsort(-nearest, axis=1, kind="stable")[:, :k]])
        return result

    def top(self, queries: F32, k: int, items: F32 | None = None) -> I64:
        """Item rows of the best k for each query, exact, best first: ``[n, k]``.

        ``items`` ``[N, e]`` stands in for the catalogue's own embeddings.
        """
        items = self.items if items is None else items
        k = min(k, len(items))
        result = np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), _ROWS):
            scores = queries[start : start + _ROWS] @ items.T
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
            result[start : start + _ROWS] = np.take_along_axis(best, order, axis=1)
        return result
