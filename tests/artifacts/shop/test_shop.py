"""The strict reader: what it takes, and what its errors say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from artifacts.shop import lines
from artifacts.shop.check import check_shop
from artifacts.shop.errors import DataError
from artifacts.shop.shop import Shop
from tests.artifacts.shop.shops import picture_bytes


def shop_of(path: Path, items: bytes, *, name: str = "items.csv", toml: str = "") -> Shop:
    (path / "shop.toml").write_text(toml)
    (path / name).write_bytes(items)
    return Shop.open(path)


def test_shop_toml(tmp_path: Path) -> None:
    toml = 'name = "acme"\n[files]\nitems = "stock.csv"\npictures = "img"\n[attributes]\nprice = "number"\n'
    schema = shop_of(tmp_path, b"", name="stock.csv", toml=toml).schema
    assert (schema.name, schema.items, schema.events, schema.pictures) == ("acme", "stock.csv", None, "img")
    assert dict(schema.attributes) == {"price": "number"}
    assert shop_of(tmp_path, b"", name="items.csv").schema.name == tmp_path.name


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbfid,title,note\r\ni1,"a ""quoted"", title",x\r\n\r\n"i2","two\r\nlines",\r\n'
    shop = shop_of(tmp_path, data)
    # a column that nobody declared is left out; the checker tells of it
    assert [(item.id, item.title) for item in shop.items()] == [
        ("i1", 'a "quoted", title'),
        ("i2", "two\r\nlines"),
    ]
    assert [(problem.line, problem.column) for problem in check_shop(tmp_path)] == [
        (1, "note"),
        (None, None),  # no events
    ]
    assert shop.count_items() == 2


def test_category_is_made_regular(tmp_path: Path) -> None:
    shop = shop_of(
        tmp_path, b"id,title,category\ni1,t,Shoes>Running\ni2,t, Shoes  >  Running \ni3,t, Shoes\n"
    )
    assert [item.category for item in shop.items()] == ["Shoes > Running", "Shoes > Running", "Shoes"]


def test_times_are_utc(tmp_path: Path) -> None:
    shop_of(tmp_path, b"id,title\ni1,t\n")
    times = (
        "2024-05-01T10:00:00",
        "2024-05-01 10:00",
        "2024-05-01T12:00:00+02:00",
        "2024-05-01T10:00:00.000Z",
    )
    rows = "".join(f"{time},i1,click,q\n" for time in times)
    (tmp_path / "events.csv").write_text("ts,item,action,query\n" + rows)
    assert {event.ts for event in Shop.open(tmp_path).events()} == {datetime(2024, 5, 1, 10, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("name", "items", "place", "message"),
    [
        ("items.csv", b"id,title\ni1,t\n,t\n", (3, "id"), "is missing, expected a string of 1 to 128"),
        ("items.csv", b"id,title\ni1,t,x\n", (2, None), "the row has 3 cells, expected 2"),
        ("items.csv", b"id,title\ni1\n", (2, None), "the row has 1 cell, expected 2"),
        ("items.csv", b'id,title\ni1,"t\n', (2, None), "the row is no CSV"),
        ("items.csv", b"name,title\ni1,t\n", (1, "id"), "is a required column that is not there"),
        ("items.csv", b"", (1, None), "the file is empty, expected a header line"),
        ("items.jsonl", b'{"id": "i1", "title": "t"}\n{"id": "i2"\n', (2, None), "the line is no JSON"),
        ("items.jsonl", b'{"id": 5, "title": "t"}\n', (1, "id"), "is the number 5, expected a string"),
        ("items.jsonl", b'{"id": "i", "title": "\xff"}\n', (1, None), "the line is not UTF-8 at byte 23"),
        ("items.parquet", b"PAR1", (None, None), "cannot be read"),
    ],
)
def test_errors_have_place_and_expectation(
    tmp_path: Path, name: str, items: bytes, place: tuple[int | None, str | None], message: str
) -> None:
    shop = shop_of(tmp_path, items, name=name)
    with pytest.raises(DataError) as caught:
        list(shop.items())
    assert caught.value.file == str(tmp_path / name)
    assert (caught.value.line, caught.value.column) == place
    assert caught.value.message.startswith(message)


def test_declared_attribute_must_be_a_column(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, b"id,title\ni1,t\n", toml='[attributes]\nprice = "number"\n')
    with pytest.raises(
        DataError, match=r"price is declared in shop\.toml but is no column; the file has id, title"
    ):
        list(shop.items())


def test_endless_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 50)
    long = b'{"id": "i2", "title": "' + b"t" * 200 + b'"}\n'
    shop_of(
        tmp_path, b'{"id": "i1", "title": "t"}\n' + long + b'{"id": "", "title": "t"}\n', name="items.jsonl"
    )
    assert [(problem.line, problem.code) for problem in check_shop(tmp_path)] == [
        (2, "line-too-long"),
        (3, "missing-value"),
        (None, "no-behaviour"),
    ]


def test_picture(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, b"id,title\ni1,t\n")
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(picture_bytes())
    (folder / "out.jpg").symlink_to(tmp_path / "shop.toml")
    assert shop.picture("a.jpg") == picture_bytes()
    for path, code in (
        ("b.jpg", "missing-picture"),
        ("a.jpg/b.jpg", "missing-picture"),
        ("x" * 300, "missing-picture"),
        ("../shop.toml", "picture-path"),
        (str(tmp_path / "shop.toml"), "picture-path"),
        ("out.jpg", "picture-path"),
        ("a\0.jpg", "picture-path"),
    ):
        with pytest.raises(DataError) as caught:
            shop.picture(path)
        assert (caught.value.code, caught.value.column) == (code, "picture")


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, b"id,title\ni1,t\n")
    first = shop.fingerprint()
    assert len(bytes.fromhex(first)) == 8
    assert Shop.open(tmp_path).fingerprint() == first
    (tmp_path / "events.csv").write_bytes(b"ts,item,action,query\n")
    second = Shop.open(tmp_path).fingerprint()
    shop_of(tmp_path, b"id,title\ni1,u\n")
    third = Shop.open(tmp_path).fingerprint()
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    (tmp_path / "pictures" / "a" / "1.jpg").write_bytes(b"123")
    fourth = Shop.open(tmp_path).fingerprint()
    (tmp_path / "pictures" / "a" / "1.jpg").write_bytes(b"1234")
    assert len({first, second, third, fourth, Shop.open(tmp_path).fingerprint()}) == 5


def test_reading_may_stop_early(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, b"id,title\n" + b"".join(b"i%d,t\n" % number for number in range(100)))
    assert next(shop.items()).id == "i0"
    assert next(check_shop(tmp_path)).code == "no-behaviour"
