"""Held-out requests of a shop: what was asked, by whom, with which history, and what was clicked then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import ClassVar, Literal, get_args

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle import Behaviour
from artifacts.bundle.portrait import recent
from artifacts.bundle.text import normalise
from artifacts.shop.formats import nothing_found
from artifacts.shop.holdout import Holdout
from artifacts.shop.schema import Event
from artifacts.shop.shop import Shop
from common.arrays import F32, F64, I64
from common.errors import NOT_IN_ORDER, MrseError
from models.evaluation.grades import Grades
from models.evaluation.low_labels import LowLabels

Kind = Literal["text", "photo", "text+photo", "browse"]
#: A user's clicks for one query within the same so many seconds of the clock are of one search.
_SEARCH_S = 3600
#: Something that a user did, and the normalised query and the picture that it was done for.
_Done = tuple[Behaviour, str, str | None]
KINDS: tuple[Kind, ...] = get_args(Kind)


class NothingHeldOut(MrseError):  # noqa: N818 -- the state of a shop
    """A split has no request to measure on; the message says why."""

    exit_code: ClassVar[int] = NOT_IN_ORDER

    def __init__(self, shop: Shop, split: str) -> None:
        why = f"the {split} split has no {ACTIONS.any_behaviour()} of an item in the catalogue"
        if shop.events_file is None:
            why = nothing_found("events")
        super().__init__(f"{shop.events_file or shop.path}: no request to measure on; {why}")


@dataclass(frozen=True, slots=True)
class Request:
    """One held-out search and the item that was clicked, carted or ordered after it.

    ``searches``: how often its query was searched for in the split, by anybody; a search with several clicks
    counts once (*inferred*: a user's clicks for one query within the same hour of the clock are of one
    search; each of a visitor without a name is one).
    """

    kind: Kind
    event: Event
    history: tuple[Behaviour, ...]
    searches: int = 1


@dataclass(frozen=True)
class HeldOut:
    """The held-out requests that figures are of, over the rows of a catalogue.

    Attributes:
        requests: n of them.
        query: int64 ``[n]``, numbers the distinct (query, picture) pairs, and the users of browse requests.
        queries: how many numbers there are.
        wanted: int64 ``[n]``, row of the clicked item.
        traffic: float64 ``[queries]``, how often each query was searched for in the split.
        grades: of the catalogue, where there are any.
        low: labels of low relevance, where there are any.
    """

    requests: tuple[Request, ...]
    query: I64
    queries: int
    wanted: I64
    traffic: F64
    grades: Grades | None
    low: LowLabels | None = None

    @classmethod
    def number(
        cls,
        requests: Sequence[Request],
        rows: dict[str, int],
        grades: Grades | None,
        low: LowLabels | None = None,
    ) -> HeldOut:
        """Number the queries; requests whose item is not in the catalogue are left out."""
        kept = tuple(r for r in requests if r.event.item in rows)
        numbers: dict[tuple[str, str | None, str | None], int] = {}
        query = [
            numbers.setdefault(
                (normalise(r.event.query), r.event.picture, r.event.user if r.kind == "browse" else None),
                len(numbers),
            )
            for r in kept
        ]
        wanted = np.array([rows[r.event.item] for r in kept], dtype=np.int64)
        traffic = np.ones(len(numbers))
        traffic[query] = [r.searches for r in kept]
        return cls(kept, np.array(query, dtype=np.int64), len(numbers), wanted, traffic, grades, low)

    @property
    def gains(self) -> str:
        """Where the gains of nDCG come from: ``judge``, ``labels``, ``teacher`` or ``clicks``."""
        return "clicks" if self.grades is None else self.grades.source

    @cached_property
    def by_query(self) -> list[I64]:
        """Places of the requests of each query."""
        order = np.argsort(self.query, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.query, minlength=self.queries))[:-1])

    def low_labels(self, place: int) -> I64:
        """Items labelled low for the query of a request, never clicked for it, of its item's category."""
        event = self.requests[place].event
        if self.low is None or self.requests[place].kind == "browse":
            return np.zeros(0, dtype=np.int64)
        found = self.low.near(event.query, event.picture, int(self.wanted[place]))
        return np.setdiff1d(found, self.wanted[self.by_query[self.query[place]]])

    def known_grades(self, place: int) -> F32 | None:
        """Grades of the catalogue for the query of a request; None where nothing is known of it.

        Browsing asks for nothing, so that everything would be right: nothing is known.
        """
        request = self.requests[place]
        if self.grades is None or request.kind == "browse":
            return None
        return self.grades.catalogue_grades(request.event.query, request.event.picture)


