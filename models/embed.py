"""Embeds a shop's catalogue with a bundle: item features and item embeddings, ready to be indexed.

Runs the ONNX graphs, so no torch. Three passes, each of which resumes after a kill:

1. ``items.parquet``: id, category and attributes of every item, in catalogue order, and ``texts.parquet``:
   the texts that items are found by word for word;
2. ``features.npy`` float16 ``[N, E, d]``: the item experts' outputs;
3. ``embeddings.npy`` float16 ``[N, 128]``, unit length before rounding: item fusion over the features and
   the mean features of the items co-clicked with each.

The folder is built beside its final place and renamed when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from artifacts.bundle import Bundle, ItemText, ItemTower
from artifacts.embeddings import Behaviours, EmbeddingsMeta, EmbeddingsWriter
from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop
from common.arrays import F16
from common.progress import Progress, silent, stage_progress
from models.dataset.coclick import coclicked_as_trained
from models.pictures import PictureFeatures

_ROWS, _FUSED_AT_ONCE = 256, 4096


@dataclass(frozen=True)
class EmbedSummary:
    """What was written, and how many rows of features were there already after a kill."""

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
    behaviours: Behaviours = "train",
    known: F16 | None = None,
    progress: Progress = silent,
) -> EmbedSummary:
    """Write the embeddings folder of a shop.

    Args:
        shop: the catalogue, and the events that co-clicks are counted from.
        bundle: the verified bundle.
        target: the folder to write; an embeddings folder that is there is replaced.
        device, threads: ``cpu`` or ``cuda``; threads are for the graphs and for decoding pictures.
        behaviours: whose co-clicks go into the vectors. ``train`` leaves held-out behaviours out, so that the
            folder can be judged on them; ``all`` is for serving, which has nothing held out.
        known: float16 ``[N, E, d]``, item features where they are there already, in catalogue order: training
            has them of this very shop.
        progress: told of rows.

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
        behaviours=behaviours,
        text_fields=shop.schema.text_fields,
        language=shop.schema.language,
    )
    writer = EmbeddingsWriter(target, meta, shop.schema.attributes)
    rows = ({**item.attributes, "id": item.id, "category": item.category} for item in shop.items())
    writer.write_items(rows, stage_progress(progress, "items"))
    fields = shop.schema.text_fields
    texts = ({"id": item.id, **{name: item.text(name) for name in fields}} for item in shop.items())
    writer.write_texts(texts, stage_progress(progress, "texts"))
    resumed = writer.done("features")
    tower = ItemTower(bundle, device=device, threads=threads)
    if known is None:
        _fill_features(shop, tower, writer, threads, progress)
    else:
        writer.features[:] = known
    _fill_embeddings(shop, tower, writer, behaviours, progress)
    writer.finish()
    return EmbedSummary(bundle.version, meta.rows, resumed)


def _fill_features(
    shop: Shop, tower: ItemTower, writer: EmbeddingsWriter, threads: int, progress: Progress
) -> None:
    """Pass 2: text and picture of each item through the item experts."""
    pictures = PictureFeatures(shop, tower, threads)
    start = writer.done("features")
    for batch in _batches(islice(shop.items(), start, None), _ROWS):
        end = start + len(batch)
        texts = [ItemText(item.title, item.category, item.description) for item in batch]
        writer.features[start:end] = tower.features(texts, pictures.features([i.picture for i in batch]))
        writer.store("features", end)
        progress("features", end, len(writer.features))
        start = end


def _fill_embeddings(
    shop: Shop, tower: ItemTower, writer: EmbeddingsWriter, behaviours: Behaviours, progress: Progress
) -> None:
    """Pass 3: item fusion over the features and the mean features of co-clicked items."""
    features, total, done = writer.features, len(writer.features), writer.done("embeddings")
    if done >= total:
        return
    progress("co-clicks", 0, None)
    neighbours = coclicked_as_trained(shop, tower.bundle.manifest.preprocessing, behaviours)
    progress("co-clicks", total, total)
    for start in range(done, total, _FUSED_AT_ONCE):
        end = min(start + _FUSED_AT_ONCE, total)
        coclick = neighbours.mean_features(features, start, end)
        clicked = neighbours.statistics(slice(start, end))
        writer.embeddings[start:end] = tower.embeddings(features[start:end], coclick, clicked)
        writer.store("embeddings", end)
        progress("embeddings", end, total)


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(islice(items, size)):
        yield batch
