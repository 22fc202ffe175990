"""What the demo shows: examples whose first answers the shop's judge finds right, and shoppers with a taste.

Both are chosen when the demo is made, by asking a service in this process what the page would ask. Nothing is
chosen by hand but which kinds of queries there should be.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from artifacts.shop.schema import Item
    from models.synthetic import Judge

#: Items that the page asks for, and how many of the first ones the judge has to find right.
K, RIGHT = 24, 5
#: Kinds of queries of the synthetic log, with how many examples of each there are.
_KINDS = {"colour+category": 2, "pattern+category": 2, "logo+category": 1, "typo": 1}
_TRIES = 40
#: Things that a persona did, and how often a user must have done something to become one.
HISTORY, _LEAST = 8, 6
PERSONAS = ("Ada", "Ben", "Chloe", "Dario", "Edda")
_TRIED_USERS = 30
_READY_WITHIN_S = 120.0
#: Pauses before a question that was not answered, or not wholly, is asked once more.
_ASK_AGAIN_S = (0.2, 0.5, 1.0, 2.0)
#: What an answer may be less by: it lies in what is asked, and is so at each time.
_OF_ITSELF = frozenset({"popular_instead", "history_unknown", "nothing_to_search_by", "diversity_short"})
_WORTH = {"click": 0, "cart": 1, "order": 2}


@dataclass
class Showcase:
    """What `write_previews` takes: requests to try, and shoppers."""

    examples: list[dict[str, Any]] = field(default_factory=list)
    personas: list[dict[str, Any]] = field(default_factory=list)
    #: Whether the service answered all that it was asked: else there may be more that is right.
    whole: bool = True


def make_showcase(shop: Path, bundle: Path, index: Path) -> Showcase:
    """Choose examples and personas for a synthetic shop; some seconds.

    Raises:
        FileNotFoundError: the shop is no synthetic one.
        StartError: bundle or index cannot be used.
    """
    return asyncio.run(_make(shop, bundle, index))


async def _make(path: Path, bundle: Path, index: Path) -> Showcase:
    import httpx

    from models.synthetic import Judge
    from service.app import create_app
    from service.settings.tree import composed

    # The defaults, whatever the environment says: Redis and keys are not for this.
    settings = composed()(
        bundle={"path": bundle},  # type: ignore[arg-type]
        index={"path": index},  # type: ignore[arg-type]
        server={"access_log": False, "canary_every_s": 0, "recall_check_every_s": 0},  # type: ignore[arg-type]
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(_READY_WITHIN_S):
            while not app.state.runtime.ready:  # noqa: ASYNC110 -- once, while the demo is made
                await asyncio.sleep(0.02)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://demo") as client:
            chooser = _Chooser(client, Judge.open(path), path)
            examples = [*await chooser.queries(), *await chooser.photos(), *await chooser.alike()]
            return Showcase(examples, await chooser.personas(), chooser.unanswered == 0)


class _Chooser:
    def __init__(self, client: httpx.AsyncClient, judge: Judge, path: Path) -> None:
        import pyarrow.parquet as pq

        from artifacts.shop.shop import Shop

        self._client = client
        self._judge = judge
        self._shop = Shop.open(path)
        self._items = {item.id: item for item in self._shop.items()}
        self._truth = {row["id"]: row for row in pq.read_table(path / "truth.parquet").to_pylist()}
        self._log = pq.read_table(path / "queries.parquet").to_pylist()
        self._users = pq.read_table(path / "users.parquet").to_pylist()
        self._shown: set[str] = set()  # categories that have an example
        #: Requests that the service had no answer to, such as on a machine that is too busy.
        self.unanswered = 0

    async def queries(self) -> list[dict[str, Any]]:
        """Queries of the log, the most frequent ones of each kind, each of another category."""
        examples = []
        for kind, wanted in _KINDS.items():
            found = 0
            for row in self._candidates(kind):
                query = row["query"]
                if found < wanted and await self._is_right(query, {"query": query}):
                    found += 1
                    self._shown.add(row["category"])
                    label = f"{query} (mistyped)" if kind == "typo" else query
                    examples.append({"label": label, "query": query})
        return examples

    def _candidates(self, kind: str) -> Iterator[Mapping[str, Any]]:
        rows = [
            row
            for row in self._log
            if not row["picture"]
            and row["typo"] == (kind == "typo")
            and row["pattern"] != "plain"  # right, and dull to look at
            and row["kind"] == ("category" if kind == "typo" else kind)
        ]
        rows.sort(key=lambda row: (-row["searches"], row["query"]))
        for row in rows[:_TRIES]:
            if row["category"] not in self._shown:
                yield row

    async def photos(self) -> list[dict[str, Any]]:
        """A search by an item's picture alone: what it finds is the same kind of thing, in its colour."""
        for item in self._pictured():
            words = self._look(item.id)
            body = {"query": "", "picture": self._base64(item)}
            if await self._is_right(words, body):
                self._shown.add(self._truth[item.id]["category"])
                return [{"label": f"a photo: {words}", "state": {"photo": item.id}}]
        return []

    async def alike(self) -> list[dict[str, Any]]:
        """ "Like this, but …": an item's picture with a colour that it has not."""
        for item in self._pictured():
            noun, wanted = self._noun(item.id), "red"
            if self._truth[item.id]["colour"] == wanted:
                continue
            body = {
                "query": wanted,
                "picture": self._base64(item),
                "weights": {"p2i": 0},
                "filters": {"category": item.category},
            }
            if await self._is_right(f"{wanted} {noun}", body, without=item.id):
                label = f"like this ({noun}), but {wanted}"
                return [{"label": label, "query": wanted, "state": {"like": item.id}}]
        return []

    async def personas(self) -> list[dict[str, Any]]:
        """Users whose taste the answers to the empty query and a category's follow most, no two alike."""
        ranked = []
        plain = {query: await self._ask({"query": query}) for query in ("", "mug", "t-shirt", "backpack")}
        for row, history in self._tasteful():
            liking = self._judge.liking(row["user"])
            gain = 0.0
            for query, before in plain.items():
                after = await self._ask({"query": query, "history": history})
                for ids, sign in ((after, 1), (before, -1)):
                    gain += sign * float(liking[self._judge.rows(ids[:12])].mean())
            ranked.append((gain, row, history))
        ranked.sort(key=lambda each: (-each[0], each[1]["user"]))
        chosen: dict[str, tuple[Mapping[str, Any], list[dict[str, str]]]] = {}  # by colour
        for gain, row, history in ranked:
            if gain > 0 and len(chosen) < len(PERSONAS):
                chosen.setdefault(row["colour"], (row, history))
        return [
            {
                "name": name,
                "about": _about(name, row, [self._items[did["item_id"]] for did in history]),
                "history": [{"id": did["item_id"], "action": did["action"]} for did in history],
            }
            for name, (row, history) in zip(PERSONAS, chosen.values(), strict=False)
        ]

    def _tasteful(self) -> list[tuple[Mapping[str, Any], list[dict[str, str]]]]:
        """Users with a strong taste and enough that they did, with it, newest first."""
        did: dict[str, dict[str, str]] = defaultdict(dict)
        for event in self._shop.events():
            if event.user and event.action in _WORTH:
                before = did[event.user].pop(event.item, event.action)
                did[event.user][event.item] = max(before, event.action, key=_WORTH.__getitem__)
        people = [row for row in self._users if row["strength"] > 0.6 and len(did[row["user"]]) >= _LEAST]
        people.sort(key=lambda row: (-row["strength"], row["user"]))

        def newest(done: Mapping[str, str]) -> list[dict[str, str]]:
            last = list(done.items())[::-1][:HISTORY]
            return [{"item_id": item, "action": how} for item, how in last]

        return [(row, newest(did[row["user"]])) for row in people[:_TRIED_USERS]]

    async def _ask(self, body: Mapping[str, Any]) -> list[str]:
        ids = await whole_answer(self._client, body)
        self.unanswered += ids is None
        return ids or []

    async def _is_right(self, words: str, body: Mapping[str, Any], without: str = "") -> bool:
        """Whether the first `RIGHT` items of an answer are right for the words, and have pictures."""
        from models.synthetic import RELEVANT

        ids = [item_id for item_id in await self._ask(body) if item_id != without][:RIGHT]
        if len(ids) < RIGHT or not all(self._items[item_id].picture for item_id in ids):
            return False
        return bool((self._judge.all_relevances(words)[self._judge.rows(ids)] >= RELEVANT).all())

    def _pictured(self) -> list[Item]:
        """Items with a picture, of categories without an example, the popular ones first."""
        rows: Iterable[Mapping[str, Any]] = self._truth.values()
        rows = [row for row in rows if row["has_picture"] and row["in_stock"] and row["pattern"] != "plain"]
        rows = [row for row in rows if row["category"] not in self._shown]
        rows.sort(key=lambda row: (-row["popularity"], row["id"]))
        return [self._items[row["id"]] for row in rows[:_TRIES]]

    def _noun(self, item_id: str) -> str:
        return _words("category", self._truth[item_id]["category"])

    def _look(self, item_id: str) -> str:
        return f"{_words('colour', self._truth[item_id]['colour'])} {self._noun(item_id)}"

    def _base64(self, item: Item) -> str:
        return base64.b64encode(self._shop.picture(item.picture or "")).decode()


