"""The shop's users: what each likes, and whether they go by pictures or by words.

Taste is strong enough to be read from the last 20 behaviours. With a weaker one, even a reader that knew
every attribute could not tell it from them, and history could not help.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.arrays import F32, F64, I8, I64, Bool
from models.synthetic import lexicon
from models.synthetic.attributes import BRAND, CATEGORY, COLOUR, PATTERN
from models.synthetic.catalogue import Catalogue, zipf

MODALITIES: tuple[str, ...] = ("balanced", "picture", "text")
#: Weight of what the picture shows in a user's liking, by modality preference; the rest is for text.
VISUAL_WEIGHT: tuple[float, float, float] = (0.5, 0.9, 0.1)
#: Queries lean the same way: see `QueryPool.tilted`.
LEANS: tuple[int, int, int] = (0, 1, -1)
COLD_SHARE = 0.1
_TASTELESS_SHARE = 0.2
_BRANDS_LIKED = 5
_CATEGORIES_LIKED = 4
_SECOND_COLOUR = 0.7


@dataclass(frozen=True)
class Users:
    """Ground truth of ``n`` users, as columns.

    ``modality`` int8, a place in `MODALITIES`; ``strength`` float32, 0 for no taste to 1; ``colours`` int8
    ``[n, 2]``, best first; ``pattern`` int8; ``brands`` int64, bit b set where brand b is liked;
    ``price_band`` int8, 0 to 2; ``categories`` int8 ``[n, 4]``; ``cold`` marks users never seen before the
    test period; ``activity`` float64, sums to 1 over the others.
    """

    modality: I8
    strength: F32
    colours: I8
    pattern: I8
    brands: I64
    price_band: I8
    categories: I8
    cold: Bool
    activity: F64

    @property
    def size(self) -> int:
        """Number of users."""
        return len(self.modality)


def user_id(row: int) -> str:
    """The id of the user in a row."""
    return f"u{row:06d}"


def draw_users(size: int, rng: np.random.Generator) -> Users:
    """Draw ``size`` users."""
    cold = rng.random(size) < COLD_SHARE
    activity = np.where(cold, 0, zipf(size)[rng.permutation(size)] ** 0.6)
    brands = rng.permuted(np.tile(np.arange(len(lexicon.BRANDS)), (size, 1)), axis=1)[:, :_BRANDS_LIKED]
    strength = rng.uniform(0.6, 1.0, size)
    return Users(
        modality=rng.choice(3, size, p=[0.3, 0.35, 0.35]).astype(np.int8),
        strength=np.where(rng.random(size) < _TASTELESS_SHARE, 0, strength).astype(np.float32),
        colours=_distinct(rng, size, len(lexicon.COLOURS), 2),
        pattern=rng.integers(len(lexicon.PATTERNS), size=size).astype(np.int8),
        brands=np.asarray((1 << brands.astype(np.int64)).sum(axis=1), dtype=np.int64),
        price_band=rng.integers(3, size=size).astype(np.int8),
        categories=_distinct(rng, size, len(lexicon.CATEGORIES), _CATEGORIES_LIKED),
        cold=cold,
        activity=activity / max(activity.sum(), 1e-12),
    )


def affinity(users: Users, user: I64, catalogue: Catalogue, items: I64) -> F32:
    """How well items suit users' tastes, from 0 to 1, whatever the query.

    What the picture shows: colour 0.7 (second colour 0.7 of that) and pattern 0.3. What the text tells:
    brand 0.6 and price band 0.4. The user's modality preference weighs the two. ``user`` and ``items`` are
    rows and are broadcast; float32 of that shape. The strength of the taste is not in it.
    """
    colour, pattern, brand = (catalogue.codes[a, items] for a in (COLOUR, PATTERN, BRAND))
    likes = (users.colours[user, 0] == colour) + _SECOND_COLOUR * (users.colours[user, 1] == colour)
    visual = 0.7 * likes + 0.3 * (users.pattern[user] == pattern)
    branded = (users.brands[user] >> brand.astype(np.int64)) & 1
    textual = 0.6 * branded + 0.4 * (users.price_band[user] == catalogue.price_band[items])
    weight = np.array(VISUAL_WEIGHT)[users.modality[user]]
    return np.asarray(weight * visual + (1 - weight) * textual, dtype=np.float32)


def likes_category(users: Users, user: I64, catalogue: Catalogue, items: I64) -> Bool:
    """Whether items are of one of the users' own categories; shapes as for `affinity`."""
    category = catalogue.codes[CATEGORY, items]
    return np.asarray(np.any([liked[user] == category for liked in users.categories.T], axis=0))


def _distinct(rng: np.random.Generator, size: int, values: int, width: int) -> I8:
    """``width`` different codes a row."""
    return np.argsort(rng.random((size, values)), axis=1)[:, :width].astype(np.int8)
