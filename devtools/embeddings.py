"""An embeddings folder as ``mrse embed`` writes it, fabricated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.attributes import AttributeKind
from artifacts.embeddings import EmbeddingsFolder, EmbeddingsMeta, EmbeddingsWriter

#: The attributes that `make_embeddings` draws when none are given.
ATTRIBUTES: Mapping[str, AttributeKind] = {
    "brand": "string",
    "price": "number",
    "in_stock": "bool",
    "tags": "list",
}
BRANDS = ("Acme", "Blauer Bär", "ÉCLAIR", "straße", "Zebra")
CATEGORIES = ("Shoes", "Shoes > Running", "Shoes > Running > Trail", "Shoes > Boots", "Bags", "")
TAGS = ("Red", "blue", "new in", "SALE")


def unit_vectors(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    """float32 ``[rows, dim]`` of unit length."""
    vectors = np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_items(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of the items file with ``ATTRIBUTES``, about one value in ten missing."""
    rng = np.random.default_rng(seed)

    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.1 else value

    return [
        {
            "id": f"item-{row}",
            "category": str(rng.choice(CATEGORIES)),
            "brand": maybe(str(rng.choice(BRANDS))),
            "price": maybe(float(rng.integers(0, 200)) / 2),
            "in_stock": maybe(bool(rng.random() < 0.7)),
            "tags": maybe([str(tag) for tag in rng.choice(TAGS, size=rng.integers(0, 4))]),
        }
        for row in range(rows)
    ]


def make_embeddings(
    path: Path,
    rows: int = 100,
    dim: int = 128,
    seed: int = 0,
    bundle_version: str = "demo-00000000",
    attributes: Mapping[str, AttributeKind] = ATTRIBUTES,
    *,
    items: Sequence[Mapping[str, Any]] | None = None,
    vectors: np.ndarray | None = None,
    experts: int = 3,
    expert_dim: int = 64,
    texts: Sequence[Mapping[str, str]] | None = None,
    text_fields: Sequence[str] = ("title", "category"),
    pictures: np.ndarray | None = None,
) -> Path:
    """Write an embeddings folder and return it.

    ``items`` (``id``, ``category`` and attributes, None or absent where missing) and ``vectors`` replace
    the random ones, and then say how many rows there are. ``texts`` are of each row by field; None: the
    folder holds none.
    """
    if items is None:
        items = random_items(rows if vectors is None else len(vectors), seed)
    if vectors is None:
        vectors = unit_vectors(len(items), dim, seed)
    shape = (len(items), experts, expert_dim)
    features = np.random.default_rng(seed + 1).standard_normal(shape, dtype=np.float32)
    folder = write_embeddings(
        path,
        items,
        vectors,
        features,
        bundle_version=bundle_version,
        attributes=attributes,
        data="0123456789abcdef",
        texts=texts,
        text_fields=text_fields,
        pictures=pictures,
    )
    return folder.path


def write_embeddings(
    target: Path,
    items: Sequence[Mapping[str, Any]],
    vectors: np.ndarray,
    features: np.ndarray,
    *,
    bundle_version: str,
    attributes: Mapping[str, AttributeKind],
    data: str = "",
    texts: Sequence[Mapping[str, str]] | None = None,
    text_fields: Sequence[str] = (),
    pictures: np.ndarray | None = None,
) -> EmbeddingsFolder:
    """Write an embeddings folder at once.

    Args:
        target: the folder to write; an embeddings folder that is there is replaced.
        items: of each item ``id``, ``category`` and its attributes, None or absent where missing.
        vectors: ``[N, dim]`` of unit length.
        features: ``[N, experts, expert_dim]``.
        bundle_version: of the bundle that made them.
        attributes: types of the attributes.
        data: fingerprint of the shop.
        texts: of each item its texts by field; None: the folder holds none.
        text_fields: the fields.
        pictures: ``[N, picture_dim]``, each of unit length, or zeros for no picture.
    """
    experts, expert_dim = features.shape[1:]
    meta = EmbeddingsMeta(
        bundle_version=bundle_version,
        rows=len(items),
        dim=vectors.shape[1],
        experts=experts,
        expert_dim=expert_dim,
        data=data,
        text_fields=() if texts is None else tuple(text_fields),
        picture_dim=0 if pictures is None else pictures.shape[1],
    )
    writer = EmbeddingsWriter(target, meta, attributes)
    writer.write_items(items)
    if texts is not None:
        writer.write_texts({"id": item["id"], **said} for item, said in zip(items, texts, strict=True))
    writer.embeddings[:], writer.features[:] = vectors, features
    if writer.pictures is not None:
        writer.pictures[:] = pictures
    return writer.finish()
