"""Attribute codes of items and intents, and the grade of one against the other.

Items and intents are both int16 ``[8, n]``, a row for each of `ATTRIBUTES`. In an intent `UNASKED`
stands where the query does not ask for the attribute.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from common.arrays import F32, I16
from models.synthetic import lexicon

Codes: TypeAlias = I16

ATTRIBUTES: tuple[str, ...] = (
    "top", "category", "colour", "pattern", "logo", "brand", "material", "model",
)  # fmt: skip
TOP, CATEGORY, COLOUR, PATTERN, LOGO, BRAND, MATERIAL, MODEL = range(8)
UNASKED = -1

#: Only the picture shows these: no text of any item has a word for them.
PICTURE_ONLY = frozenset({"pattern", "logo"})
#: Only the text tells these.
TEXT_ONLY = frozenset({"brand", "material", "model"})

#: Names of the codes of each attribute.
VALUES: tuple[tuple[str, ...], ...] = (
    lexicon.TOPS,
    tuple(leaf.path for leaf in lexicon.CATEGORIES),
    tuple(term.name for term in lexicon.COLOURS),
    tuple(term.name for term in lexicon.PATTERNS),
    tuple(term.name for term in lexicon.LOGOS),
    lexicon.BRANDS,
    lexicon.MATERIALS,
    lexicon.MODELS,
)

#: Grade of an item of the right category that has nothing else of what was asked; *inferred*.
GRADE_CATEGORY = 0.2
#: What a share of 1 of the attributes asked beside the category would add if one were still missing;
#: kept so low that an item is at or above `RELEVANT` only if everything matches. *Inferred*.
GRADE_PARTIAL = 0.3
#: Items graded at least this have everything that was asked.
RELEVANT = 0.5


def grade(intents: Codes, items: Codes) -> F32:
    """How well items answer intents, from 0 to 1.

    1 where everything asked matches. 0 where a category was asked and the item is of another one, or
    where nothing matches. Between, `GRADE_CATEGORY` plus `GRADE_PARTIAL` times the share that matches;
    less than `RELEVANT`. An intent that asks for nothing grades everything 1.

    Args:
        intents: int16 ``[8, ...]``.
        items: int16 ``[8, ...]``, broadcast against ``intents``.

    Returns:
        float32 of the broadcast shape without the first axis.
    """
    shape = np.broadcast_shapes(intents.shape[1:], items.shape[1:])
    fits = np.ones(shape, dtype=bool)
    placed = np.zeros(shape, dtype=bool)
    for attribute in (TOP, CATEGORY):
        asked = intents[attribute] != UNASKED
        fits &= ~asked | (intents[attribute] == items[attribute])
        placed |= asked
    wanted = np.zeros(shape, dtype=np.float32)
    matched = np.zeros(shape, dtype=np.float32)
    for attribute in range(CATEGORY + 1, len(ATTRIBUTES)):
        asked = intents[attribute] != UNASKED
        wanted += asked
        matched += asked & (intents[attribute] == items[attribute])
    partial = GRADE_CATEGORY + GRADE_PARTIAL * matched / np.maximum(wanted, 1)
    partial = np.where(placed | (matched > 0), partial, 0)
    return np.where(fits, np.where(matched == wanted, 1, partial), 0).astype(np.float32)


def asked(intent: Codes) -> dict[str, str]:
    """The attributes that one intent ``[8]`` asks for, by name, with their values."""
    return {
        name: VALUES[place][intent[place]]
        for place, name in enumerate(ATTRIBUTES)
        if intent[place] != UNASKED
    }
