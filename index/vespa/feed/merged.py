"""The changes of an item since the last folder: merged, so that no order of arrival loses any.

Of each attribute the newest value wins, and of putting and removing the newest too, wherever and however
often a change arrives. What is sent for an item always says all of it: an operation that was refused, because
the item was not there yet or something newer was, is made good by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import orjson

from common.arrays import Floats
from index.vespa.feed.operations import AttributeValue, Kind, Operation, Operations


@dataclass(frozen=True, slots=True)
class Change:
    """One change as somebody gave it; ``vector`` ``[dim]`` and all attributes of a put, some of an update."""

    kind: Kind
    item_id: str
    feed_ver: int
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    vector: Sequence[float] | None = None
    #: Of a put: attributes of which an earlier change that is known counts, whatever ``attributes`` says.
    kept: frozenset[str] = frozenset()

    def operation(self, operations: Operations) -> Operation:
        """The change by itself.

        Raises:
            ItemRefused, ValueError: it cannot be fed.
        """
        if self.kind == "remove":
            return operations.remove(self.item_id, self.feed_ver)
        if self.kind == "update":
            return operations.update(self.item_id, self.attributes, self.feed_ver)
        vector = np.asarray(self.vector, np.float32)
        return operations.put(self.item_id, vector, self.attributes, self.feed_ver)


@dataclass(frozen=True, slots=True)
class Merged:
    """The changes of one item, merged; an empty one knows of none."""

    #: The newest change of the whole item, and its version.
    whole: Literal["", "put", "remove"] = ""
    whole_ver: int = 0
    vector: Sequence[float] | None = None
    #: Version and value of each attribute that changed since.
    attributes: Mapping[str, tuple[int, AttributeValue]] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """Of the newest change."""
        return max([self.whole_ver, *(version for version, _ in self.attributes.values())])

    @property
    def content(self) -> tuple[object, ...]:
        """What an item is, by what is known, whenever it became so."""
        values = {name: value for name, (_, value) in self.attributes.items()}
        return self.whole, self.vector, values

    def with_change(self, change: Change) -> Merged:
        """One change more; of two with one version the later one counts."""
        version = change.feed_ver
        news = {name: (version, value) for name, value in change.attributes.items()}
        if change.kind == "update":
            if version < self.whole_ver:
                return self
            return replace(self, attributes=_newest(self.attributes, news))
        if version < self.whole_ver:
            return self
        if self.whole != "remove":
            for name in change.kept & self.attributes.keys():
                news[name] = (version, self.attributes[name][1])
        later = {name: entry for name, entry in self.attributes.items() if entry[0] > version}
        if change.kind == "remove":
            return Merged("remove", version, None, later)
        return Merged("put", version, change.vector, _newest(news, later))

    def operation(
        self,
        operations: Operations,
        item_id: str,
        row: tuple[Floats, Mapping[str, AttributeValue]] | None = None,
        *,
        whole: bool = True,
        known: int = 0,
    ) -> Operation:
        """All that changed, as one operation, which may take the place of one of the same version.

        Args:
            operations: makes it.
            item_id: of the item.
            row: vector and attributes of the item in a folder that is older; the item is put whole then.
            whole: whether to put an item whole that was put; otherwise its vector is there already.
            known: see `Operation.known`.
        """
        version, operations = self.version, operations.of_taken
        attributes = {name: value for name, (_, value) in self.attributes.items()}
        if self.whole == "remove":
            made = operations.remove(item_id, version)
        elif self.whole == "put" and (whole or row is not None):
            made = operations.put(item_id, np.asarray(self.vector, np.float32), attributes, version)
        elif row is not None:
            made = operations.put(item_id, row[0], {**row[1], **attributes}, version)
        else:
            made = operations.update(item_id, attributes, version)
        return replace(made, again=True, known=known)

    def to_json(self) -> bytes:
        """For the ledger."""
        return orjson.dumps([self.whole, self.whole_ver, self.vector, self.attributes])

    @classmethod
    def from_json(cls, text: bytes) -> Merged:
        """What `to_json` wrote."""
        whole, whole_ver, vector, attributes = orjson.loads(text)
        return cls(whole, whole_ver, vector, {name: tuple(entry) for name, entry in attributes.items()})


def _newest(
    old: Mapping[str, tuple[int, AttributeValue]], new: Mapping[str, tuple[int, AttributeValue]]
) -> dict[str, tuple[int, AttributeValue]]:
    merged = dict(old)
    for name, entry in new.items():
        if name not in merged or merged[name][0] <= entry[0]:
            merged[name] = entry
    return merged
