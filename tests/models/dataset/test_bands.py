"""Bands of numbers: thirds of the item's own category."""

import numpy as np

from models.dataset.bands import Numbers


def test_what_is_dear_in_one_category_is_cheap_in_another() -> None:
    numbers = Numbers({"price": "number", "brand": "string", "stars": "number"})
    assert numbers.names == ["price", "stars"]
    for price in (1.0, 2.0, 3.0):
        numbers.add("mugs", {"price": price, "brand": "a"})
        numbers.add("lamps", {"price": 10 * price, "stars": 4.0})
    numbers.add("mugs", {"price": None})
    numbers.add("one of a kind", {"price": 7.0, "stars": True and 1.0})
    bands = numbers.bands()
    assert bands.dtype == np.int8
    assert bands[:, 0].tolist() == [0, 0, 1, 1, 2, 2, -1, 0]
    assert bands[:, 1].tolist() == [-1, 0, -1, 0, -1, 0, -1, 0]


def test_a_shop_without_numbers_has_none() -> None:
    numbers = Numbers({"brand": "string"})
    numbers.add("mugs", {"brand": "a"})
    assert numbers.bands().shape == (1, 0)
    assert Numbers({"price": "number"}).bands().shape == (0, 1)
