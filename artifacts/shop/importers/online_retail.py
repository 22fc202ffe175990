"""UCI Online Retail: purchases of a gift shop, by customer.

Every purchased line becomes an ``order`` event without a query; an invoice's lines follow each other. The
last invoice of each customer is ``test``, so that what they bought before must tell what they buy (a customer
with one invoice has nothing before it); the rest is ``train``. Times have no zone and are taken as UTC.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from artifacts.shop.errors import DataError
from artifacts.shop.importers.sources import ImportSummary, csv_rows, has, unknown_layout, within
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.tables import STEP
from artifacts.shop.values import shown
from artifacts.shop.writer import ShopWriter
from common.progress import StageProgress, silent_stage

_SCHEMA = ShopSchema("online-retail", MappingProxyType({"price": "number"}))
#: Column names of the exports in circulation: UCI's first and second edition, and Kaggle's.
_NAMES = MappingProxyType(
    {
        "invoice": ("InvoiceNo", "Invoice"),
        "item": ("StockCode",),
        "title": ("Description",),
        "quantity": ("Quantity",),
        "ts": ("InvoiceDate",),
        "price": ("UnitPrice", "Price"),
        "customer": ("CustomerID", "Customer ID"),
    }
)
_TIME_FORMATS = ("%m/%d/%Y %H:%M", "%m/%d/%y %H:%M")
#: Codes of goods; the others are postage, samples, fees and corrections.
_GOODS = re.compile(r"[0-9]{5}[A-Za-z]*")


class _Purchase(NamedTuple):
    customer: str
    ts: datetime
    invoice: str
    item: str
    title: str
    price: float


def import_online_retail(source: Path, target: Path, progress: StageProgress = silent_stage) -> ImportSummary:
    """Write the purchases as a shop, in several passes: memory is bounded by customers and items.

    ``source`` has ``items.csv.gz`` and ``purchases.csv.gz``; or it is a CSV export of the published workbook,
    or a folder with one.
    """
    skipped: Counter[str] = Counter()
    if has(source, "items.csv.gz", "purchases.csv.gz"):
        items = list(_cut_items(source / "items.csv.gz"))
        last, total = _last_invoices(_cut_purchases(source / "purchases.csv.gz"))
        purchases = _cut_purchases(source / "purchases.csv.gz")
    else:
        export = _export(source)
        items = _items_of(_published(export, Counter()))
        last, total = _last_invoices(_published(export, Counter()))
        purchases = _published(export, skipped)
    ids = {item.id for item in items}
    with ShopWriter(target, _SCHEMA) as writer:
        for item in items:
            writer.add_item(item)
        for done, purchase in enumerate(purchases, start=1):
            if purchase.item in ids:
                is_last = last[purchase.customer] == (purchase.ts, purchase.invoice)
                split = "test" if is_last else "train"
                writer.add_event(
                    Event(purchase.ts, purchase.item, "order", "", purchase.customer, split=split)
                )
            else:
                skipped["purchase of an item that is not there"] += 1
            if done % STEP == 0:
                progress(done, total)
        progress(total, total)
        return ImportSummary(writer.items, writer.events, 0, dict(skipped))


def _last_invoices(purchases: Iterator[_Purchase]) -> tuple[dict[str, tuple[datetime, str]], int]:
    last: dict[str, tuple[datetime, str]] = {}
    total = 0
    for purchase in purchases:
        total += 1
        key = (purchase.ts, purchase.invoice)
        last[purchase.customer] = max(last.get(purchase.customer, key), key)
    return last, total


def _cut_items(path: Path) -> Iterator[Item]:
    for line, row in csv_rows(path, "stock_code", "description", "median_price_gbp"):
        price = _number(path, line, "median_price_gbp", row["median_price_gbp"])
        yield Item(row["stock_code"], row["description"], attributes={"price": price})


def _cut_purchases(path: Path) -> Iterator[_Purchase]:
    for line, row in csv_rows(path, "customer_id", "ts", "invoice_no", "stock_code"):
        ts = _time(path, line, "ts", row["ts"])
        yield _Purchase(row["customer_id"], ts, row["invoice_no"], row["stock_code"], "", 0.0)


def _export(source: Path) -> Path:
    if source.is_file() and source.name.endswith((".csv", ".csv.gz")):
        return source
    files = sorted([*source.glob("*.csv"), *source.glob("*.csv.gz")]) if source.is_dir() else []
    if len(files) == 1:
        return within(source, files[0].name)
    workbooks = [source] if source.suffix == ".xlsx" else sorted(source.glob("*.xlsx"))
    if workbooks:
        message = "is a workbook, expected a CSV: open it in a spreadsheet and export it as CSV (UTF-8)"
        raise DataError(workbooks[0], message, "layout")
    raise unknown_layout(
        source, "items.csv.gz and purchases.csv.gz", "one CSV export of the published workbook"
    )


def _published(path: Path, skipped: Counter[str]) -> Iterator[_Purchase]:
    names: dict[str, str] | None = None
    for line, row in csv_rows(path):
        if names is None:
            names = {key: next((name for name in found if name in row), "") for key, found in _NAMES.items()}
            for key, name in names.items():
                if not name:
                    message = f"is no column of the file, which has {', '.join(row)}"
                    raise DataError(path, message, "missing-column", 1, _NAMES[key][0])
        customer = row[names["customer"]].strip().removesuffix(".0")
        item, title = row[names["item"]].strip().upper(), row[names["title"]].strip()
        if not customer:
            skipped["purchase without a customer"] += 1
        elif row[names["invoice"]].startswith("C") or row[names["quantity"]].startswith("-"):
            skipped["cancelled purchase"] += 1
        elif not _GOODS.fullmatch(item):
            skipped["postage, fee or correction"] += 1
        elif not title:
            skipped["purchase without a description"] += 1
        else:
            ts = _time(path, line, names["ts"], row[names["ts"]])
            price = _number(path, line, names["price"], row[names["price"]])
            yield _Purchase(customer, ts, row[names["invoice"]], item, title, price)


def _items_of(purchases: Iterator[_Purchase]) -> list[Item]:
    """The items of the purchases: the description most often used, the median price."""
    titles: dict[str, Counter[str]] = defaultdict(Counter)
    prices: dict[str, Counter[float]] = defaultdict(Counter)
    for purchase in purchases:
        titles[purchase.item][purchase.title] += 1
        prices[purchase.item][purchase.price] += 1
    return [
        Item(
            item,
            max(titles[item].items(), key=lambda pair: (pair[1], pair[0]))[0],
            attributes={"price": statistics.median(prices[item].elements())},
        )
        for item in sorted(titles)
    ]


def _time(path: Path, line: int, column: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        pass
    for pattern in _TIME_FORMATS:
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    message = f"is {shown(text)}, expected a time as in 2010-12-01 08:26 or 12/1/2010 8:26"
    raise DataError(path, message, "bad-timestamp", line, column)


def _number(path: Path, line: int, column: str, text: str) -> float:
    with suppress(ValueError):
        number = float(text)
        if isfinite(number):
            return number
    raise DataError(path, f"is {shown(text)}, expected a number", "wrong-type", line, column)
