"""Draws the catalogue: what every item of a shop is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.arrays import F32, F64, I8, I64, Bool
from models.synthetic import lexicon
from models.synthetic.attributes import BRAND, CATEGORY, MATERIAL, Codes
from models.synthetic.pictures import VARIANTS

_PLAIN_SHARE = 0.25
_NO_LOGO_SHARE = 0.5
_NO_PICTURE_SHARE = 0.02
_NEW_SHARE = 0.05
_IN_STOCK_SHARE = 0.88
_NO_PRICE_SHARE = 0.01
#: Popularity falls as 1 / (rank + offset) ** exponent.
ZIPF_OFFSET, ZIPF_EXPONENT = 5.0, 0.9


@dataclass(frozen=True)
class Catalogue:
    """Ground truth of ``n`` items, as columns.

    ``codes`` int16 ``[8, n]`` (see `attributes`); ``price`` float32 in the shop's currency, NaN where it
    is not given; ``price_band`` int8, 0 to 2, the third of its category that the true price is in;
    ``popularity`` float64, sums to 1; ``new`` marks items that nobody saw before the test period.
    """

    codes: Codes
    price: F32
    price_band: I8
    in_stock: Bool
    popularity: F64
    new: Bool
    has_picture: Bool
    variant: I8

    @property
    def size(self) -> int:
        """Number of items."""
        return int(self.codes.shape[1])


def item_id(row: int) -> str:
    """The id of the item in a row."""
    return f"i{row:07d}"


def draw_catalogue(size: int, rng: np.random.Generator) -> Catalogue:
    """Draw ``size`` items."""
    categories = len(lexicon.CATEGORIES)
    weights = 1 / (np.arange(categories) + 8.0)
    # Which categories are large differs between seeds.
    category = rng.permutation(categories)[rng.choice(categories, size, p=weights / weights.sum())]
    top = np.array([lexicon.top_of(c) for c in range(categories)])[category]
    colour = rng.integers(len(lexicon.COLOURS), size=size)
    pattern = _first_or_any(rng, size, _PLAIN_SHARE, len(lexicon.PATTERNS))
    logo = _first_or_any(rng, size, _NO_LOGO_SHARE, len(lexicon.LOGOS))
    brand = _of_category(rng, category, [lexicon.brands_of(c) for c in range(categories)])
    materials = [tuple(lexicon.MATERIALS.index(m) for m in leaf.materials) for leaf in lexicon.CATEGORIES]
    material = _of_category(rng, category, materials)
    model = _of_category(rng, brand, [lexicon.models_of(b) for b in range(len(lexicon.BRANDS))])
    codes = np.array([top, category, colour, pattern, logo, brand, material, model], dtype=np.int16)
    price = _prices(codes, rng)
    return Catalogue(
        codes=codes,
        price=np.where(rng.random(size) < _NO_PRICE_SHARE, np.float32(np.nan), price),
        price_band=_bands(category, price),
        in_stock=rng.random(size) < _IN_STOCK_SHARE,
        popularity=zipf(size)[rng.permutation(size)],
        new=rng.random(size) < _NEW_SHARE,
        has_picture=rng.random(size) >= _NO_PICTURE_SHARE,
        variant=rng.integers(VARIANTS, size=size).astype(np.int8),
    )


def zipf(size: int) -> F64:
    """Zipf weights by rank, highest first; they sum to 1."""
    weights = 1 / (np.arange(size) + ZIPF_OFFSET) ** ZIPF_EXPONENT
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _first_or_any(rng: np.random.Generator, size: int, share: float, values: int) -> I64:
    """Code 0 with probability ``share``, else one of the others evenly."""
    others = rng.integers(1, values, size=size)
    return np.where(rng.random(size) < share, 0, others)


def _of_category(rng: np.random.Generator, category: I64, allowed: list[tuple[int, ...]]) -> I64:
    """A value of those that each row's category allows; earlier ones are more frequent."""
    width = max(map(len, allowed))
    table = np.array([[*row, *[-1] * (width - len(row))] for row in allowed])
    counts = np.array([len(row) for row in allowed])
    place = (rng.random(len(category)) ** 1.3 * counts[category]).astype(np.int64)
    return np.asarray(table[category, place], dtype=np.int64)


def _prices(codes: Codes, rng: np.random.Generator) -> F32:
    """The category's medium price, times factors for brand, material and chance."""
    base = np.array([leaf.price for leaf in lexicon.CATEGORIES])[codes[CATEGORY]]
    level = np.array(lexicon.BRAND_FACTORS)[codes[BRAND] % 3]
    material = 0.9 + 0.05 * (codes[MATERIAL] % 5)
    chance = rng.lognormal(0.0, 0.18, codes.shape[1])
    return np.asarray(np.maximum(np.round(base * level * material * chance, 2), 1.0), dtype=np.float32)


def _bands(category: I64, price: F32) -> I8:
    bands = np.zeros(len(price), dtype=np.int8)
    for code in np.unique(category):
        rows = np.flatnonzero(category == code)
        low, high = np.quantile(price[rows], [1 / 3, 2 / 3])
        bands[rows] = (price[rows] > low).astype(np.int8) + (price[rows] > high)
    return bands
