"""GroceryStoreDataset (MIT): 81 products of a supermarket and photos of them taken in the store.

Every in-store photo becomes a click without text: the photo is the query, its product what was clicked, with
the data set's own split. Text queries come from `grocery_queries`, one click for each product that answers;
their label is 1 where the product answers exactly, and none where its description just has the phrase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from artifacts.shop.errors import DataError
from artifacts.shop.importers.grocery_queries import Product, text_queries
from artifacts.shop.importers.sources import (
    ImportSummary,
    csv_rows,
    has,
    made_up_time,
    open_pictures,
    unknown_layout,
    within,
)
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.values import shown
from artifacts.shop.writer import ShopWriter
from common.files import read_bounded
from common.progress import StageProgress, silent_stage

_SCHEMA = ShopSchema("grocery", MappingProxyType(dict.fromkeys(("section", "brand", "country"), "string")))
#: Lists and descriptions: some kB each.
_MAX_TEXT_BYTES = 16 << 20
#: The data set names one country in two languages.
_COUNTRIES = MappingProxyType({"Sverige": "Sweden"})


@dataclass(frozen=True, slots=True)
class _Entry(Product):
    """A product as either layout has it; ``picture`` names its iconic picture in the source."""

    section: str
    country: str
    picture: str

    def item(self, picture: str | None) -> Item:
        country = _COUNTRIES.get(self.country, self.country)
        attributes = {"section": self.section, "brand": self.brand or None, "country": country or None}
        category = f"{self.section} > {self.category}"
        return Item(self.id, self.title, category, self.description, picture, attributes)


class _Photo(NamedTuple):
    name: str
    product: str
    split: str


def import_grocery(source: Path, target: Path, progress: StageProgress = silent_stage) -> ImportSummary:
    """Write the products, photos and queries as a shop.

    ``source`` has ``products.csv.gz``, ``listings.csv.gz`` and ``images.zip``, or is the data set's
    repository (or its folder ``dataset``).
    """
    if has(source, "products.csv.gz", "listings.csv.gz", "images.zip"):
        entries, photos = _cut_products(source / "products.csv.gz"), _cut_photos(source / "listings.csv.gz")
        pictures = source / "images.zip"
    else:
        pictures = source / "dataset" if (source / "dataset").is_dir() else source
        if not has(pictures, "classes.csv", "train.txt"):
            raise unknown_layout(
                source,
                "products.csv.gz, listings.csv.gz and images.zip",
                "dataset/classes.csv and dataset/train.txt",
            )
        entries = _published_products(pictures)
        photos = list(_published_photos(pictures, {entry.title: entry.id for entry in entries}))
    skipped: Counter[str] = Counter()
    queries = text_queries(entries)
    total = len(photos) + sum(len(query.products) for query in queries)
    ids = {entry.id for entry in entries}
    with open_pictures(pictures) as read, ShopWriter(target, _SCHEMA) as writer:
        for entry in entries:
            data = read(entry.picture)
            picture = f"iconic/{entry.id}.jpg"
            if data is None:
                skipped["iconic picture missing"] += 1
            else:
                writer.add_picture(picture, data)
            writer.add_item(entry.item(None if data is None else picture))
        for photo in photos:
            data = read(photo.name)
            if photo.product not in ids:
                skipped["photo of an unknown product"] += 1
            elif data is None:
                skipped["photo missing"] += 1
            else:
                picture = f"natural/{Path(photo.name).name}"
                writer.add_picture(picture, data)
                ts, split = made_up_time(writer.events), photo.split
                event = Event(ts, photo.product, "click", relevance=1.0, picture=picture, split=split)
                writer.add_event(event)
                progress(writer.events, total)
        for query in queries:
            for product in query.products:
                ts, relevance = made_up_time(writer.events), 1.0 if query.exact else None
                event = Event(ts, product, "click", query.text, relevance=relevance, split=query.split)
                writer.add_event(event)
        progress(total, total)
        return ImportSummary(writer.items, writer.events, writer.pictures, dict(skipped))


def _cut_products(path: Path) -> list[_Entry]:
    columns = ("product_id", "name", "section", "category", "description", "manufacturer_volume", "country")
    return [
        _Entry(
            id=f"p{row['product_id']}",
            title=row["name"],
            section=row["section"],
            category=row["category"],
            description=row["description"],
            brand=_brand(row["manufacturer_volume"]),
            country=row["country"],
            picture=f"iconic/{_number(path, line, row['product_id']):02}.jpg",
        )
        for line, row in csv_rows(path, *columns)
    ]


def _number(path: Path, line: int, text: str) -> int:
    # Digits alone, and few: `int` takes signs and spaces, and refuses thousands of digits.
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    message = f"is {shown(text)}, expected the number of a product, as in 7"
    raise DataError(path, message, "wrong-type", line, "product_id")


def _cut_photos(path: Path) -> list[_Photo]:
    return [
        _Photo(row["image"], f"p{row['product_id']}", row["split"])
        for _, row in csv_rows(path, "image", "product_id", "split")
    ]


def _published_products(folder: Path) -> list[_Entry]:
    entries = []
    columns = ("Class Name (str)", "Class ID (int)", "Coarse Class Name (str)", "Iconic Image Path (str)")
    for _, row in csv_rows(folder / "classes.csv", *columns):
        name, number, coarse, picture = (row[column] for column in columns)
        picture = picture.strip().lstrip("/")
        beside = within(folder, picture)
        stem = beside.name.removesuffix("_Iconic.jpg")
        facts = {
            key.strip(): value.strip()
            for key, _, value in (
                line.partition(":") for line in _lines(folder, beside.with_name(f"{stem}_Information.txt"))
            )
        }
        entries.append(
            _Entry(
                id=f"p{number.strip()}",
                title=name.replace("-", " "),
                # /iconic-images-and-descriptions/<section>/...
                section=Path(picture).parts[1] if len(Path(picture).parts) > 2 else "Groceries",
                category=coarse.replace("-", " "),
                description=" ".join(_lines(folder, beside.with_name(f"{stem}_Description.txt"))),
                brand=_brand(facts.get("Manufacturer and volume", "")),
                country=facts.get("Manufacturing country", ""),
                picture=picture,
            )
        )
    return entries


def _brand(maker: str) -> str:
    """The maker without the volume: "Arla Ko" of "ARLA KO , 3dl"."""
    return maker.split(",")[0].strip().title()


def _published_photos(folder: Path, ids: dict[str, str]) -> Iterator[_Photo]:
    for split in ("train", "val", "test"):
        for line in _lines(folder, folder / f"{split}.txt"):
            # "<path>, <class>, <coarse class>"; older versions have the path alone, whose folder names it
            name, *numbers = (part.strip() for part in line.split(","))
            product = f"p{numbers[0]}" if numbers else ids.get(Path(name).parent.name.replace("-", " "), "")
            yield _Photo(name, product, split)


def _lines(folder: Path, path: Path) -> list[str]:
    within(folder, path.relative_to(folder).as_posix())
    if not path.is_file():
        return []
    try:
        text = read_bounded(path, _MAX_TEXT_BYTES).decode(errors="replace")
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}", "unreadable-file") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
