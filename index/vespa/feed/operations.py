"""Feed operations and their document/v1 requests.

Order is by ``feed_ver``, a number of our own: every operation carries one and a condition that what is
stored is older (or of the same version, where all changes of an item are sent as one). So an operation that
comes late changes nothing: Vespa answers 412.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote, urlencode

import numpy as np
import orjson

from artifacts.attributes import CATEGORY, too_large
from artifacts.words import ITEM_TEXTS, MAX_CHARACTERS
from common.arrays import Floats
from index.filters import terms
from index.port import TITLE, TITLE_CHARACTERS
from index.vespa import names
from index.vespa.tensors import bfloat16_hex, float16_hex, int8_hex, unit_rows
from index.vespa.text import is_text, storable, term
from index.vespa.transport import Request
from index.vespa.version import Version

#: Of `names.TEXTS`, an item's texts by field.
AttributeValue = str | float | bool | Sequence[str] | Mapping[str, str] | None
Kind = Literal["put", "update", "remove"]
_METHODS: Mapping[Kind, str] = {"put": "POST", "update": "PUT", "remove": "DELETE"}
#: Characters of an item id.
_LONGEST_ID: Final = 128
_LARGEST_F16: Final = 65504.0


class ItemRefused(ValueError):  # noqa: N818 -- a verdict on somebody's data
    """An item or a change that Vespa would misread or could not hold; it is counted, and never sent."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of one item. ``fields`` are in Vespa's form: assigned by an update, all of a put."""

    kind: Kind
    item_id: str
    feed_ver: int
    fields: Mapping[str, Any]
    #: Whether it may replace what has the same version: it says the same, or more of it.
    again: bool = False
    #: The number of the last change in the ledger when it was made: those behind it are of others.
    known: int = 0