async def whole_answer(
    client: httpx.AsyncClient, body: Mapping[str, Any], pauses_s: Iterable[float] = _ASK_AGAIN_S
) -> list[str] | None:
    """The items of an answer from which nothing is left out, or None where none came.

    Under load parts are left out. What is chosen by such answers would be another thing each time.

    Args:
        client: of the service.
        body: of ``POST /recall``.
        pauses_s: seconds before each further try.
    """
    for pause_s in (*pauses_s, None):
        answer = await client.post("/recall", json={"k": K, "timeout_ms": 10_000, **body})
        if answer.status_code == 200 and _OF_ITSELF.issuperset(answer.json()["degraded"]):
            return [item["item_id"] for item in answer.json()["items"]]
        if 400 <= answer.status_code < 500:
            return []
        if pause_s is not None:
            await asyncio.sleep(pause_s)
    return None


def _words(attribute: str, value: str) -> str:
    """The usual words for a value of the truth."""
    from models.synthetic.attributes import ATTRIBUTES, VALUES, WORDS

    place = ATTRIBUTES.index(attribute)
    return WORDS[place][VALUES[place].index(value)][0]


def _about(name: str, user: Mapping[str, Any], seen: Iterable[Item]) -> str:
    """A user's taste, and the kinds of things that the strip shows, in a sentence."""
    liked = [_words("colour", user["colour"]), _words("colour", user["second_colour"])]
    pattern = _words("pattern", user["pattern"])
    kinds = Counter(item.category.split(" > ")[-1].lower() for item in seen)
    nouns = " and ".join(kind for kind, _ in kinds.most_common(2))
    return f"{name} likes {' and '.join(liked)}, {pattern} things, and looked at {nouns} last."
