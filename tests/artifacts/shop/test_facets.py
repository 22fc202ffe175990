"""What a catalogue can be narrowed by."""

from __future__ import annotations

import json

import pytest

from artifacts.attributes import AttributeKind
from artifacts.shop import facets
from artifacts.shop.facets import Facets
from artifacts.shop.schema import AttributeValue, Item

_KINDS: dict[str, AttributeKind] = {
    "price": "number", "in_stock": "bool", "brand": "string", "model": "string", "tags": "list",
}  # fmt: skip


def _counted(items: list[Item]) -> list[dict[str, object]]:
    counter = Facets(_KINDS)
    for item in items:
        counter.add(item)
    told = counter.told()
    assert json.loads(json.dumps(told)) == told, "plain values"
    return told


def _item(place: int, category: str = "", **attributes: AttributeValue) -> Item:
    return Item(f"i{place}", "A thing", category, attributes=dict.fromkeys(_KINDS) | attributes)


def test_each_kind_of_attribute_gives_its_facet() -> None:
    items = [
        _item(
            n,
            "Shoes > Boots > Winter" if n % 4 else "Bags",
            price=float(n),
            in_stock=n % 3 == 0,
            brand="acme" if n % 2 else "Other",
            model=f"m{n}",
            tags=["sale", "sale", "new"] if n % 5 == 0 else [],
        )
        for n in range(100)
    ]
    told = _counted(items)
    tree, price, stock, brand, tags = told
    assert tree["values"] == [
        {
            "value": "Shoes",
            "label": "Shoes",
            "count": 75,
            "below": [{"value": "Shoes > Boots", "label": "Boots", "count": 75}],
        },
        {"value": "Bags", "label": "Bags", "count": 25, "below": []},
    ]
    assert (price["low"], price["high"]) == (0.0, 98.0)
    assert sum(price["bins"]) == 100  # type: ignore[arg-type]
    assert stock == {"attribute": "in_stock", "kind": "switch", "count": 34}
    assert [value["count"] for value in brand["values"]] == [50, 50]  # type: ignore[attr-defined]
    assert tags["values"] == [  # a list counts an item once
        {"value": "sale", "label": "sale", "count": 20},
        {"value": "new", "label": "new", "count": 20},
    ]
    assert "model" not in [facet["attribute"] for facet in told], "each item has its own"


@pytest.mark.parametrize(
    "items",
    [
        [],
        [_item(0)],
        [_item(n, "Shoes", price=5.0, in_stock=True, brand="acme", tags=["sale"]) for n in range(9)],
    ],
)
def test_what_leaves_nothing_to_choose_is_no_facet(items: list[Item]) -> None:
    assert _counted(items) == []


def test_one_dear_item_does_not_squeeze_the_range_of_the_others() -> None:
    (price,) = _counted([_item(n, price=float(n)) for n in range(200)] + [_item(200, price=1e6)])
    assert price["high"] == 198.0
    assert price["bins"][-1] > 1  # type: ignore[index]


def test_a_large_catalogue_is_counted_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facets, "MAX_COUNTED", 50)
    monkeypatch.setattr(facets, "SAMPLE", 20)
    counter = Facets(_KINDS)
    for n in range(1000):
        counter.add(_item(n, brand=f"b{n % 100}", price=float(n)))
    assert len(counter._counts["brand"]) == 50
    assert len(counter._numbers["price"]._values) == 20
    assert [facet["kind"] for facet in counter.told()] == ["range", "choice"]
