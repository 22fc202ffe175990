"""Answers held-out requests as serving does: the bundle's graphs, portraits, exact search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from artifacts.bundle import Bundle, PictureError, build_portraits, decode_picture, open_graph
from artifacts.bundle.manifest import Precision
from artifacts.embeddings import EmbeddingsFolder
from artifacts.shop.errors import DataError
from artifacts.shop.shop import Shop
from models.evaluation.heldout import Request

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]
_ROWS = 64


class Searcher:
    """Holds the opened graphs and an embeddings folder of the shop."""

    def __init__(
        self, bundle: Bundle, shop: Shop, embeddings: Path, *, precision: Precision = "fp32", threads: int = 2
    ) -> None:
        self._bundle, self._shop, self._embeddings, self._threads = bundle, shop, embeddings, threads
        self._experts = open_graph(bundle.graph("query_experts", precision), threads=threads)
        self._fusion = open_graph(bundle.graph("query_fusion"), threads=threads)
        self._encoder = open_graph(bundle.graph("image_encoder"), threads=threads)
        folder = EmbeddingsFolder.open(embeddings)
        self._features = folder.features
        self._items: Float32 = folder.vectors.astype(np.float32)
        self.ids = folder.ids()
        self.rows = {name: row for row, name in enumerate(self.ids)}
        self._pictures: dict[str, Float32] = {}

    def as_precision(self, precision: Precision) -> Searcher:
        """The same with the query experts in another precision."""
        return Searcher(
            self._bundle, self._shop, self._embeddings, precision=precision, threads=self._threads
        )

    def embed(self, requests: Sequence[Request], *, history: bool = True) -> Float32:
        """Query embeddings ``[n, e]``, with the users' histories or without."""
        parts = [
            self._embed(requests[start : start + _ROWS], history) for start in range(0, len(requests), _ROWS)
        ]
        width = self._bundle.manifest.dimensions.embedding_dim
        return np.concatenate([*parts, np.zeros((0, width), dtype=np.float32)])

    @property
    def features(self) -> npt.NDArray[np.float16]:
        """Item features ``[N, experts, d]``."""
        return self._features

    @property
    def items(self) -> Float32:
        """Item embeddings ``[N, e]``."""
        return self._items

    def top(self, queries: Float32, k: int, items: Float32 | None = None) -> Int64:
        """Item rows of the best k for each query, exact, best first: ``[n, k]``.

        ``items`` ``[N, e]`` stands in for the catalogue's own embeddings.
        """
        items = self._items if items is None else items
        k = min(k, len(items))
        result = np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), _ROWS):
            scores = queries[start : start + _ROWS] @ items.T
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
            result[start : start + _ROWS] = np.take_along_axis(best, order, axis=1)
        return result

    def _embed(self, requests: Sequence[Request], history: bool) -> Float32:
        return self.fuse(self.fusion_inputs(requests, history=history))["embedding"]

    def fuse(self, inputs: Arrays) -> dict[str, Float32]:
        """The query fusion's outputs, ``embedding`` ``[n, e]`` and ``gate`` ``[n, 3]``."""
        return self._fusion.run(inputs)

    def fusion_inputs(self, requests: Sequence[Request], *, history: bool = True) -> Arrays:
        """What the query fusion reads for some requests: experts and portraits."""
        text = self._bundle.text.queries([r.event.query for r in requests])
        picture = np.stack([self._picture(r.event.picture) for r in requests])
        has = np.array([r.event.picture is not None for r in requests], dtype=np.float32)
        inputs: Arrays = {
            "input_ids": text.input_ids,
            "ngram_ids": text.ngram_ids,
            "picture": picture,
            "has_picture": has,
        }
        experts = self._experts.run(inputs)["experts"]
        taught = self._bundle.manifest.behaviours
        known = [
            [b for b in r.history if b.item_id in self.rows and b.action in taught] if history else []
            for r in requests
        ]
        features = [self._features[[self.rows[b.item_id] for b in done]] for done in known]
        portraits = build_portraits(
            known,
            features,
            [r.event.ts for r in requests],
            expert_dim=experts.shape[2],
            experts=experts.shape[1],
        )
        return {
            "experts": experts,
            "portrait": portraits.features,
            "behaviour": portraits.behaviour,
            "age_days": portraits.age_days,
        }

    def _picture(self, relative: str | None) -> Float32:
        spec = self._bundle.manifest.picture
        if relative is None:
            return np.zeros(spec.feature_dim, dtype=np.float32)
        if relative not in self._pictures:
            try:
                pixels = decode_picture(self._shop.picture(relative), spec.side)
            except PictureError as error:
                path = self._shop.path / self._shop.schema.pictures / relative
                raise DataError(path, None, "picture", str(error), "bad-picture") from error
            self._pictures[relative] = self._encoder.run({"pixels": pixels[None]})["feature"][0]
        return self._pictures[relative]
