"""Amazon Shopping Queries (ESCI, Apache-2.0): queries, products and human labels.

A label becomes one event with a relevance label, the gain that the data set's own measure gives it (Exact 1,
Substitute 0.1, Complement 0.01, Irrelevant 0). An Exact is a click, everything else an impression, which
training takes for no positive. ``notS`` of the substitute task says only what the product is not (it may be
exact as well as irrelevant), so it is an impression without a label.

Events are split by query: where the data set names test queries these are ``test``; of the others one in
five is ``val`` (one in ten where there is a test split). *Inferred*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from artifacts.attributes import MAX_CHARACTERS, AttributeKind
from artifacts.shop.errors import DataError
from artifacts.shop.importers.sources import (
    ImportSummary,
    csv_rows,
    has,
    made_up_time,
    stable_share,
    unknown_layout,
)
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.tables import STEP
from artifacts.shop.writer import ShopWriter
from common.progress import StageProgress, silent_stage

#: Gains of the data set's nDCG.
GAINS: Mapping[str, float | None] = MappingProxyType({"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0, "notS": None})
_EXAMPLES = "shopping_queries_dataset_examples.parquet"
_PRODUCTS = "shopping_queries_dataset_products.parquet"
_VAL_SHARE, _VAL_SHARE_BESIDE_TEST = 0.2, 0.1


class _Label(NamedTuple):
    query: str
    product: str
    label: str
    split: str


def import_esci(
    source: Path, target: Path, progress: StageProgress = silent_stage, *, locale: str = "us"
) -> ImportSummary:
    """Write the products and labels as a shop; of the published files, those of the market ``locale``.

    ``source`` has ``products.csv.gz``, ``queries.csv.gz`` and ``labels.csv.gz``, or is the data set's
    repository (or its folder ``shopping_queries_dataset``) with the two Parquet files.
    """
    if has(source, "products.csv.gz", "queries.csv.gz", "labels.csv.gz"):
        attributes: dict[str, AttributeKind] = {}
        items, labels = _cut_items(source), _cut_labels(source)
    else:
        inner = source / "shopping_queries_dataset"
        folder = inner if inner.is_dir() else source
        if not has(folder, _EXAMPLES, _PRODUCTS):
            raise unknown_layout(
                source, "products.csv.gz, queries.csv.gz and labels.csv.gz", f"{_EXAMPLES} and {_PRODUCTS}"
            )
        attributes = {"brand": "string", "color": "string"}
        items = _published_items(folder / _PRODUCTS, locale)
        labels = _published_labels(folder / _EXAMPLES, locale)
    skipped: Counter[str] = Counter()
    ids: set[str] = set()
    with ShopWriter(target, ShopSchema("esci", MappingProxyType(attributes))) as writer:
        for item in items:
            if item.id in ids:
                skipped["product twice"] += 1
            elif not item.title.strip():
                skipped["product without a title"] += 1
            else:
                ids.add(item.id)
                writer.add_item(item)
            _tell(progress, writer)
        for label in labels:
            if label.product not in ids:
                skipped["label of a product that is not there"] += 1
            elif label.label not in GAINS:
                skipped[f"unknown label {label.label!r}"] += 1
            elif not label.query.strip():
                skipped["empty query"] += 1
            else:
                action = "click" if label.label == "E" else "impression"
                ts, gain = made_up_time(writer.events), GAINS[label.label]
                event = Event(ts, label.product, action, label.query, relevance=gain, split=label.split)
                writer.add_event(event)
            _tell(progress, writer)
        progress(writer.items + writer.events, writer.items + writer.events)
        return ImportSummary(writer.items, writer.events, 0, dict(skipped))


def _tell(progress: StageProgress, writer: ShopWriter) -> None:
    done = writer.items + writer.events
    if done % STEP == 0:
        progress(done, None)


def _cut_items(source: Path) -> Iterator[Item]:
    for _, row in csv_rows(source / "products.csv.gz", "product_id", "title"):
        yield Item(row["product_id"], row["title"])


def _cut_labels(source: Path) -> Iterator[_Label]:
    queries = {
        row["query_id"]: row["query"] for _, row in csv_rows(source / "queries.csv.gz", "query_id", "query")
    }
    path = source / "labels.csv.gz"
    for line, row in csv_rows(path, "query_id", "product_id", "label"):
        query = queries.get(row["query_id"])
        if query is None:
            message = f"is {row['query_id']!r}, which queries.csv.gz does not have"
            raise DataError(path, message, line=line, column="query_id")
        split = "val" if stable_share(query) < _VAL_SHARE else "train"
        yield _Label(query, row["product_id"], row["label"], split)


def _published_items(path: Path, locale: str) -> Iterator[Item]:
    names = ("locale", "id", "title", "description", "bullet_point", "brand", "color")
    for row in _parquet_rows(path, [f"product_{name}" for name in names]):
        market, product, title, description, bullets, brand, color = (value or "" for value in row)
        if market == locale:
            # the bullet points are what a description is on most products
            text = description or bullets
            yield Item(
                product,
                title,
                "",
                text,
                attributes={"brand": brand[:MAX_CHARACTERS] or None, "color": color[:MAX_CHARACTERS] or None},
            )


def _published_labels(path: Path, locale: str) -> Iterator[_Label]:
    columns = ["product_locale", "query", "product_id", "esci_label", "split"]
    for row in _parquet_rows(path, columns):
        market, query, product, label, split = (value or "" for value in row)
        if market == locale:
            if split != "test":
                split = "val" if stable_share(query) < _VAL_SHARE_BESIDE_TEST else "train"
            yield _Label(query, product, label, split)


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str | None, ...]]:
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                message = f"is no column of the file, which has {', '.join(file.schema_arrow.names)}"
                raise DataError(path, message, column=", ".join(missing))
            for batch in file.iter_batches(columns=columns):
                yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        # a clone without git-lfs has a text file of three lines in its place
        message = (
            f"cannot be read: {str(error).splitlines()[0]} (is it a git-lfs pointer? then run git lfs pull)"
        )
        raise DataError(path, message, "unreadable-file") from error
