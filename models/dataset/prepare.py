"""A shop becomes compact arrays in the run folder: columns of events, histories by user, ids of texts.

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

from artifacts.actions import ACTIONS
from artifacts.bundle import ItemText, TextFeatures
from artifacts.bundle.manifest import TOKENIZER_NAME
from artifacts.bundle.text import normalise
from artifacts.shop.formats import nothing_found
from artifacts.shop.holdout import Holdout
from artifacts.shop.schema import Event, Item
from artifacts.shop.shop import UNTAUGHT, Shop
from common.progress import Progress
from models.dataset.text_store import write_item_texts
from models.dataset.vocabulary import train_tokenizer
from models.towers.config import Config

log = logging.getLogger("mrse.training")

_TELL = 5000


def prepare(
    shop: Shop, folder: Path, config: Config, progress: Progress, tokenizer: Tokenizer | None = None
) -> None:
    """Write the prepared arrays below ``folder``; does nothing where they are there already.

    ``tokenizer`` stands in for one that is trained on the shop's own texts.

    Raises:
        DataError: a row or picture of the shop cannot be read; names the file and line.
    """
    marker = folder / "prepared.json"
    if marker.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _Preparation(shop, folder, config, progress).write(tokenizer)
    temporary = marker.with_suffix(".tmp")
    temporary.write_text(json.dumps({"shop": shop.fingerprint()}))
    temporary.replace(marker)


class _Preparation:
    def __init__(self, shop: Shop, folder: Path, config: Config, progress: Progress) -> None:
        self.shop, self.folder, self.config, self.progress = shop, folder, config, progress
        self.rows: dict[str, int] = {}
        self.users: dict[str, int] = {}
        #: Row 0 is the empty query.
        self.queries: dict[str, int] = {"": 0}
        #: Picture ids by content hash, so that a picture used twice is encoded once.
        self.pictures: dict[bytes, int] = {}
        self.picture_files: list[str] = []
        self._picture_of: dict[str, int] = {}

    def write(self, tokenizer: Tokenizer | None) -> None:
        item_picture, title_ends = array("i"), array("q", [0])
        with (self.folder / "titles.bin").open("wb") as titles:
            for item in self._items("catalogue"):
                self.rows[item.id] = len(self.rows)
                item_picture.append(self._picture(item.picture))
                titles.write(title := item.title.encode())
                title_ends.append(title_ends[-1] + len(title))
        np.save(self.folder / "title_ends.npy", np.array(title_ends, dtype=np.int64))
        np.save(self.folder / "item_picture.npy", np.array(item_picture, dtype=np.int32))
        self._write_events()
        (self.folder / "queries.json").write_text(json.dumps(list(self.queries), ensure_ascii=False))
        (self.folder / "pictures.json").write_text(json.dumps(self.picture_files, ensure_ascii=False))
        tokenizer = tokenizer or train_tokenizer(self._texts(), self.config.data.vocabulary)
        (self.folder / TOKENIZER_NAME).write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
        text = TextFeatures(tokenizer, self.config.text)
        texts = (ItemText(i.title, i.category, i.description) for i in self._items("texts"))
        write_item_texts(texts, text, self.folder / "items")

    def _items(self, stage: str) -> Iterator[Item]:
        done = 0
        for done, item in enumerate(self.shop.items(), start=1):
            if done % _TELL == 0:
                self.progress(stage, done, None)
            yield item
        self.progress(stage, done, done)

    def _texts(self) -> Iterator[str]:
        for item in self._items("vocabulary"):
            yield f"{item.title} {item.category} {item.description}"
        yield from self.queries

    def _picture(self, relative: str | None) -> int:
        if relative is None:
            return -1
        known = self._picture_of.get(relative)
        if known is None:
            digest = hashlib.sha256(self.shop.picture(relative)).digest()
            known = self.pictures.setdefault(digest, len(self.pictures))
            if known == len(self.picture_files):
                self.picture_files.append(relative)
            self._picture_of[relative] = known
        return known

    def _write_events(self) -> None:
        data, loss = self.config.data, self.config.loss
        holdout = Holdout.of(self.shop.events(), data.held_out)
        positives = {"query": array("i"), "item": array("i"), "user": array("i"), "picture": array("i")}
        at = array("d")
        low = array("q")
        behaviours = {"user": array("i"), "item": array("i"), "action": array("b")}
        behaved_at = array("d")
        for done, event in enumerate(self.shop.events(), start=1):
            if done % _TELL == 0:
                self.progress("events", done, None)
            item = self.rows.get(event.item)
            if item is None or holdout.split(event) != "train":
                continue
            low_label = event.relevance is not None and event.relevance <= loss.low_relevance
            behaviour = event.action in ACTIONS.behaviours
            user = -1 if event.user is None else self.users.setdefault(event.user, len(self.users))
            if behaviour and user >= 0:
                behaviours["user"].append(user)
                behaviours["item"].append(item)
                behaviours["action"].append(ACTIONS.behaviour_ids[event.action])
                behaved_at.append(event.ts.timestamp())
            if low_label:
                if query := self._query(event):
                    low.extend((query, item))
            elif behaviour:
                positives["query"].append(self._query(event))
                positives["item"].append(item)
                positives["user"].append(user)
                positives["picture"].append(self._picture(event.picture))
                at.append(event.ts.timestamp())
        if not at:
            lacks = f"no {ACTIONS.any_behaviour()} to train on"
            lacks = lacks if self.shop.events_file else nothing_found("events")
            log.warning("%s: %s; %s", self.shop.events_file or self.shop.path, lacks, UNTAUGHT)
        for name, column in positives.items():
            np.save(self.folder / f"positive_{name}.npy", np.array(column, dtype=np.int32))
        np.save(self.folder / "positive_at.npy", np.array(at, dtype=np.float64))
        pairs = np.array(low, dtype=np.int64).reshape(-1, 2)
        np.save(self.folder / "low_pairs.npy", np.unique(pairs, axis=0))
        self._write_histories(behaviours, behaved_at)

    def _query(self, event: Event) -> int:
        return self.queries.setdefault(normalise(event.query), len(self.queries))

    def _write_histories(self, columns: dict[str, array[int]], at: array[float]) -> None:
        user = np.array(columns["user"], dtype=np.int32)
        times = np.array(at, dtype=np.float64)
        # Stable, so that events of one second keep the order of the file.
        order = np.lexsort((times, user))
        ends = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=len(self.users)))])
        np.save(self.folder / "history_ends.npy", ends.astype(np.int64))
        np.save(self.folder / "history_at.npy", times[order])
        np.save(self.folder / "history_item.npy", np.array(columns["item"], dtype=np.int32)[order])
        np.save(self.folder / "history_action.npy", np.array(columns["action"], dtype=np.int8)[order])
