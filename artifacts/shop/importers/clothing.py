"""clothing-dataset-small (CC0): photos of clothes in ten classes, without titles.

Items have a picture, the class as category and no title. There are no events, because nobody searched here
and made-up clicks would measure our own invention. The published splits are of photos and are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from artifacts.shop.importers.sources import ImportSummary, csv_rows, has, open_pictures, unknown_layout
from artifacts.shop.schema import Item, ShopSchema
from artifacts.shop.tables import STEP
from artifacts.shop.writer import ShopWriter
from common.progress import StageProgress, silent_stage

_SPLITS = ("train", "validation", "test")
_ENDINGS = (".jpg", ".jpeg", ".png")


def import_clothing(source: Path, target: Path, progress: StageProgress = silent_stage) -> ImportSummary:
    """Write the clothes as a shop.

    ``source`` has ``items.csv.gz`` and ``images.zip``, or is the data set's repository with
    ``train/<class>/*.jpg``, ``validation`` and ``test``.
    """
    if has(source, "items.csv.gz", "images.zip"):
        pictures = source / "images.zip"
        entries = _from_table(source / "items.csv.gz")
    elif any((source / split).is_dir() for split in _SPLITS):
        pictures = source
        entries = _from_folders(source)
    else:
        raise unknown_layout(
            source, "items.csv.gz and images.zip", "train/<class>/, validation/<class>/, test/<class>/"
        )
    skipped: Counter[str] = Counter()
    seen: set[str] = set()
    with open_pictures(pictures) as read, ShopWriter(target, ShopSchema("clothing")) as writer:
        for done, (item_id, category, name) in enumerate(entries, start=1):
            data = read(name)
            if data is None:
                skipped["photo missing"] += 1
            elif item_id in seen:
                skipped["photo twice"] += 1
            else:
                seen.add(item_id)
                picture = f"{category}/{item_id}{Path(name).suffix.lower()}"
                writer.add_picture(picture, data)
                writer.add_item(Item(item_id, "", category, picture=picture))
            if done % STEP == 0:
                progress(done, None)
        progress(writer.items, writer.items)
        return ImportSummary(writer.items, writer.events, writer.pictures, dict(skipped))


def _from_table(path: Path) -> Iterator[tuple[str, str, str]]:
    for _, row in csv_rows(path, "item_id", "image", "class"):
        yield row["item_id"], row["class"], row["image"]


def _from_folders(source: Path) -> Iterator[tuple[str, str, str]]:
    for split in _SPLITS:
        for file in sorted((source / split).glob("*/*")):
            if file.suffix.lower() in _ENDINGS:
                yield file.stem, file.parent.name, file.relative_to(source).as_posix()