@dataclass(frozen=True, slots=True)
class Older:
    """A change that the folder fed last is newer than; never sent."""

    item_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that was refused; counted as failed, never sent."""

    item_id: str
    reason: str


#: An operation and its number in the order of its source.
Numbered: TypeAlias = tuple[int, Operation | Rejected | Older]


class Operations:
    """Makes operations for one embedding version.

    Vespa takes many wrong values without a word: ``"in_stock": 1`` and ``"yes"`` become false, ``"12.5"``
    and 7 are converted. So what people give (ids, attributes, feed versions) is checked here.

    Args:
        version: of the embeddings.
        taken: whether changes come that were taken before, and merged since: the bounds of an attribute may
            have been wider then, and the texts of an item that was put are all that it has.
    """

    def __init__(self, version: Version, *, taken: bool = False) -> None:
        self._taken = taken
        #: Those of changes that were taken before.
        self.of_taken: Operations = self if taken else Operations(version, taken=True)
        self._type = version.document_type
        self._attributes = version.attributes
        self._texts = version.texts
        self._titles = version.titles
        self._dimension = version.dimension
        self._picture_dim = version.picture_dim
        self._features = version.features
        self._coarse = version.vectors == "int8"

    def put(
        self, item_id: str, vector: Floats, attributes: Mapping[str, AttributeValue], feed_ver: int
    ) -> Operation:
        """The whole document of an item; ``vector`` ``[dim]`` is normalised here.

        Its words are those of ``attributes[names.TEXTS]``, with the category of the attributes.
        Its picture feature is among the attributes, as `names.PICTURE_FEATURE`, and what histories use of it,
        as `names.ITEM_FEATURES`.

        Raises:
            ItemRefused: the item cannot be fed.
            ValueError: a vector that is zero or not finite.
        """
        if vector.shape != (self._dimension,):
            raise ItemRefused(f"a vector of shape {vector.shape}, expected ({self._dimension},)")
        _check(item_id, feed_ver)
        unit = unit_rows(vector[None])[0]
        fields: dict[str, Any] = {
            names.ITEM_ID: item_id,
            names.EMBEDDING: bfloat16_hex(unit),
            names.FEED_VERSION: feed_ver,
        }
        if self._coarse:
            fields[names.COARSE] = int8_hex(unit)
        if words := self._words(attributes):
            fields[names.WORDS] = words
        if self._titles and (title := _title(attributes)) is not None:
            fields[names.TITLE] = title
        picture = attributes.get(names.PICTURE_FEATURE)
        if self._picture_dim and picture is not None:
            fields[names.PICTURE] = self._picture(picture)
        features = attributes.get(names.ITEM_FEATURES)
        if self._features is not None and features is not None:
            fields[names.FEATURES] = self._item_features(features)
        known_bools: list[str] = []
        for name, value in attributes.items():
            if name == names.TEXTS or name in names.OF_THE_WHOLE:
                continue
            written = self._value(name, value)
            if written is not None:
                fields[names.field_name(name)] = written
                if isinstance(written, bool):
                    known_bools.append(storable(name))
        if known_bools:
            fields[names.KNOWN_BOOLS] = dict.fromkeys(known_bools, 1)
        return Operation("put", item_id, feed_ver, fields)

    def update(self, item_id: str, attributes: Mapping[str, AttributeValue], feed_ver: int) -> Operation:
        """New values of some attributes, such as price and stock; the vector is not touched.

        A value of None takes the attribute away. What belongs to a whole item (`names.OF_THE_WHOLE`) was put
        with it, and stays. Words change where texts are given, all of the item's: an
        attribute or category that changes alone leaves them as they are.

        Raises:
            ItemRefused: an odd id, an unknown attribute, or a value of another type.
        """
        _check(item_id, feed_ver)
        if not attributes:
            raise ItemRefused("an update without attributes")
        fields: dict[str, Any] = {names.FEED_VERSION: {"assign": feed_ver}}
        if names.TEXTS in attributes and self._texts is not None:
            texts = attributes[names.TEXTS]
            given = attributes.keys() | (texts.keys() if isinstance(texts, Mapping) else set())
            missing = [name for name in self._texts.fields if name not in given]
            if missing and not self._taken:
                # Vespa keeps words, not texts, so it cannot be told of one text alone.
                raise ItemRefused(f"texts are changed all together; {', '.join(missing)} is not given")
            fields[names.WORDS] = {"assign": self._words(attributes) or None}
            if self._titles:
                fields[names.TITLE] = {"assign": _title(attributes)}
        known_bools: dict[str, dict[str, int]] = {}
        for name, value in attributes.items():
            if name == names.TEXTS or name in names.OF_THE_WHOLE:
                continue
            written = self._value(name, value)
            # Assigning null takes a field away; Vespa offers no other form for it.
            fields[names.field_name(name)] = {"assign": written}
            if self._attributes[name] == "bool":
                change, weight = ("remove", 0) if written is None else ("add", 1)
                known_bools.setdefault(change, {})[storable(name)] = weight
        if known_bools:
            fields[names.KNOWN_BOOLS] = known_bools
        return Operation("update", item_id, feed_ver, fields)

    def remove(self, item_id: str, feed_ver: int) -> Operation:
        """Take an item out.

        Raises:
            ItemRefused: an odd id or version.
        """
        _check(item_id, feed_ver)
        return Operation("remove", item_id, feed_ver, {})

    def request(self, operation: Operation, timeout: float) -> Request:
        """The document/v1 request of an operation; ``timeout`` seconds is what Vespa may take."""
        parameters = {
            "condition": condition(self._type, operation),
            "timeout": f"{max(1, int(timeout * 1000))}ms",
        }
        if operation.kind == "put":
            # With a condition a put of a new document needs it said that it may be new.
            parameters["create"] = "true"
        path = f"/document/v1/{names.NAMESPACE}/{self._type}/docid/{quote(operation.item_id, safe='')}"
        body = None if operation.kind == "remove" else orjson.dumps({"fields": operation.fields})
        return Request(_METHODS[operation.kind], f"{path}?{urlencode(parameters, quote_via=quote)}", body)

    def _words(self, attributes: Mapping[str, AttributeValue]) -> list[str]:
        """The words that an item is found by."""
        texts = attributes.get(names.TEXTS, {})
        if self._texts is None or not isinstance(texts, Mapping):
            return []
        for name, text in texts.items():
            if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
                raise ItemRefused(f"text {name!r} is no string of at most {MAX_CHARACTERS} characters")
            if name not in self._texts.fields and name not in ITEM_TEXTS:
                raise ItemRefused(f"no text field {name!r} in this version")
        return [storable(word) for word in self._texts.item(texts, attributes)]

    def _picture(self, value: object) -> str:
        """A picture feature in Vespa's form."""
        try:
            feature = np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError):
            raise ItemRefused("a picture feature is a list of numbers") from None
        if feature.shape != (self._picture_dim,):
            raise ItemRefused(f"a picture feature of shape {feature.shape}, expected ({self._picture_dim},)")
        return bfloat16_hex(unit_rows(feature[None])[0])

    def _item_features(self, value: object) -> str:
        """What a history uses of an item, in Vespa's form."""
        try:
            features = np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError):
            raise ItemRefused("item features are lists of numbers") from None
        if features.shape != self._features:
            raise ItemRefused(f"item features of shape {features.shape}, expected {self._features}")
        if not np.isfinite(features).all() or np.abs(features).max() > _LARGEST_F16:
            raise ItemRefused("item features that are not finite, or too large for float16")
        return float16_hex(features.astype(np.float16))

    def _value(self, name: str, value: AttributeValue) -> object:
        """An attribute's value in Vespa's form; None where the item has none."""
        kind = self._attributes.get(name)
        if kind is None:
            raise ItemRefused(f"no attribute {name!r} in this version")
        if not self._taken and isinstance(value, str | list | tuple) and (reason := too_large(name, value)):
            raise ItemRefused(f"attribute {name!r} {reason}")
        if name == CATEGORY and isinstance(value, str):
            value = terms(name, value)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        match kind, value:
            case "bool", bool():
                return value
            case "string", str():
                return term(value)
            case "number", int() | float() if not isinstance(value, bool) and math.isfinite(value):
                return float(value)
            case "list", list() | tuple() if all(isinstance(entry, str) for entry in value):
                return [term(entry) for entry in value] or None
        raise ItemRefused(f"attribute {name!r} is a {kind}, not {value!r:.60}")


