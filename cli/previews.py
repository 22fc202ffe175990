"""The item previews of a shop: titles and pictures for the playground."""

from __future__ import annotations

from pathlib import Path

_CHUNK = 50_000


def write_previews(shop_path: Path, target: Path) -> None:
    """Write ``id``, ``title``, ``category`` and the path of the ``picture`` of a shop's items as Parquet.

    Raises:
        DataError: the shop cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from artifacts.shop.shop import Shop
    from common.files import replacing

    shop = Shop.open(shop_path)
    pictures = (shop.path / shop.schema.pictures).resolve()
    schema = pa.schema([(name, pa.string()) for name in ("id", "title", "category", "picture")])
    rows: list[dict[str, str | None]] = []
    with replacing(target) as written, pq.ParquetWriter(written, schema) as writer:
        for item in shop.items():
            picture = None if item.picture is None else str(pictures / item.picture)
            rows.append({"id": item.id, "title": item.title, "category": item.category, "picture": picture})
            if len(rows) == _CHUNK:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
