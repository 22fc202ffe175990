"""Simulates what users do: search or browse, look at a list from the top, click, put in cart, order.

Clicks follow, in this order of weight: whether the item answers the query, how far up it stands, whether
it suits the user's taste, how popular it is. So the log has the flaws of real ones: what stands low or is
never shown gets no click, and near misses get some.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.arrays import F32, F64, I8, I64, Bool
from models.synthetic import lexicon
from models.synthetic.attributes import CATEGORY, RELEVANT, UNASKED, Codes, grade
from models.synthetic.catalogue import Catalogue
from models.synthetic.pools import build_pools
from models.synthetic.queries import QueryPool
from models.synthetic.users import LEANS, Users, affinity, likes_category

#: Items on the list that a user sees.
SHOWN = 16
#: Chance that a user looks at a place, counted from 0, is (place + 1) ** -EXAMINE.
EXAMINE = 0.7
#: Chance of a click on an examined item: everything matches, half or more does, less, nothing.
_APPEAL = (0.24, 0.10, 0.07, 0.015)
#: Taste multiplies the chance of a click by exp(TASTE * strength * (affinity - 0.25)), and adds
#: _TASTE_LISTED * strength * (affinity - 0.25) to the score that lists are ranked by.
TASTE = 4.5
_TASTE_LISTED = 1.2
_POPULAR = 0.15
_CART, _ORDER = 0.25, 0.4
#: Shares of impressions without a click that the log keeps: any, and examined ones that the judge grades low.
_KEEP, _KEEP_LOW = 0.02, 0.15
#: Share of clicks, carts and orders that the judge has labelled.
_LABELLED = 0.15
_BROWSE_SHARE, _ANONYMOUS_SHARE, _COLD_SHARE = 0.08, 0.08, 0.2
#: How often a query is of the user's own categories where a second thought allows it.
_SECOND_THOUGHT = 0.6
_FULL, _NEAR, _ANY = 30, 10, 8

IMPRESSION, CLICK, CART, ORDER = range(4)


@dataclass(frozen=True)
class Sessions:
    """Searches and browses, one a row.

    ``seconds`` int64 since the start of the log; ``user`` int64, -1 for nobody known; ``query`` int64, a
    row of the pool, -1 for browsing.
    """

    seconds: I64
    user: I64
    query: I64


@dataclass(frozen=True)
class Actions:
    """The actions of sessions, one a row, by time.

    ``session`` points into the sessions; ``item`` is a row of the catalogue; ``action`` is one of
    `IMPRESSION`, `CLICK`, `CART`, `ORDER`; ``relevance`` is NaN where nobody judged; ``place`` is where the
    item stood, counted from 0.
    """

    session: I64
    seconds: I64
    item: I64
    action: I8
    relevance: F32
    place: I8


class Simulator:
    """Simulates sessions over one catalogue, its users and queries. Holds the candidate pools."""

    def __init__(
        self,
        catalogue: Catalogue,
        users: Users,
        queries: QueryPool,
        *,
        test_from: int,
        rng: np.random.Generator,
        taste: float = 1.0,
    ) -> None:
        self.catalogue, self.users, self.queries = catalogue, users, queries
        self._taste, self._taste_listed = TASTE * taste, _TASTE_LISTED * taste
        self._test_from = test_from
        # Browsing shows a category, so each leaf is an intent of its own, behind those of the queries.
        leaves = np.full((8, len(lexicon.CATEGORIES)), UNASKED, dtype=np.int16)
        leaves[CATEGORY] = np.arange(len(lexicon.CATEGORIES))
        self._intents: Codes = np.concatenate([queries.intents, leaves], axis=1)
        self._full, self._near = build_pools(catalogue, self._intents, rng)
        self._first_leaf = queries.intents.shape[1]
        self._popular = np.cumsum(catalogue.popularity)
        z = np.log(catalogue.popularity)
        self._fame = ((z - z.mean()) / (z.std() + 1e-9)).astype(np.float32)
        self._active = np.cumsum(users.activity)
        self._cold = np.flatnonzero(users.cold)
        self._by_lean = [np.cumsum(queries.tilted(lean)) for lean in LEANS]

    def sessions(self, seconds: I64, rng: np.random.Generator) -> Sessions:
        """Draw the user and the query of each session."""
        count = len(seconds)
        user = np.searchsorted(self._active, rng.random(count) * self._active[-1])
        if len(self._cold):
            cold = self._cold[rng.integers(len(self._cold), size=count)]
            user = np.where((seconds >= self._test_from) & (rng.random(count) < _COLD_SHARE), cold, user)
        browsing = rng.random(count) < _BROWSE_SHARE
        # Only known users browse: of others nothing is known.
        anonymous = (rng.random(count) < _ANONYMOUS_SHARE) & ~browsing
        modality = np.where(anonymous, 0, self.users.modality[user])
        first, second = (self._ask(modality, rng.random(count)) for _ in range(2))
        again = (rng.random(count) < _SECOND_THOUGHT) & ~anonymous & self._own(user, second)
        query = np.where(again, second, first)
        return Sessions(seconds, np.where(anonymous, -1, user), np.where(browsing, -1, query))

    def _ask(self, modality: I64, u: F64) -> I64:
        query = np.zeros(len(u), dtype=np.int64)
        for code, cumulative in enumerate(self._by_lean):
            rows = modality == code
            query[rows] = np.searchsorted(cumulative, u[rows] * cumulative[-1])
        return np.minimum(query, len(self.queries.texts) - 1)

    def _own(self, user: I64, query: I64) -> Bool:
        category = self._intents[CATEGORY, self.queries.intent[query]]
        return np.asarray((self.users.categories[user] == category[:, None]).any(axis=1))

    def act(self, sessions: Sessions, rng: np.random.Generator) -> Actions:
        """Rank candidates for each session and let its user look and click."""
        user, items, grades, liking = self._lists(sessions, rng)
        count = len(user)
        shown = items >= 0
        looked = rng.random((count, SHOWN)) < (np.arange(SHOWN) + 1.0) ** -EXAMINE
        *matching, nothing = map(np.float32, _APPEAL)
        appeal = np.select([grades == 1, grades >= 0.35, grades > 0], matching, nothing)
        appeal = appeal * np.exp(self._taste * liking + _POPULAR * self._fame[items])
        clicked = shown & looked & (rng.random((count, SHOWN)) < np.minimum(appeal, 0.9))
        keen = np.minimum(np.where(grades == 1, 1.0, 0.3) * np.exp(liking), 2.0)
        carted = clicked & (rng.random((count, SHOWN)) < _CART * keen)
        ordered = carted & (rng.random((count, SHOWN)) < _ORDER)
        kept = rng.random((count, SHOWN))
        asked = (sessions.query >= 0)[:, None]
        low = shown & looked & ~clicked & (grades < RELEVANT) & (kept < _KEEP_LOW) & asked
        other = shown & ~clicked & ~low & (kept > 1 - _KEEP)
        delay = rng.integers(2, 40, size=(count, SHOWN)) + 15 * np.arange(SHOWN)
        labelled = (rng.random((count, SHOWN)) < _LABELLED) & asked
        parts = [
            (low, IMPRESSION, 0, low),
            (other, IMPRESSION, 0, low),
            (clicked, CLICK, 1, labelled),
            (carted, CART, 3, labelled),
            (ordered, ORDER, 6, labelled),
        ]
        found = []
        for chosen, action, wait, judged in parts:
            at = row, place = np.nonzero(chosen)
            seconds = sessions.seconds[row] + wait * delay[at]
            relevance = np.where(judged[at], grades[at], np.float32(np.nan))
            codes = np.full(len(row), action, dtype=np.int8)
            found.append((row, seconds, items[at], codes, relevance, place.astype(np.int8)))
        columns = [np.concatenate(column) for column in zip(*found, strict=True)]
        session, seconds, _, codes, _, places = columns
        order = np.lexsort((places, codes, session, seconds))
        return Actions(*(column[order] for column in columns))

    def _lists(self, sessions: Sessions, rng: np.random.Generator) -> tuple[I64, I64, F32, F32]:
        """What each session shows: user, items ``[n, SHOWN]`` (-1 = none), their grades and liking.

        Liking is the user's taste for the item around 0, times its strength: 0 for nobody known.
        """
        count = len(sessions.user)
        width = _FULL + _NEAR + _ANY
        browsing = sessions.query < 0
        user = np.maximum(sessions.user, 0)
        intent = self.queries.intent[np.maximum(sessions.query, 0)].astype(np.int64)
        intents = np.repeat(intent[:, None], _FULL + _NEAR, axis=1)
        own = self._first_leaf + self.users.categories[user].astype(np.int64)
        turn = np.arange(_FULL + _NEAR) % own.shape[1]
        intents = np.where(browsing[:, None], own[:, turn], intents)
        u = rng.random((count, width))
        full = self._full.draw(intents[:, :_FULL], u[:, :_FULL])
        near_pool = np.where(browsing[:, None], intents[:, _FULL:], intent[:, None])
        near = self._near.draw(near_pool, u[:, _FULL : _FULL + _NEAR])
        near = np.where(browsing[:, None], self._full.draw(near_pool, u[:, _FULL : _FULL + _NEAR]), near)
        anything = np.searchsorted(self._popular, u[:, _FULL + _NEAR :] * self._popular[-1])
        anything = np.minimum(anything, self.catalogue.size - 1)
        items = np.sort(np.concatenate([full, near, anything], axis=1), axis=1)

        usable = items >= 0
        usable[:, 1:] &= items[:, 1:] != items[:, :-1]
        usable &= ~self.catalogue.new[items] | (sessions.seconds >= self._test_from)[:, None]
        grades = grade(self._intents[:, intent][:, :, None], self.catalogue.codes[:, items])
        fitting = likes_category(self.users, user[:, None], self.catalogue, items)
        grades = np.where(browsing[:, None], np.where(fitting, 1, np.float32(0.3)), grades)
        known = np.where(sessions.user >= 0, self.users.strength[user], 0)
        liking = known[:, None] * (affinity(self.users, user[:, None], self.catalogue, items) - 0.25)
        score = (
            1.4 * grades
            + 0.25 * self._fame[items]
            + self._taste_listed * liking
            + 0.6 * rng.gumbel(size=(count, width))
        )
        score = np.where(usable, score, -np.inf)
        best = np.argsort(-score, axis=1, kind="stable")[:, :SHOWN]
        items = np.where(usable, items, -1)

        def take(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
            return np.take_along_axis(values, best, axis=1)

        return user, take(items), take(grades).astype(np.float32), take(liking).astype(np.float32)  # type: ignore[return-value]


def session_times(count: int, seconds: int, chunk: int, rng: np.random.Generator) -> Iterator[I64]:
    """``count`` times over ``seconds``, in order, in chunks; even over the whole span."""
    chunks = -(-count // chunk)
    edges = np.linspace(0, seconds, chunks + 1)
    sizes = np.diff(np.linspace(0, count, chunks + 1).astype(np.int64))
    for low, high, size in zip(edges[:-1], edges[1:], sizes, strict=True):
        yield np.sort(rng.integers(int(low), max(int(high), int(low) + 1), size=int(size)))
