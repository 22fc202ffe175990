"""Embeds a shop's catalogue with a bundle: item features and item embeddings, ready to be indexed.

Runs the ONNX graphs, so no torch. Three passes, each of which resumes after a kill:

1. ``items.parquet``: id, category and attributes of every item, in catalogue order;
2. ``features.npy`` float16 ``[N, 3, d]``: the item experts' outputs;
3. ``embeddings.npy`` float16 ``[N, 128]``, unit length before rounding: item fusion over the features and
   the mean features of the items co-clicked with each.

The folder is built beside its final place and renamed when it is whole.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from artifacts.attributes import AttributeKind
from artifacts.bundle import Bundle, Graph, ItemText, PictureError, decode_picture, open_graph
from artifacts.embeddings import EmbeddingsMeta, EmbeddingsWriter
from artifacts.shop.errors import DataError
from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop
from common.arrays import F32
from common.progress import Progress, silent, stage_progress
from models.dataset.coclick import coclick_options, coclicked

_ROWS = 256


@dataclass(frozen=True)
class EmbedSummary:
    """What was written. ``pictures`` counts the items whose picture was used."""

    bundle_version: str
    rows: int
    resumed_from: int


def embed_shop(
    shop: Shop,
    bundle: Bundle,
    target: Path,
    *,
    device: str = "cpu",
    threads: int = 2,
    known: npt.NDArray[np.float16] | None = None,
    progress: Progress = silent,
) -> EmbedSummary:
    """Write the embeddings folder of a shop.

    Args:
        shop: the catalogue, and the events that co-clicks are counted from.
        bundle: the verified bundle.
        target: the folder to write; an embeddings folder that is there is replaced.
        device: ``cpu`` or ``cuda``.
        threads: for the graphs and for decoding pictures.
        known: float16 ``[N, 3, d]``, item features where they are there already, in catalogue order: training
            has them of this very shop.
        progress: called with the stage, rows done and rows in all.

    Raises:
        DataError: an item or picture cannot be read; names the file.
        FileExistsError: the target is there and is no embeddings folder.
    """
    dims = bundle.manifest.dimensions
    meta = EmbeddingsMeta(
        bundle_version=bundle.version,
        rows=shop.count_items(),
        dim=dims.embedding_dim,
        experts=len(dims.experts),
        expert_dim=dims.expert_dim,
        data=shop.fingerprint(),
    )
    attributes: dict[str, AttributeKind] = {n: kind.value for n, kind in shop.schema.attributes.items()}
    writer = EmbeddingsWriter(target, meta, attributes)
    rows = ({**item.attributes, "id": item.id, "category": item.category} for item in shop.items())
    writer.write_items(rows, stage_progress(progress, "items"))
    resumed = writer.done("features")
    if known is None:
        _Experts(shop, bundle, device, threads).fill(writer, progress)
    else:
        writer.features[:] = known
    _fuse(shop, bundle, writer, device, threads, progress)
    writer.finish()
    return EmbedSummary(bundle.version, meta.rows, resumed)


class _Experts:
    """Pass 2: text and picture of each item through the item experts."""

    def __init__(self, shop: Shop, bundle: Bundle, device: str, threads: int) -> None:
        self._shop = shop
        self._bundle = bundle
        self._graph = open_graph(bundle.graph("item_experts"), device=device, threads=threads)
        self._pictures = _PictureFeatures(shop, bundle, device, threads)

    def fill(self, writer: EmbeddingsWriter, progress: Progress) -> None:
        start = writer.done("features")
        with self._pictures:
            for batch in _batches(islice(self._shop.items(), start, None), _ROWS):
                end = start + len(batch)
                writer.features[start:end] = self._run(batch)
                writer.store("features", end)
                progress("features", end, len(writer.features))
                start = end

    def _run(self, batch: list[Item]) -> F32:
        # Rows of like length share a run: padding costs as much as text.
        order = sorted(range(len(batch)), key=lambda i: len(batch[i].title) + len(batch[i].description))
        picture = self._pictures.of([item.picture for item in batch])
        result: F32 | None = None
        for part in (order[i : i + 64] for i in range(0, len(order), 64)):
            text = self._bundle.text.items(
                [ItemText(batch[i].title, batch[i].category, batch[i].description) for i in part]
            )
            has = np.array([batch[i].picture is not None for i in part], dtype=np.float32)
            inputs: dict[str, npt.NDArray[Any]] = {
                "input_ids": text.input_ids,
                "ngram_ids": text.ngram_ids,
                "picture": picture[part],
                "has_picture": has,
            }
            output = self._graph.run(inputs)["experts"]
            if result is None:
                result = np.empty((len(batch), *output.shape[1:]), dtype=np.float32)
            result[part] = output
        assert result is not None
        return result


class _PictureFeatures:
    """Features of pictures, each distinct file encoded once while it stays in a bounded cache."""

    _KEPT = 100_000

    def __init__(self, shop: Shop, bundle: Bundle, device: str, threads: int) -> None:
        self._shop = shop
        self._spec = bundle.manifest.picture
        self._graph: Graph = open_graph(bundle.graph("image_encoder"), device=device, threads=threads)
        self._cache: OrderedDict[str, F32] = OrderedDict()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def of(self, pictures: list[str | None]) -> F32:
        """float32 ``[len(pictures), P]``; zeros where there is none."""
        wanted = list(dict.fromkeys(p for p in pictures if p is not None))
        found = {p: self._cache[p] for p in wanted if p in self._cache}
        new = [p for p in wanted if p not in found]
        for part in (new[i : i + 64] for i in range(0, len(new), 64)):
            pixels = np.stack(list(self._pool.map(self._pixels, part)))
            for name, feature in zip(part, self._graph.run({"pixels": pixels})["feature"], strict=True):
                found[name] = self._cache[name] = feature
        while len(self._cache) > self._KEPT:
            self._cache.popitem(last=False)
        none = np.zeros(self._spec.feature_dim, dtype=np.float32)
        return np.stack([none if p is None else found[p] for p in pictures])

    def _pixels(self, picture: str) -> npt.NDArray[np.uint8]:
        try:
            return decode_picture(self._shop.picture(picture), self._spec.side)
        except PictureError as error:
            raise DataError(
                self._shop.path / self._shop.schema.pictures / picture, None, None, str(error)
            ) from error


def _fuse(
    shop: Shop,
    bundle: Bundle,
    writer: EmbeddingsWriter,
    device: str,
    threads: int,
    progress: Progress,
) -> None:
    """Pass 3: item fusion over the features and the mean features of co-clicked items."""
    features, total, done = writer.features, len(writer.features), writer.done("embeddings")
    if done >= total:
        return
    progress("co-clicks", 0, None)
    neighbours = coclicked(shop, **coclick_options(bundle.manifest.training))
    progress("co-clicks", total, total)
    graph = open_graph(bundle.graph("item_fusion"), device=device, threads=threads)
    step = 4096
    for start in range(done, total, step):
        end = min(start + step, total)
        own = features[start:end].astype(np.float32)
        coclick = neighbours.mean_features(features, start, end)
        writer.embeddings[start:end] = graph.run({"features": own, "coclick": coclick})["embedding"]
        writer.store("embeddings", end)
        progress("embeddings", end, total)


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(islice(items, size)):
        yield batch
