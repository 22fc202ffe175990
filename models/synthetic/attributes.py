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

_TERMS = (lexicon.COLOURS, lexicon.PATTERNS, lexicon.LOGOS)
_NAMES = (lexicon.BRANDS, lexicon.MATERIALS, lexicon.MODELS)
#: Names of the codes of each attribute.
VALUES: tuple[tuple[str, ...], ...] = (
    lexicon.TOPS,
    tuple(leaf.path for leaf in lexicon.CATEGORIES),
    *(tuple(term.name for term in terms) for terms in _TERMS),
    *_NAMES,
)
#: Words of queries for the codes of each attribute, the usual one first.
WORDS: tuple[tuple[tuple[str, ...], ...], ...] = (
    lexicon.TOP_WORDS,
    tuple(leaf.nouns for leaf in lexicon.CATEGORIES),
    *(tuple(term.words for term in terms) for terms in _TERMS),
    *(tuple((name.lower(),) for name in names) for names in _NAMES),
)

#: Grade of an item of the right category that has nothing else of what was asked; *inferred*.
GRADE_CATEGORY = 0.2
#: What a share of 1 of the attributes asked beside the category would add if one were still missing;
#: kept so low that an item is at or above `RELEVANT` only if everything matches. *Inferred*.
GRADE_PARTIAL = 0.3
#: Items graded at least this count as relevant (*inferred*): they have everything that was asked.
RELEVANT = 0.5


def grade(intents: Codes, items: Codes) -> F32:
    """How well items answer intents, from 0 to 1.

    1 where everything asked matches. 0 where a category was asked and the item is of another one, or
    where nothing matches. Between, `GRADE_CATEGORY` plus `GRADE_PARTIAL` times the share that matches;
    less than `RELEVANT`. An intent that asks for nothing grades everything 1. Intents and items, int16
    ``[8, ...]``, are broadcast; the grades are float32 of that shape without the first axis.
    """
    shape = np.broadcast_shapes(intents.shape[1:], items.shape[1:])
    fits, placed = np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool)
    wanted, matched = np.zeros((2, *shape), dtype=np.float32)
    for attribute, (intent, item) in enumerate(zip(intents, items, strict=True)):
        asked, same = intent != UNASKED, intent == item
        if attribute <= CATEGORY:
            fits &= ~asked | same
            placed |= asked
        else:
            wanted += asked
            matched += asked & same
    partial = GRADE_CATEGORY + GRADE_PARTIAL * matched / np.maximum(wanted, 1)
    partial = np.where(placed | (matched > 0), partial, 0)
    return np.where(fits, np.where(matched == wanted, 1, partial), 0).astype(np.float32)


def asked(intent: Codes) -> dict[str, str]:
    """The attributes that one intent ``[8]`` asks for, by name, with their values."""
    named = zip(ATTRIBUTES, intent.tolist(), VALUES, strict=True)
    return {name: values[code] for name, code, values in named if code != UNASKED}