def condition(document_type: str, operation: Operation) -> str:
    """What has to hold of the stored document for an operation to be carried out."""
    older = "<=" if operation.again else "<"
    return f"{document_type}.{names.FEED_VERSION} {older} {operation.feed_ver}"


def _title(attributes: Mapping[str, AttributeValue]) -> str | None:
    """The title among an item's texts, in Vespa's form; None without one."""
    texts = attributes.get(names.TEXTS)
    title = texts.get(TITLE) if isinstance(texts, Mapping) else None
    return storable(title[:TITLE_CHARACTERS]) if isinstance(title, str) and title else None


def _check(item_id: object, feed_ver: int) -> None:
    """An id that a document id can hold, and a feed version that Vespa's ``long`` can."""
    if not isinstance(item_id, str) or not 1 <= len(item_id) <= _LONGEST_ID:
        raise ItemRefused(f"an item id is 1 to {_LONGEST_ID} characters")
    if item_id in (".", ".."):
        # Encoded or not, a URL loses them, and what is left is the address of all documents.
        raise ItemRefused(f"an item cannot have the id {item_id!r}")
    if not is_text(item_id):
        raise ItemRefused("an item id with characters that Vespa does not take")
    if not 0 < feed_ver < 1 << 63:
        raise ItemRefused("feed_ver is a positive 64-bit integer")
