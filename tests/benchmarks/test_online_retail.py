"""The next-basket benchmark: its protocol on invoices with known answers, all of it on a tiny shop."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from artifacts.shop.importers import import_online_retail
from artifacts.shop.shop import Shop
from benchmarks import online_retail
from benchmarks.online_retail_split import (
    Customer,
    customers,
    figures,
    hold_out,
    own_first,
    popularity,
    recall_at,
)

#: Customer, day, invoice and what was bought.
INVOICES = [
    ("anna", 1, "501", "AB"),
    ("anna", 2, "502", "A"),
    ("anna", 3, "503", "AC"),
    ("ben", 1, "504", "BD"),
    ("ben", 4, "505", "B"),
    ("cleo", 5, "506", "BC"),
]
CODES = {"A": "10001", "B": "10002", "C": "10003", "D": "10004"}
TITLES = {"A": "RED HEART", "B": "BLUE LANTERN", "C": "RED LANTERN", "D": "BLUE HEART"}
LETTERS = {code: letter for letter, code in CODES.items()}


def write_csv(path: Path, rows: list[tuple[object, ...]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(buffer.getvalue().encode()))


def write_source(folder: Path, invoices: list[tuple[str, int, str, str]]) -> Path:
    header: tuple[object, ...] = ("stock_code", "description", "n_rows", "median_price_gbp")
    write_csv(folder / "items.csv.gz", [header, *((CODES[x], TITLES[x], 1, 1.5) for x in CODES)])
    columns = ("customer_id", "ts", "invoice_no", "stock_code", "quantity", "unit_price_gbp", "country")
    rows: list[tuple[object, ...]] = [columns]
    for user, day, invoice, bought in invoices:
        rows += [(user, f"2011-02-{day:02} 10:00", invoice, CODES[x], 1, 1.5, "UK") for x in bought]
    write_csv(folder / "purchases.csv.gz", rows)
    return folder


@pytest.fixture
def imported(tmp_path: Path) -> Shop:
    import_online_retail(write_source(tmp_path / "source", INVOICES), tmp_path / "imported")
    return Shop.open(tmp_path / "imported")


def letters(items: object) -> str:
    return "".join(sorted(LETTERS[item] for item in items))  # type: ignore[attr-defined]


def asked(shop: Shop) -> dict[str, Customer]:
    return {customer.user: customer for customer in customers(shop.events())}


def test_the_last_invoice_of_those_who_came_twice_is_held_out(imported: Shop, tmp_path: Path) -> None:
    shop = hold_out(imported, tmp_path / "shop", validation=False)
    found = asked(shop)
    assert {user: letters(customer.target) for user, customer in found.items()} == {"anna": "AC", "ben": "B"}
    assert letters(b.item_id for b in found["anna"].bought) == "AAB"
    assert (letters(found["anna"].own), letters(found["anna"].new)) == ("AB", "C")
    assert found["anna"].at == datetime(2011, 2, 3, 10, tzinfo=UTC)
    # The one invoice of a customer is learned from.
    assert {event.split for event in shop.events() if event.user == "cleo"} == {"train"}


def test_validation_never_sees_the_last_invoice(imported: Shop, tmp_path: Path) -> None:
    shop = hold_out(imported, tmp_path / "shop", validation=True)
    assert {user: letters(c.target) for user, c in asked(shop).items()} == {"anna": "A"}
    days = {(event.user, event.ts.day) for event in shop.events()}
    assert days == {("anna", 1), ("anna", 2), ("ben", 1)}


def test_baselines(imported: Shop, tmp_path: Path) -> None:
    shop = hold_out(imported, tmp_path / "shop", validation=False)
    popular = popularity(shop.events())
    # Before the last invoices: B three times (cleo's one invoice too), A twice, C and D once.
    assert [LETTERS[item] for item in popular] == ["B", "A", "C", "D"]
    assert [LETTERS[item] for item in own_first(asked(shop)["anna"], popular)] == ["A", "B", "C", "D"]
    assert [LETTERS[item] for item in own_first(asked(shop)["ben"], popular)] == ["D", "B", "A", "C"]


def test_recall_of_all_and_of_new_items(imported: Shop, tmp_path: Path) -> None:
    found = asked(hold_out(imported, tmp_path / "shop", validation=False))
    popular = [CODES[x] for x in "BACD"]
    assert recall_at(popular, found["anna"].target, 2) == 0.5
    got = figures(lambda customer: popular, [found["anna"], found["ben"]], 1)
    assert got.all.tolist() == [0.0, 1.0]
    # Of anna's list A and B fall out, so that C is first; ben bought nothing new.
    np.testing.assert_array_equal(got.new, [1.0, np.nan])


def test_the_whole_benchmark_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_source(
        tmp_path / "source",
        [
            (f"user{n}", day, f"{n}{day}", "ABCD"[(n + day) % 4] + "AB"[n % 2])
            for n in range(6)
            for day in (1, 2, 3)
        ],
    )
    report = tmp_path / "report.json"
    command = ["--data", str(source), "--work", str(tmp_path / "work"), "--quick", "--json", str(report)]
    monkeypatch.setattr(sys, "argv", ["online_retail", *command])
    online_retail.main()
    told = json.loads(report.read_text())
    assert told["runs"]["customers"] == 6
    assert len(told["claims"]) == 2
    assert (tmp_path / "report.png").is_file()
    # Four items and a hundred places: everything is found.
    assert told["runs"]["recall"]["ours"]["all"]["value"] == 1.0
    capsys.readouterr()
    online_retail.main()
    assert "stage1" not in capsys.readouterr().err, "a finished run is not trained again"
    assert json.loads(report.read_text())["runs"] == told["runs"]
