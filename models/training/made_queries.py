"""Queries that nobody typed, made of titles: what a narrow embedding is taught with (`distilled`).

*Inferred*, after what queries of ESCI look like: two to six words, mostly in the order of the title, the
first ones rather than the last; words of which no single title has all; a typing error now and then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

#: As shoppers type them: "10.5", "men's" and "t-shirt" are one word each.
_WORD = re.compile(r"[^\W_]+(?:[.'/-][^\W_]+)*")
#: Shares of the lengths 1 to 8, in words.
_LENGTHS = (0.03, 0.12, 0.26, 0.27, 0.17, 0.09, 0.04, 0.02)
#: Shares: words of one title, a span of one title, a span of one with words of a title alike; the rest has
#: a word of any other title.
_KINDS = (0.35, 0.25, 0.30)
#: Words are drawn the less the farther they stand behind, by a factor e for this share of the title.
_EARLY, _SPAN_EARLY = 0.45, 0.3
_IN_ORDER, _TYPING_ERROR, _LONG = 0.75, 0.08, 4


def made_queries(
    titles: Sequence[str], count: int, alike: Callable[[int], int], rng: np.random.Generator
) -> tuple[list[str], list[int]]:
    """At most so many distinct queries, and the place of the title that each was made of.

    Args:
        titles: normalised.
        count: queries; fewer where titles do not have so many.
        alike: the place of a title that is like another one.
        rng: of all draws.
    """
    split = [_WORD.findall(title) for title in titles]
    told = [place for place, own in enumerate(split) if own]
    found: dict[str, int] = {}
    for _ in range(2 * count if told else 0):
        if len(found) == count:
            break
        place = told[int(rng.integers(len(told)))]
        query = " ".join(dict.fromkeys(_drawn(split, place, told, alike, rng)))
        if query:
            found.setdefault(query, place)
    return list(found), list(found.values())


def _drawn(
    split: list[list[str]], place: int, told: list[int], alike: Callable[[int], int], rng: np.random.Generator
) -> list[str]:
    """The words of a query."""
    count = 1 + int(rng.choice(len(_LENGTHS), p=_LENGTHS))
    kind, own = rng.random(), split[place]
    one, span, two = np.cumsum(_KINDS)
    if kind < one:
        query = _picked(own, count, rng)
    elif kind < span:
        query = _span(own, count, rng)
    elif kind < two:
        first = max(1, count // 2)
        query = _span(own, first, rng) + _picked(split[alike(place)], max(1, count - first), rng)
    else:
        other = split[told[int(rng.integers(len(told)))]]
        query = _picked(own, max(1, count - 1), rng) + _picked(other, 1, rng)
    if query and rng.random() < _TYPING_ERROR:
        wrong = int(rng.integers(len(query)))
        query[wrong] = _mistyped(query[wrong], rng)
    return query


def _picked(own: list[str], count: int, rng: np.random.Generator) -> list[str]:
    """Some words of a title, mostly in its order."""
    if not own:
        return []
    chance = np.exp(-np.arange(len(own)) / (len(own) * _EARLY))
    places = rng.choice(len(own), min(count, len(own)), replace=False, p=chance / chance.sum())
    if rng.random() < _IN_ORDER:
        places = np.sort(places)
    return [own[place] for place in places]


def _span(own: list[str], count: int, rng: np.random.Generator) -> list[str]:
    """Words of a title that stand together."""
    start = min(int(rng.exponential(len(own) * _SPAN_EARLY)), max(0, len(own) - count))
    return own[start : start + count]


def _mistyped(word: str, rng: np.random.Generator) -> str:
    """The word with a letter left out, or with two that changed places; a short one as it is."""
    if len(word) <= _LONG:
        return word
    at = int(rng.integers(1, len(word) - 1))
    if rng.random() < 0.5:
        return word[:at] + word[at + 1 :]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
