"""Makes records of the log out of checked changes, with whole items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from artifacts.attributes import CATEGORY
from index.changes import KEEP_NOTHING, ItemUpdate, Keep, WriteResult
from index.embedded.checks import filled, present
from index.embedded.columns import column_values
from index.embedded.records import Change, Put, Remove, pack
from index.embedded.state import State


class Planned(NamedTuple):
    """The changes of one call as the log has them, and what the caller is told when they are on disk."""

    packed: bytes
    result: WriteResult


class Lookup:
    """Plans changes that depend on the items there are: those of a state and those planned since."""

    def __init__(self, state: State) -> None:
        #: Of the base that the changes are made to.
        self.manifest = state.manifest
        self._state = state
        self._planned: dict[str, Change] = {}

    def put(self, puts: Sequence[Put], keeps: Sequence[Keep] = ()) -> Planned:
        """Plan whole items; ``keeps`` says of each what stays as it is now, and may be left out."""
        if all(keep == KEEP_NOTHING for keep in keeps):
            return self._plan(puts, ())
        items = self._known([put.id for put in puts])
        made: list[Put] = []
        for put, keep in zip(puts, keeps, strict=True):
            there = items.get(put.id)
            items[put.id] = put if there is None else self._keeping(put, there, keep)
            made.append(items[put.id])
        return self._plan(made, ())

    def _keeping(self, put: Put, there: Put, keep: Keep) -> Put:
        """An item as it shall be, with what stays of the one that is there."""
        attributes = {name: value for name, value in put.attributes.items() if name not in keep.attributes}
        attributes |= {name: there.attributes[name] for name in keep.attributes if name in there.attributes}
        texts = put.texts
        if keep.texts:
            told = self._state.manifest.attributes.keys() - keep.attributes
            texts = {name: text for name, text in there.texts.items() if name not in told} | {**texts}
        picture = there.picture if keep.picture else put.picture
        return replace(put, attributes=attributes, texts=texts, picture=picture)

    def removed(self, ids: Sequence[str]) -> Planned:
        """Plan to delete items."""
        known = self._known(ids)
        changes = [Remove(item_id) for item_id in dict.fromkeys(ids) if item_id in known]
        return self._plan(changes, tuple(item_id for item_id in ids if item_id not in known))

    def updated(self, updates: Sequence[ItemUpdate]) -> Planned:
        """Plan to change attributes; several updates of one item add up."""
        items = self._known([update.id for update in updates])
        changes: dict[str, Change] = {}
        for update in updates:
            item = items.get(update.id)
            if item is None:
                continue
            attributes = {**item.attributes, **update.attributes}
            if update.category is not None:
                attributes[CATEGORY] = update.category
            texts = filled({**item.texts, **update.texts})
            items[update.id] = replace(item, attributes=present(attributes), texts=texts)
            changes[update.id] = items[update.id]
        unknown = tuple(update.id for update in updates if update.id not in items)
        return self._plan(list(changes.values()), unknown)

    def _plan(self, changes: Sequence[Change], unknown: tuple[str, ...]) -> Planned:
        packed = pack(changes)  # before it is planned: what cannot be written has not been
        self._planned.update({change.id: change for change in changes})
        return Planned(packed, WriteResult(len(changes), unknown))

    def _known(self, ids: Sequence[str]) -> dict[str, Put]:
        """Those of the ids that there are, with their items."""
        found: dict[str, Put] = {}
        rest: list[str] = []
        for item_id in dict.fromkeys(ids):
            planned, row = self._planned.get(item_id), self._state.buffer.row(item_id)
            if isinstance(planned, Put):
                found[item_id] = planned
            elif planned is None and row is not None:
                found[item_id] = self._state.buffer.change(row)
            elif planned is None:
                rest.append(item_id)
        return found | self._in_base(rest)

    def _in_base(self, ids: Sequence[str]) -> dict[str, Put]:
        base = self._state.base
        known, rows = base.ids.find(ids)
        alive = self._state.tombstones.alive[rows]
        known = [item_id for item_id, lives in zip(known, alive.tolist(), strict=True) if lives]
        rows = rows[alive]
        if not known:
            return {}
        kinds = self._state.manifest.attributes.items()
        columns = [_values(base.attributes.column(name), kind, name, rows) for name, kind in kinds]
        vectors, features = base.vectors.codes[rows], np.asarray(base.features[rows])
        texts = [{} if base.words is None else base.words.texts.row(row) for row in rows.tolist()]
        pictures = [None] * len(rows) if base.pictures is None else base.pictures.of_items(rows)
        puts = zip(known, vectors, features, zip(*columns, strict=True), texts, pictures, strict=True)
        return {
            item_id: Put(
                item_id, vector, feature, present(dict(zip(dict(kinds), values, strict=True))), text, picture
            )
            for item_id, vector, feature, values, text, picture in puts
        }


#: Makes changes, given the items there are.
Plan = Callable[[Lookup], Planned]


def _values(column: Any, kind: str, name: str, rows: Any) -> list[Any]:
    values: list[Any] = column_values(column, rows).to_pylist()
    if name == CATEGORY:  # the longest prefix is the path
        return [max(prefixes, key=len) if prefixes else "" for prefixes in values]
    if kind == "string":
        return [terms[0] if terms else None for terms in values]
    if kind == "list":
        return [terms or None for terms in values]
    return values
