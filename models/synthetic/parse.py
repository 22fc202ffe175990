"""Reads the intent of a query by its words, for queries that are not in a shop's log."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from models.synthetic import lexicon
from models.synthetic.attributes import ATTRIBUTES, CATEGORY, TOP, UNASKED, WORDS, Codes

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
    for attribute in (*range(CATEGORY, len(ATTRIBUTES)), TOP):
        for code, phrases in enumerate(WORDS[attribute]):
            for phrase in phrases:
                known.setdefault(phrase, (attribute, code))
    for code, leaf in enumerate(lexicon.CATEGORIES):
        for noun in (*leaf.nouns, leaf.name.lower()):
            other = noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else f"{noun}s"
            known.setdefault(other, (CATEGORY, code))
            known.setdefault(noun, (CATEGORY, code))
    return known
