"""A file of changes as numbered operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from index.vespa import names
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.merged import Change
from index.vespa.feed.operations import ItemRefused, Numbered, Older, Operations, Rejected
from index.vespa.feed.source import IsSettled
from index.vespa.version import Version

#: Lines that are written to the ledger at once.
_BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class ChangesSource:
    """A file of changes, one JSON object a line, numbered without empty lines::

        {"id": "a1", "attributes": {"price": 9.5, "in_stock": false}}
        {"id": "a2", "remove": true}
        {"id": "a3", "vector": [0.1, …], "attributes": {"category": "Shoes > Running"}}
        {"id": "a1", "feed_ver": 1764161640000000, "attributes": {"price": 9.9}}
        {"id": "a4", "texts": {"title": "Red shoes", "category": "Shoes > Running"}}
        {"id": "a5", "vectors": {"demo-1a2b3c4d": [0.1, …], "demo-5e6f7a8b": [0.2, …]}, "attributes": {}}

    Without ``vector`` the named attributes are updated and the vector is not touched; null takes an
    attribute away. With it the whole document is put, which may have
    ``picture`` too, the feature of its picture. ``texts`` are all that the item is found by word for
    word, in place of those before. ``feed_ver`` says when the change happened, in microseconds since 1970
    (or in the numbers that folders are fed with, see ``--as-of``): the newest change wins, for each attribute
    by itself. Lines without it count up from the time when the file was first fed, so that of such lines the
    last one wins.
    """

    path: Path
    #: Where changes are written before they are sent.
    ledger: Ledger = field(default_factory=Ledger)
    #: Whether no other version gets these changes, so that ``vector`` says enough.
    alone: bool = True

    @property
    def fingerprint(self) -> str:
        """Name, size and time of change of the file."""
        facts = self.path.stat()
        return f"{self.path.name}:{facts.st_size}:{facts.st_mtime_ns}"

    @property
    def total(self) -> None:
        """Unknown: the lines are not counted."""

    def operations(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """See `FeedSource.operations`; a line that cannot be used is rejected."""
        operations = Operations(version)
        with self.path.open("rb") as file:
            lines = ((place, line) for place, line in enumerate(file, 1) if line.strip())
            numbered = ((number, *line) for number, line in enumerate(lines) if not settled(number))
            while batch := list(islice(numbered, _BATCH)):
                read = [
                    (
                        number,
                        read_change(
                            operations, f"line {place}", line, feed_ver + number, version, self.alone
                        ),
                    )
                    for number, place, line in batch
                ]
                yield from self._recorded(operations, read)

    def later(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """Nothing: a file does not grow."""
        return iter(())

    def _recorded(
        self, operations: Operations, read: list[tuple[int, Change | Rejected]]
    ) -> Iterator[Numbered]:
        states = iter(self.ledger.record([each for _, each in read if isinstance(each, Change)]))
        known = self.ledger.recorded
        for number, each in read:
            if isinstance(each, Rejected):
                yield number, each
            elif (state := next(states)) is None:
                yield number, Older(each.item_id)
            else:
                whole = each.kind == "put"
                yield number, state.operation(operations, each.item_id, whole=whole, known=known)


def read_change(
    operations: Operations, name: str, line: bytes, feed_ver: int, version: Version, alone: bool
) -> Change | Rejected:
    """The change of a line, for one version.

    Args:
        operations: of that version.
        name: how a message names the line.
        line: its JSON.
        feed_ver: its version where it says none.
        version: what it is for.
        alone: whether no other version gets it; ``vector`` does not say whose it is otherwise.
    """
    try:
        change = _change(orjson.loads(line), feed_ver, version.bundle_version, alone)
        change.operation(operations)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Rejected(name, f"{type(error).__name__}: {error}")
    return change


def _change(raw: Mapping[str, Any], feed_ver: int, bundle: str, alone: bool) -> Change:
    known = {"id", "feed_ver", "attributes", "texts", "vector", "vectors", "picture", "remove"}
    if unknown := raw.keys() - known:
        raise ItemRefused(f"unknown keys {', '.join(sorted(unknown))}")
    item_id, feed_ver = raw["id"], raw.get("feed_ver", feed_ver)
    if type(feed_ver) is not int:
        raise ItemRefused("feed_ver is no integer")
    if raw.get("remove") is True:
        return Change("remove", item_id, feed_ver)
    attributes = dict(raw.get("attributes", {}))
    if names.TEXTS in attributes:
        raise ItemRefused("an attribute without a name")
    if "texts" in raw:
        attributes[names.TEXTS] = dict(raw["texts"])
    if "picture" in raw:
        if "vector" not in raw:
            raise ItemRefused("a picture without a vector: both are of the whole item")
        attributes[names.PICTURE_FEATURE] = raw["picture"]
    if "vectors" in raw:
        if bundle not in raw["vectors"]:
            raise ItemRefused(f"no vector of bundle {bundle} among its vectors")
        return Change("put", item_id, feed_ver, attributes, raw["vectors"][bundle])
    if "vector" in raw:
        if not alone:
            raise ItemRefused("several versions are fed: `vectors` names the bundle of each vector")
        return Change("put", item_id, feed_ver, attributes, raw["vector"])
    return Change("update", item_id, feed_ver, attributes)
