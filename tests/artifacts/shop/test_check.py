"""Planted faults are all found, with their places, and nothing else is."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifacts.shop.check import ShopProblem, check_shop
from artifacts.shop.errors import DataError
from artifacts.shop.shop import Shop
from tests.artifacts.shop.shops import picture_bytes, write_rows

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TOML = """name = "acme"
[attributes]
price = "number"
in_stock = "bool"
tags = "list"
brand = "string"
"""
ITEM_COLUMNS = ("id", "title", "category", "description", "picture", "price", "in_stock", "tags", "brand")
EVENT_COLUMNS = ("ts", "user", "query", "item", "action", "relevance", "picture", "split")
ITEM_TYPES = {
    "price": pa.float64(),
    "in_stock": pa.bool_(),
    "tags": pa.list_(pa.string()),
    "brand": pa.string(),
}
EVENT_TYPES = {"relevance": pa.float64(), "picture": pa.string(), "split": pa.string(), "user": pa.string()}

Found = set[tuple[str, int | None, str | None, str]]


def sound_items(count: int = 40) -> list[dict[str, Any]]:
    return [
        {
            "id": f"i{number}",
            "title": f'Shoe, "{number}"',
            "category": "Shoes > Running" if number % 2 else "Shoes",
            "description": "Two\nlines" if number % 5 == 0 else None,
            "picture": "ok.jpg" if number % 3 else "deep/ok.png",
            "price": number + 0.5 if number % 4 else None,
            "in_stock": bool(number % 2),
            "tags": ["a", "b"] if number % 2 else None,
            "brand": "Ac",
        }
        for number in range(1, count + 1)
    ]


def sound_events(count: int = 40) -> list[dict[str, Any]]:
    return [
        {
            "ts": f"2026-05-01T10:{number:02}:00" + ("Z" if number % 2 else ""),
            "user": "u1" if number % 2 else None,
            "query": "shoe" if number % 3 else ("" if number % 2 else None),
            "item": f"i{number}",
            "action": "click",
            "relevance": 0.5 if number % 7 == 0 else None,
            "picture": "ok.jpg" if number % 2 == 0 else None,
            "split": "val" if number % 9 == 0 else None,
        }
        for number in range(1, count + 1)
    ]


def start_shop(path: Path) -> None:
    (path / "shop.toml").write_text(TOML)
    (path / "pictures" / "deep").mkdir(parents=True)
    (path / "pictures" / "ok.jpg").write_bytes(picture_bytes())
    (path / "pictures" / "deep" / "ok.png").write_bytes(picture_bytes("PNG"))
    (path / "pictures" / "text.jpg").write_bytes(b"no picture at all")
    (path / "pictures" / "cut.jpg").write_bytes(picture_bytes(side=64)[:-200])
    (path / "pictures" / "out.jpg").symlink_to(path / "shop.toml")
    (path / "pictures" / "film.gif").write_bytes(picture_bytes("GIF"))


def found(path: Path) -> Found:
    problems = [problem for problem in check_shop(path, now=NOW) if problem.code != "no-behaviour"]
    places = [(problem.file, problem.line, problem.column, problem.code) for problem in problems]
    assert max(Counter(places).values(), default=1) == 1, "told twice"
    for problem in problems:
        assert problem.message
    return set(places)


# What every format can hold: (file, row to change, columns to change, column told, code)
SHARED: list[tuple[str, int, dict[str, Any], str, str]] = [
    ("items", 2, {"id": None}, "id", "missing-value"),
    ("items", 3, {"id": "x" * 129}, "id", "id-too-long"),
    ("items", 4, {"id": "i1"}, "id", "duplicate-id"),
    ("items", 6, {"title": "  ", "picture": None}, "title", "empty-title"),
    ("items", 7, {"category": "Shoes >  > Running"}, "category", "bad-category"),
    ("items", 8, {"category": "Shoes > "}, "category", "bad-category"),
    ("items", 22, {"category": " > ".join("a" * 17)}, "category", "too-large"),
    ("items", 23, {"brand": "a" * 513}, "brand", "too-large"),
    ("items", 9, {"picture": "gone.jpg"}, "picture", "missing-picture"),
    ("items", 11, {"picture": "text.jpg"}, "picture", "bad-picture"),
    ("items", 12, {"picture": "cut.jpg"}, "picture", "bad-picture"),
    ("items", 13, {"picture": "film.gif"}, "picture", "bad-picture"),
    ("items", 14, {"picture": "../shop.toml"}, "picture", "picture-path"),
    ("items", 16, {"picture": "/etc/hostname"}, "picture", "picture-path"),
    ("items", 17, {"picture": "out.jpg"}, "picture", "picture-path"),
    ("items", 18, {"id": "i18 "}, "id", "bad-id"),
    ("items", 19, {"picture": "deep"}, "picture", "missing-picture"),
    ("events", 1, {"item": "nobody"}, "item", "unknown-item"),
    ("events", 5, {"item": None}, "item", "missing-value"),
    ("events", 7, {"action": "buy"}, "action", "unknown-action"),
    ("events", 8, {"action": None}, "action", "missing-value"),
    ("events", 9, {"ts": "yesterday"}, "ts", "bad-timestamp"),
    ("events", 10, {"ts": "2026-13-01T10:00:00Z"}, "ts", "bad-timestamp"),
    ("events", 11, {"ts": None}, "ts", "missing-value"),
    ("events", 12, {"ts": "2026-06-01T00:06:00Z"}, "ts", "clock-error"),
    ("events", 13, {"ts": "1970-01-01T00:00:00Z"}, "ts", "clock-error"),
    ("events", 14, {"relevance": 1.5}, "relevance", "bad-relevance"),
    ("events", 15, {"relevance": -0.1}, "relevance", "bad-relevance"),
    ("events", 16, {"query": " ", "picture": None, "user": None}, "query", "empty-event"),
    ("events", 17, {"picture": "gone.png"}, "picture", "missing-picture"),
    ("events", 19, {"split": "dev"}, "split", "unknown-split"),
    ("events", 20, {"ts": "1970-01-01", "action": "look"}, "ts", "clock-error"),
]
#: Two faults in one row, and items that are unknown because their own row's id is no id.
ALSO = [("events", 20, "action", "unknown-action")]
#: Events of the items whose ids were spoilt above point nowhere.
SPOILT = {2: "i2", 3: "i3", 4: "i4", 18: "i18"}


def plant(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    start_shop(path)
    rows = {"items": sound_items(), "events": sound_events()}
    for file, row, change, _, _ in SHARED:
        rows[file][row - 1].update(change)
    for event in rows["events"]:
        if event["item"] in SPOILT.values():
            event["item"] = "i20"
    return rows["items"], rows["events"]


def expected(ending: str, places: dict[str, dict[int, int]]) -> Found:
    planted = [(file, row, column, code) for file, row, _, column, code in SHARED] + ALSO
    return {(f"{file}{ending}", places[file][row], column, code) for file, row, column, code in planted}


def csv_places(rows: list[dict[str, Any]]) -> dict[int, int]:
    """Row number to line: a description of two lines makes its row one longer."""
    places, line = {}, 2
    for number, row in enumerate(rows, start=1):
        places[number] = line
        line += 1 + (row.get("description") or "").count("\n")
    return places


def test_csv(tmp_path: Path) -> None:
    items, events = plant(tmp_path)
    items[20]["price"] = "12,50"
    items[21]["in_stock"] = "maybe"
    items[22]["tags"] = "a||b"
    items[23]["price"] = "nan"
    events[20]["relevance"] = "high"
    for file, rows, columns in (("items", items, ITEM_COLUMNS), ("events", events, EVENT_COLUMNS)):
        write_rows(tmp_path / f"{file}.csv", columns, rows)
    places = {"items": csv_places(items), "events": csv_places(events)}
    lines = (tmp_path / "items.csv").read_bytes().split(b"\n")
    at = places["items"]
    lines[at[26] - 1] = lines[at[26] - 1].replace(b"Shoes", b"Sho\xff\xfe")
    lines[at[27] - 1] = b"i27,too few\r"
    lines[at[28] - 1] = lines[at[28] - 1].rstrip(b"\r") + b",one,more\r"
    lines[at[29] - 1] = b'i29,"never closed,Shoes,,,,,,\r'
    lines[at[31] - 1] = b'i31,"closed" too soon,Shoes,,,,,,\r'
    (tmp_path / "items.csv").write_bytes(b"\n".join(lines))

    assert found(tmp_path) == expected(".csv", places) | {
        ("items.csv", at[21], "price", "wrong-type"),
        ("items.csv", at[22], "in_stock", "wrong-type"),
        ("items.csv", at[23], "tags", "wrong-type"),
        ("items.csv", at[24], "price", "wrong-type"),
        ("items.csv", at[26], "category", "bad-utf8"),
        ("items.csv", at[27], None, "cell-count"),
        ("items.csv", at[28], None, "cell-count"),
        ("items.csv", at[29], None, "bad-csv"),
        ("items.csv", at[31], None, "bad-csv"),
        ("events.csv", places["events"][21], "relevance", "wrong-type"),
    }


def test_jsonl(tmp_path: Path) -> None:
    items, events = plant(tmp_path)
    items[20]["price"] = "12.50"
    items[21]["in_stock"] = 1
    items[22]["tags"] = ["a", 3]
    items[23]["tags"] = "a"
    items[24]["title"] = 7
    items[25]["colour"] = "red"
    items[26]["colour"] = "red"
    items[27]["brand"] = True
    events[20]["ts"] = 1764000000
    events[21]["session"] = "s"
    write_rows(tmp_path / "items.jsonl", (*ITEM_COLUMNS, "colour"), items)
    write_rows(tmp_path / "events.jsonl", EVENT_COLUMNS, events)
    lines = (tmp_path / "items.jsonl").read_bytes().split(b"\n")
    lines = [line.replace(b', "colour": null', b"") for line in lines]
    lines[28] = lines[28][:-3]
    lines[29] = b"[1, 2]"
    lines[30] = lines[30].replace(b"Shoes", b"Sho\xff")
    lines[31:31] = [b"", b"   "]
    (tmp_path / "items.jsonl").write_bytes(b"\n".join(lines))
    row = json.dumps({**events[21], "session": "s"}).encode()
    lines = (tmp_path / "events.jsonl").read_bytes().split(b"\n")
    lines[21] = row
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines))

    same = {number: number for number in range(1, 41)}
    assert found(tmp_path) == expected(".jsonl", {"items": same, "events": same}) | {
        ("items.jsonl", 21, "price", "wrong-type"),
        ("items.jsonl", 22, "in_stock", "wrong-type"),
        ("items.jsonl", 23, "tags", "wrong-type"),
        ("items.jsonl", 24, "tags", "wrong-type"),
        ("items.jsonl", 25, "title", "wrong-type"),
        ("items.jsonl", 26, "colour", "unknown-column"),
        ("items.jsonl", 28, "brand", "wrong-type"),
        ("items.jsonl", 29, None, "bad-json"),
        ("items.jsonl", 30, None, "bad-json"),
        ("items.jsonl", 31, None, "bad-utf8"),
        ("events.jsonl", 21, "ts", "bad-timestamp"),
        ("events.jsonl", 22, "session", "unknown-column"),
        # the line that is an array has no id, so the event that names it names nobody
        ("events.jsonl", 30, "item", "unknown-item"),
    }


def test_parquet(tmp_path: Path) -> None:
    items, events = plant(tmp_path)
    items[20]["tags"] = ["a", ""]
    items[21]["price"] = float("inf")
    write_rows(tmp_path / "items.parquet", ITEM_COLUMNS, items, ITEM_TYPES)
    write_rows(tmp_path / "events.parquet", EVENT_COLUMNS, events, EVENT_TYPES)
    # a string column can be made to hold bytes that are no UTF-8
    table = pq.read_table(tmp_path / "items.parquet")
    titles = [row["title"].encode() for row in items]
    titles[22] = b"Sho\xff"
    spoilt = pa.Array.from_buffers(pa.string(), len(titles), pa.array(titles, pa.binary()).buffers())
    pq.write_table(table.set_column(1, "title", spoilt), tmp_path / "items.parquet")

    same = {number: number for number in range(1, 41)}
    assert found(tmp_path) == expected(".parquet", {"items": same, "events": same}) | {
        ("items.parquet", 21, "tags", "wrong-type"),
        ("items.parquet", 22, "price", "wrong-type"),
        ("items.parquet", 23, "title", "bad-utf8"),
    }


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"])
def test_sound_shop_has_no_problem(tmp_path: Path, ending: str) -> None:
    start_shop(tmp_path)
    write_rows(tmp_path / f"items{ending}", ITEM_COLUMNS, sound_items(), ITEM_TYPES)
    write_rows(tmp_path / f"events{ending}", EVENT_COLUMNS, sound_events(), EVENT_TYPES)
    assert found(tmp_path) == set()


def test_parquet_columns_of_the_wrong_type_are_told_once(tmp_path: Path) -> None:
    start_shop(tmp_path)
    items = [{**row, "price": "dear", "in_stock": 1, "tags": "a", "brand": 1.5} for row in sound_items()]
    write_rows(tmp_path / "items.parquet", ITEM_COLUMNS, items)
    events = [{**row, "ts": 1, "relevance": "high", "user": 5} for row in sound_events()]
    write_rows(
        tmp_path / "events.parquet", EVENT_COLUMNS, events, {"picture": pa.string(), "split": pa.string()}
    )
    assert found(tmp_path) == {
        *(("items.parquet", None, column, "wrong-type") for column in ("price", "in_stock", "tags", "brand")),
        *(("events.parquet", None, column, "wrong-type") for column in ("ts", "relevance", "user")),
    }


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_parquet_timestamps_of_any_unit_and_zone(tmp_path: Path, unit: str, zone: str | None) -> None:
    start_shop(tmp_path)
    write_rows(tmp_path / "items.parquet", ITEM_COLUMNS, sound_items(), ITEM_TYPES)
    when = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
    stored = when if zone else when.replace(tzinfo=None)
    rows = [{**row, "ts": stored} for row in sound_events()]
    write_rows(
        tmp_path / "events.parquet", EVENT_COLUMNS, rows, {**EVENT_TYPES, "ts": pa.timestamp(unit, zone)}
    )
    assert found(tmp_path) == set()
    assert {event.ts for event in Shop.open(tmp_path).events()} == {when}


def test_parquet_year_beyond_the_calendar(tmp_path: Path) -> None:
    start_shop(tmp_path)
    write_rows(tmp_path / "items.parquet", ITEM_COLUMNS, sound_items(), ITEM_TYPES)
    table = pa.table(
        {"ts": pa.array([2**61], pa.timestamp("us")), "item": ["i1"], "action": ["click"], "query": ["q"]}
    )
    pq.write_table(table, tmp_path / "events.parquet")
    assert found(tmp_path) == {("events.parquet", 1, "ts", "bad-timestamp")}


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_missing_and_extra_columns_are_told_once(tmp_path: Path, ending: str) -> None:
    start_shop(tmp_path)
    line = 1 if ending == ".csv" else None
    write_rows(
        tmp_path / f"items{ending}", ("sku", "description", "price", "tags"), sound_items(), ITEM_TYPES
    )
    write_rows(tmp_path / f"events{ending}", ("time", "relevance"), sound_events(), EVENT_TYPES)
    assert found(tmp_path) == {
        (f"items{ending}", line, "id", "missing-column"),
        (f"items{ending}", line, "title", "missing-column"),
        (f"items{ending}", line, "in_stock", "missing-column"),
        (f"items{ending}", line, "brand", "missing-column"),
        (f"items{ending}", line, "sku", "unknown-column"),
        (f"events{ending}", line, "time", "unknown-column"),
        *(
            (f"events{ending}", line, column, "missing-column")
            for column in ("ts", "item", "action", "query")
        ),
    }


def test_declared_attribute_in_no_jsonl_row(tmp_path: Path) -> None:
    start_shop(tmp_path)
    write_rows(tmp_path / "items.jsonl", ("id", "title", "price", "tags", "in_stock"), sound_items())
    assert found(tmp_path) == {("items.jsonl", None, "brand", "missing-column")}


@pytest.mark.parametrize(
    ("toml", "problems"),
    [
        ('name = "x"\n[attributes\n', {("shop.toml", 2, None, "bad-shop-toml")}),
        ('name = "x', {("shop.toml", 1, None, "bad-shop-toml")}),
        (
            'name = "x"\n[attributes]\nprice = "number"\nin_stock = "boolean"\ntags = "list"\nbrand = 3\n',
            {("shop.toml", 4, "in_stock", "unknown-type"), ("shop.toml", 6, "brand", "unknown-type")},
        ),
        (
            TOML + 'title = "string"\n[file]\nitems = "x"\n',
            {("shop.toml", 7, "title", "reserved-attribute"), ("shop.toml", 8, "file", "unknown-key")},
        ),
        ("name = 3\n" + TOML[14:], {("shop.toml", 1, "name", "bad-value")}),
        (
            TOML + "[files]\nitem = 'x'\npictures = 3\n",
            {("shop.toml", 8, "item", "unknown-key"), ("shop.toml", 9, "pictures", "bad-value")},
        ),
    ],
)
def test_shop_toml(tmp_path: Path, toml: str, problems: Found) -> None:
    start_shop(tmp_path)
    (tmp_path / "shop.toml").write_text(toml)
    write_rows(tmp_path / "items.csv", ITEM_COLUMNS, sound_items())
    write_rows(tmp_path / "events.csv", EVENT_COLUMNS, [{**sound_events()[0], "item": "nobody"}])
    # the rest is checked all the same
    assert found(tmp_path) == problems | {("events.csv", 2, "item", "unknown-item")}
    with pytest.raises(DataError) as caught:
        Shop.open(tmp_path)
    assert caught.value.file == str(tmp_path / "shop.toml")
    assert caught.value.line in {line for _, line, _, _ in problems}


def test_no_shop(tmp_path: Path) -> None:
    assert [problem.code for problem in check_shop(tmp_path / "none")] == ["no-shop"]
    assert {problem.code for problem in check_shop(tmp_path)} == {"no-shop-toml", "no-file", "no-behaviour"}
    (tmp_path / "shop.toml").write_text("")
    with pytest.raises(
        DataError, match=r"no items file: looked for items\.parquet, items\.csv, .* name another"
    ):
        Shop.open(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        Shop.open(tmp_path / "none")


def test_which_file(tmp_path: Path) -> None:
    start_shop(tmp_path)
    for ending in (".csv", ".jsonl"):
        write_rows(tmp_path / f"items{ending}", ITEM_COLUMNS, sound_items())
    assert found(tmp_path) == {("items", None, None, "several-files")}
    (tmp_path / "shop.toml").write_text(TOML + '[files]\nitems = "items.jsonl"\nevents = "log.csv"\n')
    assert found(tmp_path) == {("log.csv", None, None, "no-file")}
    (tmp_path / "log.csv").touch()
    assert found(tmp_path) == {("log.csv", 1, None, "no-header")}
    (tmp_path / "log.txt").touch()
    (tmp_path / "shop.toml").write_text(TOML + '[files]\nitems = "items.jsonl"\nevents = "log.txt"\n')
    assert found(tmp_path) == {("log.txt", None, None, "unknown-format")}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_another_delimiter_is_one_problem(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "shop.toml").write_text(TOML)
    rows = [ITEM_COLUMNS, ("i1", "cup, blue", "", "", "", "3,50", "true", "", "acme")]
    (tmp_path / "items.csv").write_text("".join(delimiter.join(row) + "\n" for row in rows))
    assert found(tmp_path) == {("items.csv", 1, None, "delimiter")}
    with pytest.raises(DataError, match="expected commas"):
        list(Shop.open(tmp_path).items())


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_what_other_encodings_look_like(tmp_path: Path, ending: str) -> None:
    (tmp_path / "shop.toml").write_text("")
    path = tmp_path / f"items{ending}"
    write_rows(path, ("id", "title"), [{"id": "i1", "title": "Café"}])
    path.write_bytes(path.read_bytes().decode().encode("cp1252"))
    (problem,) = (p for p in check_shop(tmp_path) if not p.harmless)
    assert (problem.line, problem.code) == (2 if ending == ".csv" else 1, "bad-utf8")
    assert "not UTF-8" in problem.message
    assert problem.message.endswith(" (looks like Windows-1252); save the file as UTF-8")


def test_a_header_that_is_not_utf8_is_told_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text("")
    (tmp_path / "items.csv").write_bytes("id,title,größe\ni1,cup,3\n".encode("cp1252"))
    assert [(p.line, p.code) for p in check_shop(tmp_path)][:2] == [(1, "bad-utf8"), (1, "unknown-column")]
    (tmp_path / "items.csv").write_bytes("id,title\ni1,cup\n".encode("utf-16"))
    (problem,) = (p for p in check_shop(tmp_path) if not p.harmless)
    assert problem.message == "the header is not UTF-8 (looks like UTF-16); save the file as UTF-8"


def test_a_missing_pictures_folder_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(TOML)
    write_rows(tmp_path / "items.csv", ITEM_COLUMNS, sound_items())
    write_rows(tmp_path / "events.csv", EVENT_COLUMNS, sound_events())
    (problem,) = check_shop(tmp_path, now=NOW)
    assert str(problem) == (
        f"items.csv: there is no folder {tmp_path / 'pictures'}; "
        "make it or name another under [files] pictures in shop.toml"
    )
    with pytest.raises(DataError, match="pictures: there is no such folder; make it or name another"):
        Shop.open(tmp_path).picture("ok.jpg")


def test_events_without_behaviour_are_a_warning(tmp_path: Path) -> None:
    start_shop(tmp_path)
    write_rows(tmp_path / "items.csv", ITEM_COLUMNS, sound_items())
    seen = [{**event, "action": "impression"} for event in sound_events()]
    held_out = [{**event, "split": "test"} for event in sound_events()]
    for rows in (seen, held_out, []):
        write_rows(tmp_path / "events.csv", EVENT_COLUMNS, rows)
        (problem,) = check_shop(tmp_path, now=NOW)
        assert (problem.file, problem.code, problem.harmless) == ("events.csv", "no-behaviour", True)
    write_rows(tmp_path / "events.csv", EVENT_COLUMNS, [*held_out, {**held_out[0], "split": None}])
    assert list(check_shop(tmp_path, now=NOW)) == []


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_no_items(tmp_path: Path, ending: str) -> None:
    start_shop(tmp_path)
    write_rows(tmp_path / f"items{ending}", ITEM_COLUMNS, [], {**ITEM_TYPES, "id": pa.string()})
    assert found(tmp_path) == {(f"items{ending}", None, None, "no-items")}


def test_damaged_files(tmp_path: Path) -> None:
    start_shop(tmp_path)
    write_rows(tmp_path / "items.csv.gz", ITEM_COLUMNS, sound_items(4000))
    whole = (tmp_path / "items.csv.gz").read_bytes()
    (tmp_path / "items.csv.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "events.parquet").write_bytes(b"PAR1 and nothing else")
    codes = {(problem.file, problem.code) for problem in check_shop(tmp_path, now=NOW)}
    assert codes == {("items.csv.gz", "unreadable-file"), ("events.parquet", "unreadable-file")}
    with pytest.raises(DataError, match=r"items\.csv\.gz:\d+: cannot be read"):
        list(Shop.open(tmp_path).items())
    (tmp_path / "items.csv.gz").write_bytes(gzip.compress(b"id,title\ni1,one\n")[:-4] + b"abcd")
    assert any(problem.code == "unreadable-file" for problem in check_shop(tmp_path))


def test_damaged_parquet_row_group(tmp_path: Path) -> None:
    start_shop(tmp_path)
    write_rows(tmp_path / "items.parquet", ITEM_COLUMNS, sound_items(400), ITEM_TYPES)
    data = bytearray((tmp_path / "items.parquet").read_bytes())
    data[3000:4000] = bytes(1000)
    (tmp_path / "items.parquet").write_bytes(data)
    assert {problem.code for problem in check_shop(tmp_path) if not problem.harmless} == {"unreadable-file"}


def test_slips_of_the_pen_are_told_with_what_is_meant(tmp_path: Path) -> None:
    start_shop(tmp_path)
    rows = sound_items(2)
    rows[1]["price"] = "9,50"
    write_rows(tmp_path / "items.csv", ITEM_COLUMNS, rows)
    assert (
        next(iter(check_shop(tmp_path))).message == "is '9,50', expected a finite number, with a point: 9.50"
    )
    (tmp_path / "shop.toml").write_text('name = "corner\n')
    assert next(iter(check_shop(tmp_path))).message.endswith("is a quote left open?")
    (tmp_path / "shop.toml").unlink()
    assert next(iter(check_shop(tmp_path))).message.count("shop.toml") == 0
    (tmp_path / "shop.toml").write_text('name = "corner"\n', encoding="utf-16")
    assert "looks like UTF-16" in next(iter(check_shop(tmp_path))).message


def test_messages_say_what_was_found_and_expected(tmp_path: Path) -> None:
    start_shop(tmp_path)
    rows = sound_items(3)
    rows[2]["id"] = "i1"
    rows[1]["price"] = "dear"
    write_rows(tmp_path / "items.csv", ITEM_COLUMNS, rows)
    assert list(check_shop(tmp_path)) == [
        ShopProblem("items.csv", 3, "price", "is 'dear', expected a finite number", "wrong-type"),
        ShopProblem(
            "items.csv", 4, "id", "is 'i1', which line 2 has too; expected every id once", "duplicate-id"
        ),
        ShopProblem(
            "events",
            None,
            None,
            "no events file: looked for events.parquet, events.csv, events.csv.gz, events.jsonl, "
            "events.jsonl.gz; name another under [files] events in shop.toml; "
            "training learns nothing from behaviour",
            "no-behaviour",
        ),
    ]
    with pytest.raises(DataError) as caught:
        list(Shop.open(tmp_path).items())
    assert str(caught.value) == f"{tmp_path / 'items.csv'}:3: price is 'dear', expected a finite number"
    assert (caught.value.line, caught.value.column, caught.value.code) == (3, "price", "wrong-type")
