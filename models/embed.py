"""Embeds a shop's catalogue with a bundle: item features and item embeddings, ready to be indexed.

Runs the ONNX graphs, so no torch. Three passes, each of which resumes after a kill:

1. ``items.parquet``: id, category and attributes of every item, in catalogue order, with how popular it is,
   and ``texts.parquet``: the texts that items are found by word for word;
2. ``features.npy`` float16 ``[N, E, d]``: the item experts' outputs; and ``pictures.npy`` float16
   ``[N, P]``, the picture features, where the shop has pictures;
3. ``embeddings.npy`` float16 ``[N, 128]``, unit length before rounding: item fusion over the features and
   the mean features of the items co-clicked with each.

The folder is built beside its final place and renamed when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from artifacts.bundle import Bundle, ItemText, ItemTower, photo_vectors
from artifacts.embeddings import Behaviours, EmbeddingsMeta, EmbeddingsWriter, check_target
from artifacts.popularity import HALF_LIFE_DAYS, POPULARITY
from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop
from common.arrays import F16, F32, F64
from common.cores import usable_cores
from common.progress import Progress, silent, stage_progress
from models.clicked_photos import clicked_photos, mean_photo
from models.dataset.coclick import coclicked_as_trained
from models.pictures import PictureFeatures
from models.popularity import popularity_of

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
    threads: int | None = None,
    behaviours: Behaviours = "train",
    known: F16 | None = None,
    half_life_days: float = HALF_LIFE_DAYS,
    replace: bool = True,
    photos: int = 0,
    progress: Progress = silent,
) -> EmbedSummary:
    """Write the embeddings folder of a shop.

    Args:
        shop: the catalogue, and the events that co-clicks are counted from.
        bundle: the verified bundle.
        target: the folder to write; an embeddings folder that is there is replaced.
        device, threads: ``cpu`` or ``cuda``; threads are for the graphs and for decoding pictures, all
            cores that can be used where they are left out.
        behaviours: whose co-clicks go into the vectors. ``train`` leaves held-out behaviours out, so that the
            folder can be judged on them; ``all`` is for serving, which has nothing held out.
        known: float16 ``[N, E, d]``, item features where they are there already, in catalogue order: training
            has them of this very shop.
        half_life_days: of the popularity that items get as an attribute; 0 for none.
        replace: whether embeddings of another bundle that are there may go.
        photos: an item that so many photo searches led to has the mean of its own picture's feature and
            theirs in ``pictures.npy``, see `models.clicked_photos`; 0 for its own picture alone.
        progress: told of rows.

    Raises:
        DataError: an item or picture cannot be read; names the file.
        FileExistsError: the target is there and is no embeddings folder.
        EmbeddingsHeld: it holds those of another bundle, and ``replace`` is off.
        GraphError: the device cannot be used.
    """
    threads = threads or usable_cores()
    check_target(target, bundle.version, replace=replace)
    tower = ItemTower(bundle, device=device, threads=threads)
    dims = bundle.manifest.dimensions
    attributes, counted = dict(shop.schema.attributes), None
    if half_life_days and POPULARITY not in attributes:
        held_out = bundle.manifest.preprocessing.held_out
        counted = popularity_of(shop, half_life_days, held_out, behaviours, progress)
    if counted is not None:
        attributes[POPULARITY] = "number"
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
        popularity=None if counted is None else counted[0],
        picture_dim=bundle.manifest.picture.feature_dim if _has_pictures(shop) else 0,
        clicked_photos=photos,
    )
    writer = EmbeddingsWriter(target, meta, attributes)
    writer.write_items(
        _rows(shop, None if counted is None else counted[1]), stage_progress(progress, "items")
    )
    fields = shop.schema.text_fields
    texts = ({"id": item.id, **{name: item.text(name) for name in fields}} for item in shop.items())
    writer.write_texts(texts, stage_progress(progress, "texts"))
    resumed = writer.done("features")
    if known is None:
        _fill_features(shop, tower, writer, threads, progress)
    else:
        writer.features[:] = known
        _fill_pictures(shop, tower, writer, threads, progress)
    if photos and writer.pictures is not None:
        share = bundle.manifest.preprocessing.held_out
        _add_photos(shop, tower, writer, clicked_photos(shop, share, behaviours, photos), threads, progress)
    _fill_embeddings(shop, tower, writer, behaviours, progress)
    writer.finish()
    return EmbedSummary(bundle.version, meta.rows, resumed)


def _rows(shop: Shop, popularity: F64 | None) -> Iterator[dict[str, object]]:
    """What the items file says of each item."""
    for row, item in enumerate(shop.items()):
        values: dict[str, object] = {**item.attributes, "id": item.id, "category": item.category}
        if popularity is not None and popularity[row] > 0:
            values[POPULARITY] = float(f"{popularity[row]:.6g}")
        yield values


def _fill_features(
    shop: Shop, tower: ItemTower, writer: EmbeddingsWriter, threads: int, progress: Progress
) -> None:
    """Pass 2: text and picture of each item through the item experts."""
    pictures = PictureFeatures(shop, tower, threads)
    start = writer.done("features")
    for batch in _batches(islice(shop.items(), start, None), _ROWS):
        end = start + len(batch)
        texts = [ItemText(item.title, item.category, item.description) for item in batch]
        seen = pictures.features([item.picture for item in batch])
        writer.features[start:end] = tower.features(texts, seen)
        _store_pictures(writer, start, seen)
        writer.store("features", end)
        progress("features", end, len(writer.features))
        start = end


def _fill_pictures(
    shop: Shop, tower: ItemTower, writer: EmbeddingsWriter, threads: int, progress: Progress
) -> None:
    """The pictures alone, where the item features are known."""
    pictures, start = PictureFeatures(shop, tower, threads), 0
    for batch in _batches(shop.items(), _ROWS) if writer.pictures is not None else ():
        _store_pictures(writer, start, pictures.features([item.picture for item in batch]))
        start += len(batch)
        progress("pictures", start, len(writer.features))


def _store_pictures(writer: EmbeddingsWriter, start: int, features: Sequence[F32 | None]) -> None:
    if writer.pictures is None:
        return
    for row, feature in enumerate(features, start):
        writer.pictures[row] = 0.0 if feature is None else photo_vectors(feature[None])[0]


def _add_photos(
    shop: Shop,
    tower: ItemTower,
    writer: EmbeddingsWriter,
    photos: dict[str, list[str]],
    threads: int,
    progress: Progress,
) -> None:
    """The mean of an item's own picture and of its photos (`mean_photo`) in the place of its own.

    Own pictures are looked at again, so that it comes out the same after a kill.
    """
    pictures, done = PictureFeatures(shop, tower, threads), 0
    assert writer.pictures is not None
    for row, item in enumerate(shop.items()):
        if item.id not in photos:
            continue
        names = [*([item.picture] if item.picture else []), *photos[item.id]]
        features = pictures.features(names)
        vectors = photo_vectors(np.stack([feature for feature in features if feature is not None]))
        writer.pictures[row] = mean_photo(vectors, own=bool(item.picture) and features[0] is not None)
        done += 1
        progress("photos", done, len(photos))


def _has_pictures(shop: Shop) -> bool:
    return any(item.picture for item in shop.items())


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
