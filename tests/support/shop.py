"""Sixty items of a small shop, embedded with the tiny bundle."""

from __future__ import annotations

import base64
import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artifacts.attributes import AttributeKind
from artifacts.bundle import Bundle, ItemText, ItemTower
from devtools import embeddings
from tests.support.bundle import make_bundle

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 180, 30), "black": (10, 10, 10)}
KINDS = {
    "running shoes": "Shoes > Running",
    "hiking boots": "Shoes > Hiking",
    "rain jacket": "Clothing > Jackets",
    "wool hat": "Clothing > Hats",
    "tea cup": "Kitchen > Cups",
}
BRANDS = ("acme", "zenith", "orbit")
ATTRIBUTES: dict[str, AttributeKind] = {
    "colour": "string",
    "brand": "string",
    "price": "number",
    "in_stock": "bool",
    "tags": "list",
}


def items() -> list[dict[str, Any]]:
    """Every colour of every kind of every brand: ids ``i0`` … ``i59``."""
    made = []
    for place, (kind, colour, brand) in enumerate(itertools.product(KINDS, COLOURS, BRANDS)):
        made.append(
            {
                "id": f"i{place}",
                "title": f"{brand} {colour} {kind}",
                "category": KINDS[kind],
                "colour": colour,
                "brand": brand,
                "price": 10.0 + place,
                "in_stock": place % 7 != 0,
                "tags": [colour, brand],
            }
        )
    return made


def picture(colour: str = "red", size: int = 24, kind: str = "PNG") -> bytes:
    """A picture of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (size, size), COLOURS[colour]).save(stream, kind)
    return stream.getvalue()


def picture_base64(colour: str = "red", size: int = 24, kind: str = "PNG") -> str:
    """The same as a request carries it."""
    return base64.b64encode(picture(colour, size, kind)).decode()


def bundle(path: Path, seed: int = 1, *, interests: bool = False) -> Bundle:
    """The tiny bundle over the shop's words; see `make_bundle`."""
    texts = [f"{item['title']} {item['category']}" for item in items()]
    return make_bundle(path, texts, seed=seed, interests=interests)


def embed(made: Bundle) -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Ids, embeddings float32 ``[N, dim]`` and features float16 ``[N, 3, d]`` of the shop's items."""
    shop = items()
    tower = ItemTower(made)
    pixels = np.stack(
        [np.full((made.manifest.picture.side,) * 2 + (3,), COLOURS[i["colour"]], np.uint8) for i in shop]
    )
    texts = [ItemText(item["title"], item["category"]) for item in shop]
    features = tower.features(texts, list(tower.picture_features(pixels)))
    return [item["id"] for item in shop], tower.embeddings(features), features.astype(np.float16)


def write_embeddings(
    made: Bundle, path: Path, pictures: np.ndarray[Any, Any] | None = None, *, texts: bool = False
) -> Path:
    """The embeddings folder that `mrse embed` would write for the shop, ``pictures`` as there.

    With ``texts`` or without.
    """
    said = [{"title": item["title"], "category": item["category"]} for item in items()]
    _, vectors, features = embed(made)
    folder = embeddings.write_embeddings(
        path,
        items(),
        vectors,
        features,
        bundle_version=made.version,
        attributes=ATTRIBUTES,
        data="0" * 16,
        texts=said if texts else None,
        text_fields=("title", "category"),
        pictures=pictures,
    )
    return folder.path
