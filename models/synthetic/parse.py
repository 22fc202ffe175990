"""Reads the intent of a query by its words, for queries that are not in a shop's log."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from models.synthetic import lexicon
from models.synthetic.attributes import (
    ATTRIBUTES,
    BRAND,
    CATEGORY,
    COLOUR,
    LOGO,
    MATERIAL,
    MODEL,
    PATTERN,
    TOP,
    UNASKED,
    Codes,
)

_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_LONGEST = 3


def normalise(query: str) -> str:
    """Lower case, single spaces: the form in which the judge knows queries."""
    return " ".join(query.lower().split())


def parse(query: str) -> Codes | None:
    """The intent of a query, int16 ``[8]``, by the longest known phrases from the left.

    Words that are not known, misspelt ones among them, are passed over; a second value for an attribute
    too. None where no word is known and there is some text; an empty query asks for nothing.
    """
    intent = np.full(len(ATTRIBUTES), UNASKED, dtype=np.int16)
    if not query.strip():
        return intent
    words = _WORD.findall(query.lower())
    at = 0
    while at < len(words):
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            found = _phrases().get(" ".join(words[at : at + length]))
            if found is not None:
                attribute, code = found
                if intent[attribute] == UNASKED:
                    intent[attribute] = code
                at += length - 1
                break
        at += 1
    return None if (intent == UNASKED).all() else intent


@cache
def _phrases() -> dict[str, tuple[int, int]]:
    """Attribute and code of every phrase, also of nouns without their plural s."""
    known: dict[str, tuple[int, int]] = {}

    def add(attribute: int, values: list[tuple[str, ...]]) -> None:
        for code, phrases in enumerate(values):
            for phrase in phrases:
                known.setdefault(phrase.lower(), (attribute, code))

    nouns = [leaf.nouns for leaf in lexicon.CATEGORIES]
    add(CATEGORY, nouns)
    add(COLOUR, [term.words for term in lexicon.COLOURS])
    add(PATTERN, [term.words for term in lexicon.PATTERNS])
    add(LOGO, [term.words for term in lexicon.LOGOS])
    add(BRAND, [(name,) for name in lexicon.BRANDS])
    add(MATERIAL, [(name,) for name in lexicon.MATERIALS])
    add(MODEL, [(name,) for name in lexicon.MODELS])
    add(TOP, list(lexicon.TOP_WORDS))
    for code, leaf in enumerate(lexicon.CATEGORIES):
        for noun in (*leaf.nouns, leaf.name.lower()):
            other = noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else f"{noun}s"
            known.setdefault(other, (CATEGORY, code))
            known.setdefault(noun, (CATEGORY, code))
    return known
