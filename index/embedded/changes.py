"""Makes records of the log out of what a caller asks for: checked, and with whole items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from artifacts.attributes import CATEGORY, too_large
from artifacts.embeddings import LENGTH_TOLERANCE
from index.embedded.columns import column_values
from index.embedded.live import State
from index.embedded.log import Change, Put, Remove
from index.embedded.manifest import IndexManifest
from index.filters import FilterError, any_of
from index.port import ChangeRefused, ItemPut, ItemUpdate, WriteResult

#: Bytes of an id, as in a shop's files.
_MAX_ID = 512


class Checker:
    """Checks changes against what an index holds."""

    def __init__(self, manifest: IndexManifest) -> None:
        self._dim = manifest.dim
        self._shape = (manifest.experts, manifest.expert_dim)
        self._kinds = manifest.attributes

    def put(self, item: ItemPut) -> Put:
        """A whole item.

        Raises:
            ChangeRefused: it does not fit.
        """
        _check_id(item.id)
        vector = np.asarray(item.vector, dtype=np.float32)
        if vector.shape != (self._dim,):
            raise ChangeRefused(item.id, f"its vector has shape {vector.shape}, expected ({self._dim},)")
        length = float(np.linalg.norm(vector))
        if not abs(length - 1) <= LENGTH_TOLERANCE:
            raise ChangeRefused(item.id, f"its vector has length {length:.3f}, expected 1")
        features = np.zeros(self._shape, np.float16) if item.features is None else item.features
        if features.shape != self._shape or not np.isfinite(features).all():
            found = f"shape {features.shape}"
            raise ChangeRefused(item.id, f"its features have {found}, expected finite values {self._shape}")
        attributes = {CATEGORY: item.category, **self._checked(item.id, item.attributes)}
        return Put(item.id, vector.astype(np.float16), features.astype(np.float16), _present(attributes))

    def update(self, update: ItemUpdate) -> None:
        """Some attributes of an item.

        Raises:
            ChangeRefused: they do not fit.
        """
        _check_id(update.id)
        self._checked(update.id, update.attributes)
        if update.category is not None:
            _check_value(update.id, CATEGORY, "string", update.category)

    def _checked(self, item_id: str, attributes: Mapping[str, object]) -> Mapping[str, object]:
        for name, value in attributes.items():
            if name not in self._kinds or name == CATEGORY:
                raise ChangeRefused(item_id, f"{name!r} is no attribute of this index")
            if value is not None:
                _check_value(item_id, name, self._kinds[name], value)
        return attributes


class Lookup:
    """Plans changes that depend on the items there are: those of a state and those planned since."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._planned: dict[str, Change] = {}

    def put(self, puts: Sequence[Put]) -> tuple[Sequence[Change], WriteResult]:
        """Plan whole items."""
        return self._plan(puts, ())

    def removed(self, ids: Sequence[str]) -> tuple[Sequence[Change], WriteResult]:
        """Plan to delete items."""
        known = self._known(ids)
        changes = [Remove(item_id) for item_id in dict.fromkeys(ids) if item_id in known]
        return self._plan(changes, tuple(item_id for item_id in ids if item_id not in known))

    def updated(self, updates: Sequence[ItemUpdate]) -> tuple[Sequence[Change], WriteResult]:
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
            items[update.id] = Put(item.id, item.vector, item.features, _present(attributes))
            changes[update.id] = items[update.id]
        unknown = tuple(update.id for update in updates if update.id not in items)
        return self._plan(list(changes.values()), unknown)

    def _plan(
        self, changes: Sequence[Change], unknown: tuple[str, ...]
    ) -> tuple[Sequence[Change], WriteResult]:
        self._planned.update({change.id: change for change in changes})
        return changes, WriteResult(len(changes), unknown)

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
        puts = zip(known, vectors, features, zip(*columns, strict=True), strict=True)
        return {
            item_id: Put(item_id, vector, feature, _present(dict(zip(dict(kinds), values, strict=True))))
            for item_id, vector, feature, values in puts
        }


#: Makes changes, given the items there are.
Plan = Callable[[Lookup], tuple[Sequence[Change], WriteResult]]


def _present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that are missing."""
    return {name: value for name, value in attributes.items() if value is not None}


def _values(column: Any, kind: str, name: str, rows: Any) -> list[Any]:
    values: list[Any] = column_values(column, rows).to_pylist()
    if name == CATEGORY:  # the longest prefix is the path
        return [max(prefixes, key=len) if prefixes else "" for prefixes in values]
    if kind == "string":
        return [terms[0] if terms else None for terms in values]
    if kind == "list":
        return [terms or None for terms in values]
    return values


def _check_id(item_id: object) -> None:
    if not isinstance(item_id, str) or not item_id:
        raise ChangeRefused(str(item_id), "an id is a string that is not empty")
    try:
        size = len(item_id.encode())
    except UnicodeEncodeError:
        raise ChangeRefused(item_id, "its id has half a surrogate pair") from None
    if size > _MAX_ID:
        raise ChangeRefused(item_id, f"its id has {size} bytes; at most {_MAX_ID} are allowed")


def _check_value(item_id: str, name: str, kind: str, value: object) -> None:
    """An item may hold what a filter may ask for."""
    refused = ChangeRefused(item_id, f"{name} is a {kind}; got {str(value)[:40]!r}")
    values = value if kind == "list" else [value]
    if not isinstance(values, list | tuple):
        raise refused
    if reason := too_large(name, values):
        raise ChangeRefused(item_id, f"{name} {reason}")
    try:
        any_of(name, kind, values)
    except FilterError:
        raise refused from None
