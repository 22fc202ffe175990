"""The pool of queries: what people ask for, in which words, with which typos."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from common.arrays import F64, I8, I32, Bool
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
    WORDS,
    Codes,
)  # fmt: skip
from models.synthetic.catalogue import Catalogue, zipf

#: Share of query traffic that comes with a picture.
PICTURE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Kind:
    """A combination of asked attributes, its share of the text traffic and whom it suits.

    ``lean`` above 0 is for users who go by pictures, below 0 for those who go by text.
    """

    name: str
    attributes: tuple[int, ...]
    share: float
    lean: int = 0


KINDS: tuple[Kind, ...] = (
    Kind("top", (TOP,), 0.03),
    Kind("category", (CATEGORY,), 0.15),
    Kind("colour+category", (COLOUR, CATEGORY), 0.15),
    Kind("pattern+category", (PATTERN, CATEGORY), 0.18, 1),
    Kind("logo+category", (LOGO, CATEGORY), 0.09, 1),
    Kind("brand+category", (BRAND, CATEGORY), 0.10, -1),
    Kind("material+category", (MATERIAL, CATEGORY), 0.09, -1),
    Kind("brand+model", (BRAND, MODEL), 0.06, -1),
    Kind("colour+pattern+category", (COLOUR, PATTERN, CATEGORY), 0.06, 1),
    Kind("pattern+logo+category", (PATTERN, LOGO, CATEGORY), 0.02, 1),
    Kind("colour+material+category", (COLOUR, MATERIAL, CATEGORY), 0.04),
    Kind("brand+colour+category", (BRAND, COLOUR, CATEGORY), 0.03),
)
KIND_NAMES: tuple[str, ...] = (*(kind.name for kind in KINDS), "picture")

#: Wordings of an intent: (synonyms?, typo?, share of its traffic). Plain wordings come first, so that a typo
#: never takes the text of another intent.
_SURFACES = (
    (False, False, 0.5),
    (False, True, 0.12),
    (True, False, 0.12),
    (True, False, 0.18),
    (True, True, 0.08),
)
#: A query: text, picture, place of its intent, share of the traffic, typo?, synonyms?
_Query: TypeAlias = tuple[str, str | None, int, float, bool, bool]
#: How much likelier a query kind is for users whose preference it suits.
_LEAN = 1.8
_DRAWS_PER_INTENT = 12


@dataclass(frozen=True)
class QueryPool:
    """Queries as columns, and the intents behind them.

    ``texts[q]`` with ``pictures[q]`` (a path or None) identifies a query; ``intent`` int32 ``[q]`` points
    into ``intents`` int16 ``[8, i]``; ``kind`` int8 ``[i]`` into `KIND_NAMES`; ``weight`` float64 ``[q]``
    is the expected share of traffic. Intents of pictures come last.
    """

    texts: list[str]
    pictures: list[str | None]
    intent: I32
    weight: F64
    typo: Bool
    synonym: Bool
    intents: Codes
    kind: I8

    def tilted(self, lean: int) -> F64:
        """Traffic shares for users leaning to pictures (1), to text (-1) or to neither (0); sum to 1."""
        factor = np.ones(len(KIND_NAMES))
        for place, kind in enumerate(KINDS):
            factor[place] = _LEAN ** (kind.lean * lean)
        weight = self.weight * factor[self.kind[self.intent]]
        return np.asarray(weight / weight.sum())


def traffic(picture_only: float | None = None) -> list[float]:
    """Share of the text traffic of each of `KINDS`; ``picture_only`` is that of what pictures alone show."""
    shares = [kind.share for kind in KINDS]
    if picture_only is None:
        return shares
    shown = [bool({PATTERN, LOGO} & set(kind.attributes)) for kind in KINDS]
    usual = picture_only_share()
    return [
        share * (picture_only / usual if only else (1.0 - picture_only) / (1.0 - usual))
        for share, only in zip(shares, shown, strict=True)
    ]


def picture_only_share() -> float:
    """Share of the text traffic that asks for what pictures alone show, as `KINDS` have it."""
    return sum(kind.share for kind in KINDS if {PATTERN, LOGO} & set(kind.attributes))


def draw_queries(
    catalogue: Catalogue,
    photos: Sequence[tuple[str, int]],
    rng: np.random.Generator,
    picture_only: float | None = None,
) -> QueryPool:
    """Draw the queries of a shop.

    Intents come from items drawn by popularity, so that each has an answer; of each kind at most one
    for four items is kept. Popularity is Zipf within a kind.

    Args:
        catalogue: the items.
        photos: path of each query picture with the row of the item that it shows.
        rng: source of chance.
        picture_only: see `traffic`.
    """
    limit = max(40, catalogue.size // 4)
    intents = [_intents(catalogue, kind, limit, rng) for kind in KINDS]
    counts = [found.shape[1] for found in intents]
    shares = traffic(picture_only)
    weights = [zipf(n) * share * (1 - PICTURE_SHARE) for n, share in zip(counts, shares, strict=True)]
    pictured = np.full((len(ATTRIBUTES), len(photos)), UNASKED, dtype=np.int16)
    rows = np.array([row for _, row in photos], dtype=np.int64)
    for attribute in (CATEGORY, COLOUR, PATTERN, LOGO):
        pictured[attribute] = catalogue.codes[attribute, rows]
    pictured[LOGO] = np.where(pictured[LOGO] == 0, UNASKED, pictured[LOGO])
    text = np.concatenate(intents, axis=1)
    asked = _put_into_words(text, np.concatenate(weights), rng)
    photo_weight = (zipf(len(photos)) * PICTURE_SHARE).tolist()
    # Some photos come with a word, most without any text.
    shortened = rng.random(len(photos)) < 0.4
    for place, (path, row) in enumerate(photos):
        noun = lexicon.CATEGORIES[catalogue.codes[CATEGORY, row]].nouns[0]
        words = noun if shortened[place] else ""
        asked.append((words, path, text.shape[1] + place, photo_weight[place], False, False))
    texts, pictures, intent, weight, typo, synonym = zip(*asked, strict=True)
    return QueryPool(
        texts=list(texts),
        pictures=list(pictures),
        intent=np.array(intent, dtype=np.int32),
        weight=np.array(weight),
        typo=np.array(typo),
        synonym=np.array(synonym),
        intents=np.concatenate([text, pictured], axis=1),
        kind=np.repeat(np.arange(len(KIND_NAMES), dtype=np.int8), [*counts, len(photos)]),
    )


def _intents(catalogue: Catalogue, kind: Kind, limit: int, rng: np.random.Generator) -> Codes:
    """Distinct intents of a kind, most frequent first: int16 ``[8, at most limit]``."""
    draws = min(limit * _DRAWS_PER_INTENT, 400_000)
    cumulative = np.cumsum(catalogue.popularity)
    rows = np.searchsorted(cumulative, rng.random(draws) * cumulative[-1])
    if LOGO in kind.attributes:
        rows = rows[catalogue.codes[LOGO, rows] != 0]
    asked = catalogue.codes[list(kind.attributes)][:, rows]
    distinct, counts = np.unique(asked, axis=1, return_counts=True)
    order = np.lexsort((rng.random(len(counts)), -counts))[:limit]
    intents = np.full((len(ATTRIBUTES), len(order)), UNASKED, dtype=np.int16)
    intents[list(kind.attributes)] = distinct[:, order]
    return intents


def _put_into_words(intents: Codes, weights: F64, rng: np.random.Generator) -> list[_Query]:
    """Several wordings of each intent; one that is already taken by another intent is left out."""
    asked: dict[str, _Query] = {}
    for synonym, typo, share in _SURFACES:
        draws = rng.random((intents.shape[1], 12)).tolist()
        for place, (intent, u) in enumerate(zip(intents.T.tolist(), draws, strict=True)):
            text = wording(intent, u if synonym else None)
            if typo:
                text = misspell(text, u[9], u[10], u[11])
            asked.setdefault(text, (text, None, place, share * float(weights[place]), typo, synonym))
    return list(asked.values())


def wording(intent: Sequence[int], u: Sequence[float] | None = None) -> str:
    """A query for an intent in the usual words; nine numbers ``u`` in [0, 1) choose other ones."""

    def words(*attributes: int) -> list[str]:
        known = [(a, WORDS[a][intent[a]]) for a in attributes if intent[a] != UNASKED]
        return [choice[0 if u is None else int(u[a] * len(choice))] for a, choice in known]

    before, noun = words(BRAND, MODEL, COLOUR, PATTERN, MATERIAL, LOGO), words(CATEGORY, TOP)
    behind = u is not None and u[8] < 0.25
    return " ".join([*noun, *before] if behind else [*before, *noun])


def misspell(text: str, where: float, which: float, how: float) -> str:
    """One slip in a word of four letters or more: swapped, dropped, doubled or wrong letter.

    ``where`` and ``which``, in [0, 1), choose the letter and the slip, ``how`` the wrong letter. A text
    without such a word comes back as it is.
    """
    long = re.finditer(r"[^ ]{4,}", text)
    places = [place for word in long for place in range(word.start() + 1, word.end() - 1)]
    if not places:
        return text
    at = places[int(where * len(places))]
    slip = int(which * 4)
    if slip == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if slip == 1:
        return text[:at] + text[at + 1 :]
    if slip == 2:
        return text[:at] + text[at] + text[at:]
    return text[:at] + chr(ord("a") + int(how * 26)) + text[at + 1 :]
