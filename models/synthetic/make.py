"""Makes a synthetic shop: draws items, users and queries, and streams them to files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.actions import ACTIONS
from artifacts.shop.schema import AttributeValue, Event, Item, ShopSchema
from artifacts.shop.writer import ShopWriter
from common.progress import StageProgress, silent_stage
from models.synthetic import lexicon, truth
from models.synthetic.attributes import BRAND, CATEGORY, COLOUR, LOGO, PATTERN
from models.synthetic.behaviour import Actions, Sessions, Simulator, session_times
from models.synthetic.catalogue import Catalogue, draw_catalogue, item_id
from models.synthetic.pictures import QUERY_VARIANT, Look, draw_picture
from models.synthetic.queries import QueryPool, draw_queries
from models.synthetic.recipe import Dials, Recipe
from models.synthetic.titles import write_texts
from models.synthetic.users import draw_users, user_id

#: The log ends here, whenever the shop is made: the same seed gives the same bytes.
END = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = 90
_SPAN = DAYS * 86_400
_START = int(END.timestamp()) - _SPAN
#: Held out by time: the last tenth is for testing, the tenth before for validation.
VAL_FROM, TEST_FROM = _SPAN * 8 // 10, _SPAN * 9 // 10
EVENTS_PER_ITEM = 10
ITEMS_PER_USER = 4
MIN_ITEMS = 100
_CHUNK = 20_000
_USUAL = Dials()
_PILOT = 4_000

SCHEMA = ShopSchema(
    name="synthetic",
    attributes={"price": "number", "in_stock": "bool", "brand": "string", "tags": "list"},
)


def make_shop(
    path: Path,
    *,
    items: int = 4000,
    users: int | None = None,
    events: int | None = None,
    seed: int = 7,
    dials: Dials = _USUAL,
    progress: StageProgress = silent_stage,
) -> None:
    """Make a shop, its pictures and its ground truth; the same arguments give the same bytes.

    Memory is bounded by about 200 bytes an item and a user, whatever the number of events.

    Args:
        path: the folder to make; a former shop in it is replaced, except for its pictures.
        items: size of the catalogue, `MIN_ITEMS` or more; 1,000 to 1,000,000 is what it is meant for.
        users: by default one for four items.
        events: about how many rows the log gets, by default ten an item.
        seed: 0 or more.
        dials: what is turned of it; see `Dials`.
        progress: called with items and events written so far and, about, in all.

    Raises:
        ValueError: a size or the seed is out of range.
        OSError: the folder cannot be written.
    """
    users = max(10, items // ITEMS_PER_USER) if users is None else users
    events = items * EVENTS_PER_ITEM if events is None else events
    if items < MIN_ITEMS or users < 1 or events < 0 or seed < 0:
        raise ValueError(
            f"items must be {MIN_ITEMS} or more, users 1 or more, events and seed 0 or more; "
            f"got items={items}, users={users}, events={events}, seed={seed}"
        )
    # A generator for each part, so that a change to one leaves the others as they are.
    parts = [np.random.default_rng([seed, part]) for part in range(8)]
    catalogue = draw_catalogue(items, parts[0])
    people = draw_users(users, parts[1])
    photos = _choose_photos(catalogue, seed, parts[2])
    queries = draw_queries(catalogue, [(rel, row) for rel, row, _ in photos], parts[3], dials.picture_only)
    simulator = Simulator(catalogue, people, queries, test_from=TEST_FROM, rng=parts[4], taste=dials.taste)

    total = items + events
    with ShopWriter(path, SCHEMA) as writer:
        _write_items(writer, catalogue, seed, parts[5], lambda done: progress(done, total))
        for relative, row, variant in photos:
            writer.add_picture(relative, draw_picture(_look(catalogue, row), variant, seed))
        count = _sessions_for(simulator, events, np.random.default_rng([seed, 8]))
        searches = np.zeros(len(queries.texts), dtype=np.int64)
        done = items
        later: list[NDArray[Any]] = []
        for seconds in session_times(count, _SPAN, _CHUNK, parts[6]):
            sessions = simulator.sessions(seconds, parts[7])
            log = _log(sessions, simulator.act(sessions, parts[7]), later)
            searches += np.bincount(sessions.query[sessions.query >= 0], minlength=len(searches))
            # An order may come minutes after its search: events that later sessions may precede wait.
            ready = int(np.searchsorted(log[0], seconds[-1], side="right"))
            later = [column[ready:] for column in log]
            _write_events(writer, [column[:ready] for column in log], queries)
            done += ready
            progress(done, max(total, done))
        if later:
            _write_events(writer, later, queries)
            done += len(later[0])
        truth.write_items(path, catalogue)
        truth.write_users(path, people)
        truth.write_queries(path, queries, searches)
        Recipe(items, users, events, seed, dials).write(path)
    progress(done, done)


def _choose_photos(catalogue: Catalogue, seed: int, rng: np.random.Generator) -> list[tuple[str, int, int]]:
    """Photos that users search with: path, row of the item shown, variant. Popular items have more."""
    count = int(np.clip(catalogue.size // 20, 40, 4000))
    cumulative = np.cumsum(catalogue.popularity)
    rows = np.searchsorted(cumulative, rng.random(count) * cumulative[-1]).tolist()
    photos = [(row, QUERY_VARIANT + place) for place, row in enumerate(rows)]
    return [(_name("queries/", _look(catalogue, row), v, seed), row, v) for row, v in photos]


def _look(catalogue: Catalogue, row: int) -> Look:
    category, colour, pattern, logo = catalogue.codes[[CATEGORY, COLOUR, PATTERN, LOGO], row].tolist()
    return Look(category, colour, pattern, logo)


def _name(folder: str, look: Look, variant: int, seed: int) -> str:
    """A picture's path. A hash, so that the name gives nothing away."""
    text = f"{seed}/{look.category}/{look.colour}/{look.pattern}/{look.logo}/{variant}"
    digest = hashlib.blake2s(text.encode(), digest_size=8).hexdigest()
    return f"{folder}{digest[:2]}/{digest}.jpg"


