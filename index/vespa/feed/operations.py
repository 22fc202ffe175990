"""Feed operations and their document/v1 requests.

Order is by ``feed_ver``, a number of our own: every operation carries one and a condition that what is
stored is older. So an operation that comes late, or twice, changes nothing: Vespa answers 412.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

import numpy as np
import orjson

from index.port import F32, AttributeKind
from index.vespa import names, rules
from index.vespa.errors import RuleBroken
from index.vespa.settings import VespaSettings
from index.vespa.tensors import bfloat16_hex, unit_rows
from index.vespa.text import storable, term

AttributeValue = str | float | bool | Sequence[str] | None
Kind = Literal["put", "update", "remove"]
_METHODS: Mapping[Kind, str] = {"put": "POST", "update": "PUT", "remove": "DELETE"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of one item. ``fields`` are in Vespa's form: assigned by an update, all of a put."""

    kind: Kind
    item_id: str
    feed_ver: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that our rules do not let through; counted as failed, never sent."""

    item_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """An operation as an HTTP request."""

    method: str
    path: str
    body: bytes | None


class Operations:
    """Makes operations for one embedding version; every one is checked by `rules` when it is made."""

    def __init__(self, settings: VespaSettings) -> None:
        self._type = settings.document_type
        self._attributes = settings.attributes
        self._dimension = settings.dimension

    def put(
        self, item_id: str, vector: F32, attributes: Mapping[str, AttributeValue], feed_ver: int
    ) -> Operation:
        """The whole document of an item; ``vector`` ``[dim]`` is normalised here.

        Raises:
            RuleBroken: the item cannot be fed.
            ValueError: a vector that is zero or not finite.
        """
        return self.put_rounded(item_id, bfloat16_hex(unit_rows(vector[None]))[0], attributes, feed_ver)

    def put_rounded(
        self, item_id: str, embedding: str, attributes: Mapping[str, AttributeValue], feed_ver: int
    ) -> Operation:
        """As `put`, with the embedding in hex already.

        Raises:
            RuleBroken: the item cannot be fed.
        """
        fields: dict[str, Any] = {
            names.ITEM_ID: item_id,
            names.EMBEDDING: embedding,
            names.FEED_VERSION: feed_ver,
        }
        known_bools: list[str] = []
        for name, value in attributes.items():
            kind = self._kind(name)
            written = attribute_field(name, value, kind)
            if written is None:
                continue
            fields[names.field_name(name)] = written
            if kind == "bool":
                known_bools.append(storable(name))
        if known_bools:
            fields[names.KNOWN_BOOLS] = dict.fromkeys(known_bools, 1)
        rules.document_fields(fields, self._attributes, self._dimension, whole=True)
        return Operation("put", item_id, feed_ver, fields)

    def update(self, item_id: str, attributes: Mapping[str, AttributeValue], feed_ver: int) -> Operation:
        """New values of some attributes, such as price and stock; the vector is not touched.

        A value of None takes the attribute away.

        Raises:
            RuleBroken: an unknown attribute, or a value of another type.
        """
        rules.item_id(item_id)
        if not attributes:
            raise RuleBroken("an update without attributes")
        assigned: dict[str, Any] = {names.FEED_VERSION: feed_ver}
        bools: dict[str, bool] = {}
        for name, value in attributes.items():
            kind = self._kind(name)
            assigned[names.field_name(name)] = attribute_field(name, value, kind)
            if kind == "bool":
                bools[storable(name)] = value is not None
        given = {name: value for name, value in assigned.items() if value is not None}
        rules.document_fields(given, self._attributes, self._dimension, whole=False)
        # Assigning null takes a field away; Vespa offers no other form for it.
        fields: dict[str, Any] = {name: {"assign": value} for name, value in assigned.items()}
        changes = {
            "add": {name: 1 for name, known in bools.items() if known},
            "remove": {name: 0 for name, known in bools.items() if not known},
        }
        if bools:
            fields[names.KNOWN_BOOLS] = {change: entries for change, entries in changes.items() if entries}
        return Operation("update", item_id, feed_ver, fields)

    def remove(self, item_id: str, feed_ver: int) -> Operation:
        """Take an item out.

        Raises:
            RuleBroken: an odd id.
        """
        rules.item_id(item_id)
        return Operation("remove", item_id, feed_ver, {})

    def request(self, operation: Operation, timeout: float) -> FeedRequest:
        """The document/v1 request of an operation; ``timeout`` seconds is what Vespa may take."""
        parameters = {
            "condition": f"{self._type}.{names.FEED_VERSION} < {operation.feed_ver}",
            "timeout": f"{max(1, int(timeout * 1000))}ms",
        }
        if operation.kind == "put":
            # With a condition a put of a new document needs it said that it may be new.
            parameters["create"] = "true"
        path = f"/document/v1/{names.NAMESPACE}/{self._type}/docid/{quote(operation.item_id, safe='')}"
        body = None if operation.kind == "remove" else orjson.dumps({"fields": operation.fields})
        return FeedRequest(_METHODS[operation.kind], f"{path}?{urlencode(parameters, quote_via=quote)}", body)

    def _kind(self, attribute: str) -> AttributeKind:
        kind = self._attributes.get(attribute)
        if kind is None:
            raise RuleBroken(f"no attribute {attribute!r} in this version")
        return kind


def attribute_field(name: str, value: AttributeValue, kind: AttributeKind) -> object:
    """An attribute's value in Vespa's form; None where the item has none.

    Raises:
        RuleBroken: a value of another type.
    """
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if kind == "list" and not isinstance(value, str) and isinstance(value, Sequence):
        value = list(value)
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    rules.attribute_value(name, value, kind)
    if isinstance(value, str):
        return term(value)
    if isinstance(value, list):
        return [term(entry) for entry in value] or None
    return value
