"""The table ``[texts]`` of shop.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from artifacts.shop.schema import Item, ShopSchema
from artifacts.shop.shop_toml import read_shop_toml, render_shop_toml

ATTRIBUTES = """
[attributes]
brand = "string"
tags = "list"
price = "number"
"""


def read(folder: Path, text: str) -> tuple[ShopSchema, list[str]]:
    (folder / "shop.toml").write_text(f'name = "acme"\n{ATTRIBUTES}\n{text}')
    reading = read_shop_toml(folder)
    return reading.schema, [str(fault) for fault in reading.faults]


@pytest.mark.parametrize(
    ("text", "fields", "language"),
    [
        ("", ("title", "category", "description"), "english"),
        ("[texts]", ("title", "category", "description"), "english"),
        ('[texts]\ncolumns = []\nlanguage = "none"', ("title", "category"), "none"),
        ('[texts]\ncolumns = ["tags", "title", "brand"]', ("title", "category", "tags", "brand"), "english"),
        ('[texts]\nlanguage = "german"', ("title", "category", "description"), "german"),
    ],
)
def test_what_items_are_found_by(tmp_path: Path, text: str, fields: tuple[str, ...], language: str) -> None:
    schema, faults = read(tmp_path, text)
    assert (schema.text_fields, schema.language, faults) == (fields, language, [])
    (tmp_path / "shop.toml").write_text(render_shop_toml(schema))
    assert read_shop_toml(tmp_path).schema == schema


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[texts]\ncolumns = "brand"', "expected a list of at most 32 columns"),
        ('[texts]\ncolumns = ["price"]', "expected description or a declared string or list"),
        ('[texts]\ncolumns = ["colour"]', "expected description or a declared string or list"),
        ("[texts]\ncolumns = [7]", "expected description or a declared string or list"),
        ('[texts]\nlanguage = "klingon"', "expected one of arabic"),
        ("[texts]\nlanguage = 7", "expected one of arabic"),
        ('[texts]\nlang = "german"', "is no key of [texts], expected columns, language"),
        ("texts = 7", "expected a table [texts]"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    # A key at the top stands before the tables.
    (tmp_path / "shop.toml").write_text(f"{text}\n" if text.startswith("texts =") else ATTRIBUTES + text)
    reading = read_shop_toml(tmp_path)
    (fault,) = reading.faults
    assert told in fault.message
    assert fault.line
    assert reading.schema.text_fields == ("title", "category", "description")


def test_the_texts_of_an_item() -> None:
    item = Item(
        "a", "Shoe", "Shoes", "nice", attributes={"brand": "Acme", "tags": ["red", "new"], "price": 5}
    )
    assert [item.text(name) for name in ("title", "category", "description")] == ["Shoe", "Shoes", "nice"]
    assert [item.text(name) for name in ("brand", "tags", "colour")] == ["Acme", "red new", ""]
