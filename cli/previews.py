"""The item previews of a shop: titles and pictures for the playground."""

from __future__ import annotations

from pathlib import Path

_ROWS_PER_GROUP = 50_000


def write_previews(shop_path: Path, target: Path) -> None:
    """Write ``id``, ``title``, ``category`` and the path of the ``picture`` of a shop's items as Parquet.

    Raises:
        DataError: the shop cannot be read.
    """
    import pyarrow as pa

    from artifacts.parquet import RowWriter
    from artifacts.shop.shop import Shop
    from common.files import replacing

    shop = Shop.open(shop_path)
    pictures = (shop.path / shop.schema.pictures).resolve()
    schema = pa.schema([(name, pa.string()) for name in ("id", "title", "category", "picture")])
    with replacing(target) as written, RowWriter(written, schema, _ROWS_PER_GROUP) as rows:
        for item in shop.items():
            picture = None if item.picture is None else str(pictures / item.picture)
            rows.add((item.id, item.title, item.category, picture))
