"""Answers of ``/search/``: errors and coverage first, then hits; closeness becomes cosine.

Vespa's failures look like answers: errors come with status 200 and beside hits, and a failed query may
still say coverage 100. So an answer counts only when it has no ``root.errors`` and says that at least one
document was looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from index.port import F32, Neighbours, StoredVectors
from index.vespa import names
from index.vespa.errors import (
    AnswerWithErrors,
    BackendDown,
    BadAnswer,
    NoCoverage,
    NotAuthorised,
    NotDeployed,
    Overloaded,
    Refused,
    RequestRefused,
    TimedOut,
    VespaError,
)
from index.vespa.tensors import parse_bfloat16_hex

#: Codes in ``root.errors`` (com.yahoo.container.protect.Error) that we tell apart.
TIMEOUT_CODE = 12
UNAVAILABLE_CODES = frozenset({0, 10})
REQUEST_CODES = frozenset({3, 4, 17})
#: A node failed or was slow, and others may have answered.
NODE_CODES = frozenset({8, TIMEOUT_CODE})
#: A stored vector's length may be 0.4% over 1 after rounding; only the exact profile lets it show.
_LARGEST_CLOSENESS = 1.02
# For every hit of every answer: in C these take half of a comprehension's time.
_FIELDS, _ITEM_ID, _RELEVANCE = itemgetter("fields"), itemgetter(names.ITEM_ID), itemgetter("relevance")


@dataclass(frozen=True, slots=True)
class Answer:
    """A usable answer: hits as Vespa sent them, and how much of the index they come from."""

    hits: list[Any]
    #: Matching items over all nodes.
    total: int
    #: Documents that were looked at.
    documents: int
    #: Share of the documents that were looked at, 0 to 1.
    coverage: float
    degraded: tuple[str, ...]


def parse(status: int, body: bytes, *, hits_beside_errors: bool = False) -> Answer:
    """Read one answer.

    Args:
        status: HTTP status.
        body: the JSON.
        hits_beside_errors: take hits beside errors of single nodes as a degraded answer.

    Raises:
        VespaError: there is no answer in it; see the tree in `errors`.
    """
    try:
        root = orjson.loads(body)["root"]
        if not isinstance(root, dict):
            raise TypeError("root is no object")
        errors = root.get("errors") or []
        codes = tuple(int(error.get("code", 0)) for error in errors)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        if status == 200:
            raise BadAnswer(f"status 200, {type(error).__name__}") from error
        raise failure(status, (), "no JSON answer") from error
    tolerated = hits_beside_errors and status == 200 and bool(codes) and NODE_CODES.issuperset(codes)
    if status != 200 or (codes and not tolerated):
        raise failure(status, codes, "; ".join(_describe(error) for error in errors))
    return _usable(root, codes)


def failure(status: int, codes: tuple[int, ...], detail: str) -> VespaError:
    """The error for a status and the codes that came with it."""
    kind: type[Refused]
    if status == 504 or (status != 200 and TIMEOUT_CODE in codes):
        return TimedOut(f"status {status}: {detail}")
    if status == 200:
        kind = AnswerWithErrors
    elif status in (401, 403):
        kind = NotAuthorised
    elif status == 429 or (status == 503 and not codes):
        kind = Overloaded
    elif status >= 500 and not REQUEST_CODES.intersection(codes):
        kind = BackendDown
    else:
        kind = RequestRefused
    return kind(status, codes, detail)


def neighbours(answer: Answer) -> Neighbours:
    """Ids and cosines of a one-vector answer, best first.

    Raises:
        BadAnswer: a hit without its fields, or a closeness that cannot be.
    """
    try:
        ids = list(map(_ITEM_ID, map(_FIELDS, answer.hits)))
        closeness = np.array(list(map(_RELEVANCE, answer.hits)), dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer("a hit without its fields") from error
    return Neighbours(ids, cosines(closeness), answer.coverage, answer.degraded)


def neighbours_of_each(answer: Answer, count: int, k: int, asked: int) -> list[Neighbours | None]:
    """Split an answer to labelled operators into the ``k`` best of each of ``count`` vectors.

    Vespa ranks hits by their best label and cuts at ``asked``. What was cut is no closer to any vector
    than the worst hit that came back, so a vector's list is surely whole when nothing was cut, or when its
    ``k``-th hit is at least that close. Where neither holds the entry is None: ask for that vector alone.

    Raises:
        BadAnswer: a hit without its fields, or a closeness that cannot be.
    """
    keys = [f"closeness(label,{label})" for label in names.LABELS[:count]]
    try:
        ids = list(map(_ITEM_ID, map(_FIELDS, answer.hits)))
        features = [hit["fields"]["matchfeatures"] for hit in answer.hits]
        table = np.array([[f[key] for key in keys] for f in features], dtype=np.float64).reshape(-1, count)
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer("a hit without its match-features") from error
    cut_at = table.max(axis=1).min() if len(ids) >= asked else 0.0
    lists: list[Neighbours | None] = []
    for column in table.T:
        # A label that did not match a hit is 0: its distance was not looked at.
        order = np.argsort(-column, kind="stable")[:k]
        order = order[column[order] > 0.0]
        whole = cut_at == 0.0 or (len(order) == k and column[order[-1]] >= cut_at)
        if not whole:
            lists.append(None)
            continue
        found = [ids[i] for i in order]
        lists.append(Neighbours(found, cosines(column[order]), answer.coverage, answer.degraded))
    return lists


def stored_vectors(answer: Answer, asked: Sequence[str], dimension: int) -> StoredVectors:
    """Embeddings in the order asked.

    Raises:
        BadAnswer: a hit without its fields, or a tensor of another size.
    """
    found: dict[str, F32] = {}
    try:
        for hit in answer.hits:
            fields = hit["fields"]
            found[fields[names.ITEM_ID]] = parse_bfloat16_hex(fields[names.EMBEDDING], dimension)
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer("a hit without its embedding") from error
    ids = [item for item in dict.fromkeys(asked) if item in found]
    rows = [found[item] for item in ids]
    return StoredVectors(ids, np.stack(rows) if rows else np.empty((0, dimension), dtype=np.float32))


def cosines(closeness: np.ndarray[Any, np.dtype[np.float64]]) -> F32:
    """Cosines of prenormalized-angular closeness: ``closeness = 1 / (1 + (1 - cos))``.

    Raises:
        BadAnswer: a closeness outside (0, 1], but for what rounding to bfloat16 adds.
    """
    if len(closeness) and not (closeness.min() > 0.0 and closeness.max() <= _LARGEST_CLOSENESS):
        raise BadAnswer("a closeness outside 0 to 1")
    return np.asarray(np.minimum(2.0 - 1.0 / closeness, 1.0), dtype=np.float32)


def _usable(root: dict[str, Any], codes: tuple[int, ...]) -> Answer:
    if "coverage" not in root and not codes and not root.get("children"):
        raise NotDeployed(200, (), "no coverage and no hits")
    try:
        coverage = root["coverage"]
        documents = int(coverage["documents"])
        share = float(coverage["coverage"]) / 100.0
        degraded = tuple(sorted(reason for reason, on in coverage.get("degraded", {}).items() if on))
        hits = root.get("children", [])
        total = int(root.get("fields", {}).get("totalCount", 0))
        if not isinstance(hits, list):
            raise BadAnswer("children are no list")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"no coverage that can be read: {type(error).__name__}") from error
    if documents == 0:
        raise NoCoverage(200, codes, "no document was looked at")
    if codes:
        degraded = (*degraded, *(f"error-{code}" for code in sorted(set(codes))))
    return Answer(hits, total, documents, min(1.0, share), degraded)


def _describe(error: Mapping[str, Any]) -> str:
    return f"{error.get('code')} {error.get('summary', '')}: {error.get('message', '')}"
