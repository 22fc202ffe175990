"""ESCI for five folds: a shop for each, which queries are measured, and the judged pairs."""

from __future__ import annotations

import csv
import gzip
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from artifacts.bundle.text import normalise
from artifacts.shop.importers.esci import import_esci
from artifacts.shop.importers.sources import stable_share
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from common.arrays import I64, Bool

FOLDS = 5
#: The task whose pairs are judged E, S, C or I; the other's labels say less.
_TASK = "MPC"


def choose_fold(query: str) -> int:
    """0 to 4; the same query in another spelling is in the same fold."""
    return int(stable_share(normalise(query)) * FOLDS)


@dataclass(frozen=True)
class Esci:
    """The data as rows.

    ``titles`` of all products; ``queries`` that are measured; ``exact``, for each of these the rows of its
    Exact products (none where it is only in judged pairs); ``pairs`` int64 ``[n, 2]``, query and product of
    the judged pairs; ``is_exact`` bool ``[n]``.
    """

    products: list[str]
    titles: list[str]
    queries: list[str]
    exact: list[list[int]]
    pairs: I64
    is_exact: Bool

    @property
    def folds(self) -> I64:
        """The fold of each query."""
        return np.array([choose_fold(query) for query in self.queries])

    def only(self, fold: int) -> Esci:
        """The same with the queries of one fold."""
        kept = np.flatnonzero(self.folds == fold)
        place = np.full(len(self.queries), -1)
        place[kept] = np.arange(len(kept))
        pairs = np.stack([place[self.pairs[:, 0]], self.pairs[:, 1]], axis=1)
        asked = pairs[:, 0] >= 0
        return Esci(
            self.products,
            self.titles,
            [self.queries[query] for query in kept],
            [self.exact[query] for query in kept],
            pairs[asked],
            self.is_exact[asked],
        )


def read_esci(source: Path) -> Esci:
    """Read the cut's three files."""
    products = list(_rows(source / "products.csv.gz"))
    rows = {row["product_id"]: place for place, row in enumerate(products)}
    texts = {row["query_id"]: row["query"] for row in _rows(source / "queries.csv.gz")}
    places: dict[str, int] = {}
    exact: dict[int, set[int]] = {}
    pairs, is_exact = [], []
    for label in _rows(source / "labels.csv.gz"):
        judged = label["task"] == _TASK
        if not judged and label["label"] != "E":
            continue
        query = places.setdefault(label["query_id"], len(places))
        product = rows[label["product_id"]]
        if label["label"] == "E":
            exact.setdefault(query, set()).add(product)
        if judged:
            pairs.append((query, product))
            is_exact.append(label["label"] == "E")
    return Esci(
        [row["product_id"] for row in products],
        [row["title"] for row in products],
        [texts[name] for name in places],
        [sorted(exact.get(query, ())) for query in range(len(places))],
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        np.array(is_exact, dtype=np.bool_),
    )


def write_fold(source: Path, fold: int, target: Path) -> Path:
    """The shop in which one fold's queries are the test split and all others train; made once."""
    if (target / "shop.toml").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        import_esci(source, Path(folder) / "all")
        shop = Shop.open(Path(folder) / "all")
        with ShopWriter(Path(folder) / "fold", shop.schema) as writer:
            for item in shop.items():
                writer.add_item(item)
            for event in shop.events():
                split = "test" if choose_fold(event.query) == fold else "train"
                writer.add_event(replace(event, split=split))
        (Path(folder) / "fold").rename(target)
    return target


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