def read_requests(
    shop: Shop,
    split: str,
    *,
    depth: int,
    held_out: float,
    same_item_days: float,
    same_search_minutes: float = 0.0,
    one_slot: bool = False,
) -> list[Request]:
    """Held-out requests in file order, each (user, query, picture, item) once; no browsing without a history.

    Args:
        shop: the shop.
        split: ``val`` or ``test``.
        depth: K, behaviours kept of a history.
        held_out: the share that training held out, see `artifacts.shop.holdout`.
        same_item_days: behaviours on the clicked item this shortly before are of the same visit and cut,
            as in training; otherwise a cart would be predicted from the click a minute before.
        same_search_minutes: behaviours for the same words and picture this shortly before are of the same
            search and cut, as in training (`models.dataset.histories.same_search`).
        one_slot: whether an item has one place in a history (`artifacts.bundle.portrait.recent`).

    Raises:
        DataError: an event cannot be read.
        NothingHeldOut: there is no request.
    """
    holdout = Holdout.from_events(shop.events(), held_out)
    wanted: dict[tuple[str | None, str, str | None, str], Event] = {}
    searches: dict[tuple[str, str | None], set[tuple[str | None, int]]] = defaultdict(set)
    for number, event in enumerate(shop.events()):
        if event.action in ACTIONS.behaviours and holdout.split(event) == split:
            asked = (normalise(event.query), event.picture)
            wanted.setdefault((event.user, *asked, event.item), event)
            hour = int(event.ts.timestamp() // _SEARCH_S)
            searches[asked].add((event.user, number if event.user is None else hour))
    users = {event.user for event in wanted.values()} - {None}
    behaviours: dict[str, list[_Done]] = defaultdict(list)
    for event in shop.events() if users else ():
        if event.user is not None and event.user in users and event.action in ACTIONS.behaviours:
            done = Behaviour(event.item, event.action, event.ts)
            behaviours[event.user].append((done, normalise(event.query), event.picture))
    item_cut, search_cut = timedelta(days=same_item_days), timedelta(minutes=same_search_minutes)
    requests = []
    for event in wanted.values():
        past = behaviours.get(event.user or "", [])
        before = _before(event, past, item_cut, search_cut)
        history = recent(before, depth, ACTIONS.behaviours, one_slot=one_slot)
        kind = _kind(event)
        if kind != "browse" or history:
            often = len(searches[normalise(event.query), event.picture]) if kind != "browse" else 1
            requests.append(Request(kind, event, tuple(history), often))
    if not requests:
        raise NothingHeldOut(shop, split)
    return requests


def _kind(event: Event) -> Kind:
    if normalise(event.query):
        return "text" if event.picture is None else "text+photo"
    return "browse" if event.picture is None else "photo"


def _before(event: Event, past: list[_Done], item_cut: timedelta, search_cut: timedelta) -> list[Behaviour]:
    """The behaviours before an event, but for those on its item and those of the same search."""
    asked = (normalise(event.query), event.picture)
    kept = []
    for behaviour, query, picture in past:
        if behaviour.ts is None or behaviour.ts >= event.ts:
            continue
        ago = event.ts - behaviour.ts
        same = asked != ("", None) and (query, picture) == asked and ago <= search_cut
        if not same and (behaviour.item_id != event.item or ago > item_cut):
            kept.append(behaviour)
    return kept