def _write_items(
    writer: ShopWriter,
    catalogue: Catalogue,
    seed: int,
    rng: np.random.Generator,
    report: Callable[[int], None],
) -> None:
    drawn: set[str] = set()
    for low in range(0, catalogue.size, _CHUNK):
        high = min(low + _CHUNK, catalogue.size)
        titles, descriptions = write_texts(catalogue.codes[:, low:high], rng)
        tagged = rng.random((high - low, len(lexicon.TAGS))) < 0.15
        for place, row in enumerate(range(low, high)):
            picture = None
            if catalogue.has_picture[row]:
                look, variant = _look(catalogue, row), int(catalogue.variant[row])
                picture = _name("", look, variant, seed)
                if picture not in drawn:
                    drawn.add(picture)
                    writer.add_picture(picture, draw_picture(look, variant, seed))
            price = float(catalogue.price[row])
            attributes: dict[str, AttributeValue] = {
                "price": None if np.isnan(price) else round(price, 2),
                "in_stock": bool(catalogue.in_stock[row]),
                "brand": lexicon.BRANDS[catalogue.codes[BRAND, row]],
                "tags": [lexicon.TAGS[tag] for tag in np.flatnonzero(tagged[place])] or None,
            }
            path = lexicon.CATEGORIES[catalogue.codes[CATEGORY, row]].path
            writer.add_item(Item(item_id(row), titles[place], path, descriptions[place], picture, attributes))
            if row % 1000 == 999:
                report(row + 1)


def _sessions_for(simulator: Simulator, events: int, rng: np.random.Generator) -> int:
    """How many sessions give about ``events`` events, from a trial run."""
    if events == 0:
        return 0
    (seconds,) = session_times(_PILOT, _SPAN, _PILOT, rng)
    rows = len(simulator.act(simulator.sessions(seconds, rng), rng).item)
    return max(1, round(events * _PILOT / max(rows, 1)))


def _log(sessions: Sessions, actions: Actions, earlier: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Columns seconds, item, action, query, user and relevance, by time, with the rows that waited."""
    query, user = sessions.query[actions.session], sessions.user[actions.session]
    columns: list[NDArray[Any]]
    columns = [actions.seconds, actions.item, actions.action, query, user, actions.relevance]
    if earlier:
        columns = [np.concatenate(pair) for pair in zip(earlier, columns, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return [column[order] for column in columns]


def _write_events(writer: ShopWriter, log: list[NDArray[Any]], queries: QueryPool) -> None:
    for seconds, item, action, asked, user, relevance in zip(*(c.tolist() for c in log), strict=True):
        writer.add_event(
            Event(
                ts=datetime.fromtimestamp(_START + seconds, UTC),
                item=item_id(item),
                action=ACTIONS.names[action],
                query=queries.texts[asked] if asked >= 0 else "",
                user=user_id(user) if user >= 0 else None,
                relevance=None if isnan(relevance) else round(relevance, 4),
                picture=queries.pictures[asked] if asked >= 0 else None,
                split="train" if seconds < VAL_FROM else "val" if seconds < TEST_FROM else "test",
            )
        )
