"""The files of ground truth beside a synthetic shop's own, written and read back.

``truth.parquet``, ``users.parquet`` and ``queries.parquet`` have a row for each item, user and query, with
values by name, so that they can be read by people and by other tools too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.arrays import I8, I64, Bool, Ints
from common.files import replacing
from models.synthetic import lexicon
from models.synthetic.attributes import ATTRIBUTES, BRAND, CATEGORY, COLOUR, PATTERN, UNASKED, VALUES, Codes
from models.synthetic.catalogue import Catalogue, item_id
from models.synthetic.queries import KIND_NAMES, QueryPool
from models.synthetic.users import MODALITIES, Users, user_id

ITEMS_FILE, USERS_FILE, QUERIES_FILE = "truth.parquet", "users.parquet", "queries.parquet"
#: Parts of the query traffic: the most frequent queries that make up half of it, the next that make up
#: three tenths, the rest.
BANDS: tuple[str, ...] = ("head", "torso", "tail")
_BAND_EDGES = (0.5, 0.8)
_ITEM_COLUMNS = ("price", "price_band", "in_stock", "popularity", "new", "has_picture", "variant")


@dataclass(frozen=True)
class QueryTable:
    """Queries as `Judge` needs them; the arrays are aligned with ``queries``."""

    queries: list[str]
    pictures: list[str | None]
    kinds: list[str]
    bands: list[str]
    typo: Bool
    synonym: Bool
    intents: Codes


def write_items(folder: Path, catalogue: Catalogue) -> None:
    """Write ``truth.parquet``."""
    columns: dict[str, pa.Array] = {"id": pa.array([item_id(row) for row in range(catalogue.size)])}
    columns |= _attribute_columns(catalogue.codes)
    columns |= {name: pa.array(getattr(catalogue, name)) for name in _ITEM_COLUMNS}
    _write(folder / ITEMS_FILE, columns)


def read_items(folder: Path) -> Catalogue:
    """Read ``truth.parquet``; row n is item n."""
    table = pq.read_table(folder / ITEMS_FILE)
    return Catalogue(_read_codes(table), **{name: table[name].to_numpy() for name in _ITEM_COLUMNS})


def write_users(folder: Path, users: Users) -> None:
    """Write ``users.parquet``."""
    brands = [
        [brand for b, brand in enumerate(lexicon.BRANDS) if mask >> b & 1] for mask in users.brands.tolist()
    ]
    categories = [[VALUES[CATEGORY][c] for c in row] for row in users.categories.tolist()]
    columns = {
        "user": pa.array([user_id(row) for row in range(users.size)]),
        "modality": _named(users.modality, MODALITIES),
        "strength": pa.array(users.strength),
        "colour": _named(users.colours[:, 0], VALUES[COLOUR]),
        "second_colour": _named(users.colours[:, 1], VALUES[COLOUR]),
        "pattern": _named(users.pattern, VALUES[PATTERN]),
        "brands": pa.array(brands, pa.list_(pa.string())),
        "price_band": pa.array(users.price_band),
        "categories": pa.array(categories, pa.list_(pa.string())),
        "cold": pa.array(users.cold),
        "activity": pa.array(users.activity),
    }
    _write(folder / USERS_FILE, columns)


def read_users(folder: Path) -> Users:
    """Read ``users.parquet``; row n is user n."""
    table = pq.read_table(folder / USERS_FILE)
    size = table.num_rows
    brands = _codes(table["brands"].combine_chunks().flatten(), VALUES[BRAND]).astype(np.int64)
    categories = _codes(table["categories"].combine_chunks().flatten(), VALUES[CATEGORY])
    colours = [_codes(table[name], VALUES[COLOUR]) for name in ("colour", "second_colour")]
    return Users(
        modality=_codes(table["modality"], MODALITIES).astype(np.int8),
        strength=table["strength"].to_numpy(),
        colours=np.stack(colours, axis=1).astype(np.int8),
        pattern=_codes(table["pattern"], VALUES[PATTERN]).astype(np.int8),
        brands=np.asarray((1 << brands.reshape(size, -1)).sum(axis=1), dtype=np.int64),
        price_band=table["price_band"].to_numpy(),
        categories=categories.reshape(size, -1).astype(np.int8),
        cold=table["cold"].to_numpy(),
        activity=table["activity"].to_numpy(),
    )


def write_queries(folder: Path, pool: QueryPool, searches: I64) -> None:
    """Write ``queries.parquet``; ``searches`` int64 ``[q]`` counts how often each was asked."""
    columns: dict[str, pa.Array] = {
        "query": pa.array(pool.texts),
        "picture": pa.array(pool.pictures, pa.string()),
        "kind": _named(pool.kind[pool.intent], KIND_NAMES),
        "band": _named(_bands(searches), BANDS),
        "searches": pa.array(searches),
        "weight": pa.array(pool.weight),
        "typo": pa.array(pool.typo),
        "synonym": pa.array(pool.synonym),
        "intent": pa.array(pool.intent),
        **_attribute_columns(pool.intents[:, pool.intent]),
    }
    _write(folder / QUERIES_FILE, columns)


def read_queries(folder: Path) -> QueryTable:
    """Read ``queries.parquet``."""
    table = pq.read_table(folder / QUERIES_FILE)
    return QueryTable(
        queries=table["query"].to_pylist(),
        pictures=table["picture"].to_pylist(),
        kinds=table["kind"].to_pylist(),
        bands=table["band"].to_pylist(),
        typo=table["typo"].to_numpy(),
        synonym=table["synonym"].to_numpy(),
        intents=_read_codes(table),
    )


def _bands(searches: I64) -> I8:
    """Band of each query by the share of the traffic that more frequent ones make up."""
    order = np.argsort(-searches, kind="stable")
    before = (np.cumsum(searches[order]) - searches[order]) / max(1, int(searches.sum()))
    bands = np.empty(len(searches), dtype=np.int8)
    bands[order] = np.where(searches[order] > 0, np.searchsorted(_BAND_EDGES, before, side="right"), 2)
    return bands


def _attribute_columns(codes: Codes) -> dict[str, pa.Array]:
    return {name: _named(*pair) for name, *pair in zip(ATTRIBUTES, codes, VALUES, strict=True)}


def _read_codes(table: pa.Table) -> Codes:
    return np.stack([_codes(table[name], values) for name, values in zip(ATTRIBUTES, VALUES, strict=True)])


def _named(codes: Ints, names: Sequence[str]) -> pa.Array:
    """Codes as names; `UNASKED` as null."""
    indices = pa.array(codes.astype(np.int16), mask=codes == UNASKED)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names)))


def _codes(column: pa.ChunkedArray | pa.Array, names: Sequence[str]) -> Codes:
    """Names as codes, int16; null as `UNASKED`."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    found = pc.index_in(column, pa.array(list(names)))
    return np.asarray(pc.fill_null(found, UNASKED).to_numpy(), dtype=np.int16)


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    with replacing(path) as written:
        pq.write_table(pa.table(columns), written, compression="zstd")
