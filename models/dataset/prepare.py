"""A shop becomes compact arrays in the run folder: examples, histories by user, val searches, ids of texts.

Memory is bounded by the distinct ids, queries and pictures plus index columns of under 100 bytes an event,
never by texts or pixels; everything is memory-mapped afterwards.
"""

from __future__ import annotations

import hashlib
import json
import logging
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from artifacts.bundle import ItemText, TextFeatures
from artifacts.bundle.manifest import TOKENIZER_NAME
from artifacts.bundle.portrait import item_hash
from artifacts.shop.formats import nothing_found
from artifacts.shop.schema import Item
from artifacts.shop.shop import UNTAUGHT, Shop
from common.arrays import I32, I64, Bool
from common.files import replace_text
from common.progress import Progress
from models.dataset.bands import Numbers
from models.dataset.intents import number_intents
from models.dataset.log import ANSWERS, LOW, TRAIN, VAL, EventLog, read_log
from models.dataset.text_store import write_item_texts
from models.dataset.vocabulary import train_tokenizer
from models.towers.config import Config

log = logging.getLogger("mrse.training")

_TELL = 5000


def prepare(
    shop: Shop, folder: Path, config: Config, progress: Progress, tokenizer: Tokenizer | None = None
) -> None:
    """Write the arrays that `TrainingData` reads below ``folder``, unless they are there already.

    Items are read three times and events once. ``tokenizer`` takes the place of one that is trained on the
    shop's own texts.

    Raises:
        DataError: a row or picture of the shop cannot be read; names the file and line.
    """
    marker = folder / "prepared.json"
    if marker.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _Preparation(shop, folder, config, progress).write(tokenizer)
    replace_text(marker, "{}")


