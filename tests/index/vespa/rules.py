"""Rules for what Vespa takes without a word and misreads; every request of ours must keep them.

What Vespa does with each (8.700.24, tried): a short list of numbers is padded with zeros, hence hex only;
NaN in a query tensor is taken; a misspelt annotation or request parameter is ignored; ``hits`` above the
query profile's maxHits is an error that echoes the query; 256 hex digits for 128 bfloat16 cells are read
as int8 and stored as garbage with status 200, 1024 are read as float32; ``"in_stock": 1`` and ``"yes"``
become false; ``"price": "12.5"`` and ``category: 7`` are converted; null empties the field; a time without
a unit is read as seconds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Final, cast

import numpy as np

from index.vespa import names
from index.vespa.text import is_text

#: Annotations we use, with Vespa's spelling and the type of the value.
ANNOTATIONS: Final[Mapping[str, type]] = {
    "label": str,
    "targetHits": int,
    "totalTargetHits": int,
    "approximate": bool,
    "hnsw.exploreAdditionalHits": int,
}
#: Request parameters we send, and the form of each value.
PARAMETERS: Final[Mapping[str, re.Pattern[str]]] = {
    "yql": re.compile(r"select .+ from sources \* where .+", re.DOTALL),
    "hits": re.compile(r"[0-9]+"),
    "timeout": re.compile(r"[1-9][0-9]*ms"),
    "model.restrict": re.compile(r"[a-z_][a-z0-9_]*"),
    "ranking.profile": re.compile(r"q2i|lexical|first|related[1-8]|unranked"),
    "ranking.matching.anntimeout.enable": re.compile(r"true"),
    "ranking.matching.anntimeout.factor": re.compile(r"0\.\d{3}|1\.000"),
    "ranking.softtimeout.enable": re.compile(r"true|false"),
    "dispatch.topKProbability": re.compile(r"1\.0"),
    "presentation.summary": re.compile(r"ids|vectors"),
    "presentation.format.tensors": re.compile(r"hex-value"),
}
_TENSOR = re.compile(r"input\.query\((?:q|t[0-7])\)")
_COARSE = re.compile(r"input\.query\(c[0-7]?\)")
_HISTORY = "input.query(history)"
_OPERATOR = re.compile(r"\{([^{}]*)\}nearestNeighbor\((?:embedding, (q|t[0-7])|embeddingInt8, (c[0-7]?))\)")
_HEX = re.compile(r"[0-9a-f]*\Z")


class RuleBroken(ValueError):  # noqa: N818 -- a verdict
    """A request or document that Vespa would accept and misread."""


def nearest_annotations(values: Mapping[str, object]) -> None:
    """Annotations of a nearestNeighbor are spelt and typed right, with one of the target hits.

    Raises:
        RuleBroken: they are not.
    """
    for name, value in values.items():
        expected = ANNOTATIONS.get(name)
        if expected is None:
            raise RuleBroken(f"unknown annotation {name!r}: Vespa would ignore it")
        if type(value) is not expected:
            raise RuleBroken(f"annotation {name!r} is a {type(value).__name__}")
    if ("targetHits" in values) == ("totalTargetHits" in values):
        raise RuleBroken("give one of targetHits and totalTargetHits")


def request(body: Mapping[str, object], dimension: int) -> None:
    """A query's body holds known parameters in the right form, and whole tensors.

    Raises:
        RuleBroken: it does not.
    """
    for name, value in body.items():
        form = PARAMETERS.get(name)
        if form is None:
            if name == _HISTORY:
                history_tensor(value)
                continue
            if _COARSE.fullmatch(name) is not None:
                coarse_tensor(value, dimension)
                continue
            if _TENSOR.fullmatch(name) is None:
                raise RuleBroken(f"unknown request parameter {name!r}: Vespa would ignore it")
            query_tensor(value, dimension)
        elif type(value) not in (str, int) or form.fullmatch(str(value)) is None:
            raise RuleBroken(f"request parameter {name!r} has an odd value")
    hits = body.get("hits", 0)
    if not isinstance(hits, int) or hits > names.MAX_HITS:
        raise RuleBroken(f"{hits} hits, but a query may have {names.MAX_HITS}")
    if "model.restrict" not in body:
        raise RuleBroken("the query is not restricted to one version's document type")
    operators = _OPERATOR.findall(str(body["yql"]))
    if len(operators) != str(body["yql"]).count("}nearestNeighbor("):
        raise RuleBroken("a nearestNeighbor of a field and a tensor that do not go together")
    for notes, exact, coarse in operators:
        pairs = [pair.partition(":") for pair in notes.split(",")]
        nearest_annotations({name.strip(): json.loads(value) for name, _, value in pairs})
        if f"input.query({exact or coarse})" not in body:
            raise RuleBroken(f"a nearestNeighbor by {exact or coarse}, which the query does not bring")


def query_tensor(value: object, dimension: int) -> None:
    """A query tensor is hex of exactly ``8 * dimension`` digits.

    Raises:
        RuleBroken: it is not.
    """
    if not isinstance(value, str) or len(value) != 8 * dimension or not _HEX.match(value):
        raise RuleBroken(f"a query tensor that is not {8 * dimension} hex digits")
    if not np.isfinite(np.frombuffer(bytes.fromhex(value), dtype=">f4")).all():
        raise RuleBroken("a query tensor that is not finite")


def coarse_tensor(value: object, dimension: int) -> None:
    """A vector as int8 is hex of exactly ``2 * dimension`` digits, its largest cell 127 or -127.

    Raises:
        RuleBroken: it is not.
    """
    if not isinstance(value, str) or len(value) != 2 * dimension or not _HEX.match(value):
        raise RuleBroken(f"a tensor of int8 that is not {2 * dimension} hex digits")
    cells = np.frombuffer(bytes.fromhex(value), dtype=np.int8).astype(int)
    if np.abs(cells).max() != 127:
        raise RuleBroken("a tensor of int8 that does not use its range: much would be rounded away")


def history_tensor(value: object) -> None:
    """The labels of a history, each with 1; one cannot end before its quote.

    Raises:
        RuleBroken: it is another text.
    """
    if not isinstance(value, str) or re.fullmatch(r'\{"[^"\\]+":1(?:,"[^"\\]+":1)*\}', value) is None:
        raise RuleBroken("a history that is no tensor of labels")


def document_tensor(value: object, dimension: int) -> None:
    """A document's embedding is hex of exactly ``4 * dimension`` digits, without infinities and NaN.

    Raises:
        RuleBroken: it is not.
    """
    digits = 4 * dimension
    if not isinstance(value, str) or len(value) != digits or not _HEX.match(value):
        raise RuleBroken(f"an embedding that is not {digits} hex digits")
    cells = np.frombuffer(bytes.fromhex(value), dtype=">u2")
    if ((cells & 0x7F80) == 0x7F80).any():
        raise RuleBroken("an embedding that is not finite")


def attribute_value(name: str, value: object, kind: str) -> None:
    """An attribute's value has its field's type.

    Raises:
        RuleBroken: it has not.
    """
    good = {
        "string": isinstance(value, str),
        "bool": isinstance(value, bool),
        "number": type(value) in (int, float) and math.isfinite(cast("float", value)),
        "list": isinstance(value, list) and all(isinstance(entry, str) for entry in value),
    }
    if not good[kind]:
        raise RuleBroken(f"attribute {name!r} is a {kind}, not {value!r:.60}")


def document_fields(
    fields: Mapping[str, object], attributes: Mapping[str, str], dimension: int, *, whole: bool
) -> None:
    """A put's fields are known and typed right, and a ``whole`` document has what every item needs.

    Raises:
        RuleBroken: a field that is not in the schema, of another type, or missing.
    """
    kinds = {names.field_name(name): kind for name, kind in attributes.items()}
    for field, value in fields.items():
        if field == names.EMBEDDING:
            document_tensor(value, dimension)
        elif field == names.COARSE:
            coarse_tensor(value, dimension)
        elif field == names.ITEM_ID:
            item_id(value)
        elif field == names.FEED_VERSION:
            if type(value) is not int or not 0 < value < 1 << 63:
                raise RuleBroken("feed_ver is a positive 64-bit integer")
        elif field == names.KNOWN_BOOLS:
            if not isinstance(value, dict) or any(type(weight) is not int for weight in value.values()):
                raise RuleBroken("known_bools is a weighted set")
        elif field == names.WORDS:
            attribute_value(field, value, "list")
        elif field in kinds:
            attribute_value(field, value, kinds[field])
        else:
            raise RuleBroken(f"the schema has no field {field!r}")
    if whole:
        missing = {names.ITEM_ID, names.EMBEDDING, names.FEED_VERSION} - fields.keys()
        if missing:
            raise RuleBroken(f"a document without {', '.join(sorted(missing))}")


def item_id(value: object) -> None:
    """An item's id is text that a document id can hold, of 1 to 128 characters.

    Raises:
        RuleBroken: it is not.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= 128:
        raise RuleBroken("an item id is 1 to 128 characters")
    if not is_text(value):
        raise RuleBroken("an item id with characters that Vespa does not take")
