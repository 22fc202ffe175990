"""What queries want, whatever the wording: queries of one intent have the same words, in any order.

*Inferred*: "red shoes", "shoes red" and "red shoe" are one intent. What was clicked for one wording answers
the others, so it is no negative of theirs; the same holds for a title of which some words stand in the place
of a query.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from artifacts.bundle.text import words
from common.arrays import I64

#: Shorter words are compared as they are: their last letter is no ending.
_SHORT = 3


def intent_words(text: str) -> frozenset[str]:
    """The words of a normalised text, each once and without a plural's s."""
    return frozenset(_singular(word) for word in words(text))


def number_intents(queries: Sequence[str]) -> I64:
    """Int64 ``[Q]``: queries of one intent have the same number; 0 for those without a word.

    Args:
        queries: distinct normalised queries.
    """
    numbers: dict[frozenset[str], int] = {frozenset(): 0}
    found = [numbers.setdefault(intent_words(query), len(numbers)) for query in queries]
    return np.array(found, dtype=np.int64)


def _singular(word: str) -> str:
    if len(word) > _SHORT and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word