class _Preparation:
    def __init__(self, shop: Shop, folder: Path, config: Config, progress: Progress) -> None:
        self.shop, self.folder, self.config, self.progress = shop, folder, config, progress
        self.rows: dict[str, int] = {}
        #: Picture ids by content hash, so that a picture used twice is encoded once.
        self.pictures: dict[bytes, int] = {}
        self.picture_files: list[str] = []
        self._picture_of: dict[str, int] = {}

    def write(self, tokenizer: Tokenizer | None) -> None:
        item_picture, title_ends = array("i"), array("q", [0])
        numbers = Numbers(self.shop.schema.attributes)
        with (self.folder / "titles.bin").open("wb") as titles:
            for item in self._items("catalogue"):
                self.rows[item.id] = len(self.rows)
                numbers.add(item.category, item.attributes)
                item_picture.append(-1 if item.picture is None else self._picture(item.picture))
                titles.write(title := item.title.encode())
                title_ends.append(title_ends[-1] + len(title))
        self._save("title_ends", np.array(title_ends, dtype=np.int64))
        self._save("item_bands", numbers.bands())
        self._save("item_picture", np.array(item_picture, dtype=np.int32))
        self._save("item_hash", np.array([item_hash(item_id) for item_id in self.rows], dtype=np.int64))
        data, loss = self.config.data, self.config.loss
        events = read_log(
            self.shop, self.rows, data.held_out, low_relevance=loss.low_relevance, progress=self.progress
        )
        queries = self._write_examples(events)
        self._write_histories(events)
        self._write_val_searches(events)
        self._save_json("pictures", self.picture_files)
        tokenizer = tokenizer or train_tokenizer(self._texts(queries), data.vocabulary)
        (self.folder / TOKENIZER_NAME).write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
        text = TextFeatures(tokenizer, self.config.text)
        texts = (ItemText(i.title, i.category, i.description) for i in self._items("texts"))
        write_item_texts(texts, text, self.folder / "items")

    def _save(self, name: str, column: np.ndarray) -> None:
        np.save(self.folder / f"{name}.npy", column)

    def _save_json(self, name: str, content: list[str]) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False))

    def _items(self, stage: str) -> Iterator[Item]:
        done = 0
        for done, item in enumerate(self.shop.items(), start=1):
            if done % _TELL == 0:
                self.progress(stage, done, None)
            yield item
        self.progress(stage, done, done)

    def _texts(self, queries: list[str]) -> Iterator[str]:
        for item in self._items("vocabulary"):
            yield f"{item.title} {item.category} {item.description}"
        yield from queries

    def _picture(self, relative: str) -> int:
        """Id of a picture, which stands for its content."""
        if relative not in self._picture_of:
            digest = hashlib.sha256(self.shop.picture(relative)).digest()
            self._picture_of[relative] = self.pictures.setdefault(digest, len(self.pictures))
            if len(self.pictures) > len(self.picture_files):
                self.picture_files.append(relative)
        return self._picture_of[relative]

    def _write_examples(self, events: EventLog) -> list[str]:
        """Positives and labels of the train split; gives the distinct queries of those that teach."""
        trains = (events["split"] == TRAIN) & (events["item"] >= 0)
        teaches = trains & (events["low"] != ANSWERS)
        positive = teaches & (events["behaviour"] > 0) & (events["low"] == 0)
        if not positive.any():
            lacks = "no click, cart or order to train on"
            lacks = lacks if self.shop.events_file else nothing_found("events")
            log.warning("%s: %s; %s", self.shop.events_file or self.shop.path, lacks, UNTAUGHT)
        seen = _in_order(events["query"][teaches])
        seen = seen[seen > 0]
        new = np.zeros(len(events.queries), dtype=np.int32)
        new[seen] = np.arange(1, len(seen) + 1)
        queries = ["", *(events.queries[row] for row in seen.tolist())]
        self._save_json("queries", queries)
        self._save("positive_query", new[events["query"][positive]])
        self._save("positive_picture", self._picture_ids(events, positive))
        for name in ("item", "user", "at"):
            self._save(f"positive_{name}", events[name][positive])
        # What was asked as the log numbers it: histories are compared by it.
        for name in ("query", "picture"):
            self._save(f"positive_log_{name}", events[name][positive])
        self._save("query_intent", number_intents(queries))
        self._write_labels(events, teaches & (events["low"] == LOW), new, "low")
        self._write_labels(events, trains & (events["low"] == ANSWERS), new, "answering")
        return queries

    def _write_labels(self, events: EventLog, chosen: Bool, new: I32, name: str) -> None:
        """Labels by what was asked, which is a query, a picture or both.

        Of several labels of one item the highest counts. What no example asks with is left out.
        """
        ids = np.array([self._picture_of.get(path, -2) for path in events.pictures] + [-1], dtype=np.int64)
        query, picture = new[events["query"][chosen]], ids[events["picture"][chosen]]
        kept = (picture >= -1) & ((query > 0) | ((picture >= 0) & (events["query"][chosen] == 0)))
        asked = np.stack([query, picture, events["item"][chosen]], axis=1).astype(np.int64)[kept]
        grades = events["grade"][chosen][kept]
        order = np.lexsort((-grades, asked[:, 2], asked[:, 1], asked[:, 0]))
        asked, first = np.unique(asked[order], axis=0, return_index=True)
        self._save(f"{name}_asked", asked)
        self._save(f"{name}_grade", grades[order][first])

    def _picture_ids(self, events: EventLog, chosen: Bool) -> I32:
        ids = np.full(len(events.pictures) + 1, -1, dtype=np.int32)
        named = events["picture"][chosen]
        for row in _in_order(named[named >= 0]).tolist():
            ids[row] = self._picture(events.pictures[row])
        result: I32 = ids[named]
        return result

    def _write_histories(self, events: EventLog) -> None:
        """Behaviours of the train split by user and time."""
        rows = np.flatnonzero(events.trains)
        # Stable, so that events of one second keep the order of the file.
        rows = rows[np.lexsort((events["at"][rows], events["user"][rows]))]
        ends = np.cumsum(np.bincount(events["user"][rows], minlength=events.users))
        self._save("history_ends", np.concatenate([[0], ends]).astype(np.int64))
        self._save("history_at", events["at"][rows])
        self._save("history_item", events["item"][rows])
        self._save("history_action", events["behaviour"][rows])
        self._save("history_query", events["query"][rows])
        self._save("history_picture", events["picture"][rows])

    def _write_val_searches(self, events: EventLog) -> None:
        """Val searches with a text, each (user, query, item) once, and all that their users did."""
        rows = np.flatnonzero((events["behaviour"] > 0) & (events["split"] == VAL) & (events["query"] > 0))
        columns = events.events[["key", "user", "query", "item"]][rows]
        rows = rows[np.sort(np.unique(columns, return_index=True)[1])]
        queries, query = np.unique(events["query"][rows], return_inverse=True)
        self._save_json("val_queries", [events.queries[row] for row in queries.tolist()])
        self._save("val_query", query)
        for name in ("item", "user", "at", "key"):
            self._save(f"val_{name}", events[name][rows])
        for name in ("query", "picture"):
            self._save(f"val_log_{name}", events[name][rows])
        users = np.unique(events["user"][rows])
        past = np.flatnonzero((events["behaviour"] > 0) & np.isin(events["user"], users[users >= 0]))
        past = past[np.argsort(events["user"][past], kind="stable")]
        for name in ("user", "item", "behaviour", "at", "query", "picture"):
            self._save(f"past_{name}", events[name][past])


def _in_order(ids: I32) -> I64:
    """Distinct ids in the order of their first appearance."""
    distinct, first = np.unique(ids, return_index=True)
    return distinct[np.argsort(first)].astype(np.int64)
