"""Answers of ``/search/``: errors and coverage first, then hits; closeness becomes cosine.

Vespa's failures look like answers: errors come with status 200 and beside hits, and a failed query may
still say coverage 100. So an answer counts only when it has no ``root.errors`` and says that at least one
document was looked at. One kind of error beside hits is no failure: that the connection to a content node
broke, where the coverage says that documents are missing. It comes until the dispatcher has noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from common.arrays import F32, Floats
from index.port import FirstSearch, Neighbours, StoredVectors
from index.vespa import names
from index.vespa.errors import NoCoverage, NotDeployed, RequestRefused, TimedOut, VespaError
from index.vespa.tensors import parse_bfloat16_hex

#: Codes in ``root.errors`` (com.yahoo.container.protect.Error) that we tell apart.
_TIMEOUT_CODE: Final = 12
#: The connection to a content node broke.
_NODE_GONE: Final = {10}
_REQUEST_CODES: Final = frozenset({3, 4, 17})
#: A stored vector's length may be 0.4% over 1 after rounding; only the exact profile lets it show.
_LARGEST_CLOSENESS: Final = 1.02
#: How many times `names.OWN` an item of the history ranks above its cosine where the search did not find it.
_NOT_FOUND: Final = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """A usable answer: hits as Vespa sent them, and how much of the index they come from."""

    hits: list[Any]
    #: Matching items over all nodes.
    total: int
    #: Share of the documents that were looked at, 0 to 1.
    coverage: float
    degraded: tuple[str, ...]


def parse(status: int, body: bytes) -> Answer:
    """Read one answer: an HTTP status and its JSON.

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
            raise VespaError("bad_answer", f"status 200, {type(error).__name__}") from error
        raise failure(status, (), "no JSON answer") from error
    gone = status == 200 and _NODE_GONE.issuperset(codes) and _is_partial(root)
    if (status != 200 or codes) and not gone:
        said = (f"{each.get('code')} {each.get('summary', '')}: {each.get('message', '')}" for each in errors)
        raise failure(status, codes, "; ".join(said))
    return _usable(root)


def _is_partial(root: Mapping[str, Any]) -> bool:
    """Whether an answer says itself that some documents were looked at, and not all."""
    coverage = root.get("coverage")
    return isinstance(coverage, Mapping) and coverage.get("full") is False and bool(coverage.get("documents"))


def failure(status: int, codes: tuple[int, ...], detail: str) -> VespaError:
    """The error for a status and the codes that came with it."""
    if status == 504 or (status != 200 and _TIMEOUT_CODE in codes):
        return TimedOut(f"status {status}: {detail}")
    numbers = f"status {status}" + (f", code {', '.join(map(str, codes))}" if codes else "")
    detail = f"{numbers}: {detail}" if detail else numbers
    if status == 200:
        return VespaError("errors", detail)
    if status in (401, 403):
        return VespaError("auth", detail)
    if status == 429 or (status == 503 and not codes):
        return VespaError("overloaded", detail)
    if status >= 500 and not _REQUEST_CODES.intersection(codes):
        return VespaError("backend", detail)
    return RequestRefused("request", detail)


def neighbours(answer: Answer) -> Neighbours:
    """Ids and cosines of a one-vector answer, best first.

    Raises:
        VespaError: a hit without its fields, or a closeness that cannot be.
    """
    try:
        ids = _ids(answer)
        closeness = np.array([hit["relevance"] for hit in answer.hits], dtype=np.float64)
        if len(ids) != len(closeness):
            raise ValueError("an id without a hit")
    except (KeyError, TypeError, ValueError) as error:
        raise VespaError("bad_answer", "a hit without its fields") from error
    if len(ids) and not (closeness.min() > 0.0 and closeness.max() <= _LARGEST_CLOSENESS):
        raise VespaError("bad_answer", "a closeness outside 0 to 1")
    # Prenormalized-angular closeness is ``1 / (1 + (1 - cos))``.
    cosines = np.minimum(2.0 - 1.0 / closeness, 1.0).astype(np.float32)
    return Neighbours(ids, cosines, answer.coverage, answer.degraded)


def scored(answer: Answer) -> Neighbours:
    """Ids and scores of an answer whose relevance is its score, best first.

    Raises:
        VespaError: a hit without its fields, or a score that is no finite number.
    """
    try:
        scores = np.array([hit["relevance"] for hit in answer.hits], dtype=np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise VespaError("bad_answer", "a hit without its relevance") from error
    if not np.isfinite(scores).all():
        raise VespaError("bad_answer", "a score that is not finite")
    return Neighbours(item_ids(answer), scores, answer.coverage, answer.degraded)


def _ids(answer: Answer) -> list[str]:
    """Ids of the hits: the one label of a match-feature, or a field of a package that had none of these."""
    if answer.hits and names.ITEM_ID in answer.hits[0]["fields"]:
        return [hit["fields"][names.ITEM_ID] for hit in answer.hits]
    ids: list[str] = []
    name = _name_of(answer, names.ITEM_FEATURE)
    for hit in answer.hits:
        ids += hit["fields"][names.MATCH_FEATURES][name]  # its keys: half the time of two comprehensions
    return ids


def _name_of(answer: Answer, function: str) -> str:
    """What a match-feature is called: Vespa may name it by what it evaluates."""
    if answer.hits and function not in answer.hits[0]["fields"][names.MATCH_FEATURES]:
        return f"rankingExpression({function})"
    return function


def _features(answer: Answer, function: str) -> list[dict[str, Any]]:
    """A match-feature of each hit, a tensor by the hit's id."""
    name = _name_of(answer, function)
    return [hit["fields"][names.MATCH_FEATURES][name] for hit in answer.hits]


def first(
    answer: Answer, k: int, asked: Sequence[str], dimension: int, *, filtered: bool = False
) -> FirstSearch:
    """The ``k`` nearest items, and the vectors that came with the hits.

    With ``filtered`` those of the ids asked that the search did not find are none of the nearest: the filters
    are not for them.

    Raises:
        VespaError: a hit without its features, or a cosine that cannot be.
    """
    try:
        ids = _ids(answer)
        ranks = np.array([hit["relevance"] for hit in answer.hits], dtype=np.float64)
        vectors = {
            item: parse_bfloat16_hex(digits, dimension)
            for found in _features(answer, names.VECTOR_FEATURE)
            for item, digits in found.items()
        }
        raised = np.rint(ranks / names.OWN)
        cosines = ranks - names.OWN * raised
        if len(ids) != len(cosines):
            raise ValueError("an id without a hit")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VespaError("bad_answer", "a hit without its features") from error
    _check_cosines(cosines)
    order = np.argsort(-cosines, kind="stable")
    if filtered:
        order = order[raised[order] < _NOT_FOUND]
    order = order[:k].tolist()
    near = Neighbours(
        [ids[place] for place in order],
        np.minimum(cosines[order], 1.0).astype(np.float32),
        answer.coverage,
        answer.degraded,
    )
    return FirstSearch(near, _stored(vectors, asked, dimension, answer), vectors)


def related(answer: Answer, rows: int) -> tuple[list[str], F32, bool]:
    """Ids, cosines ``[hits, 1 + rows]`` to the query and to each row, and whether all that matched is here.

    Raises:
        VespaError: a hit without its features, or a cosine that cannot be.
    """
    try:
        found = [pair for cells in _features(answer, names.COSINES_FEATURE) for pair in cells.items()]
        digits = bytes.fromhex("".join([digits for _, digits in found]))
        cosines = np.frombuffer(digits, dtype=">f4").astype(np.float32).reshape(len(answer.hits), 1 + rows)
        if len(found) != len(answer.hits):
            raise ValueError("an id without a hit")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VespaError("bad_answer", "a hit without its features") from error
    _check_cosines(cosines)
    return [item for item, _ in found], np.minimum(cosines, 1.0), len(found) >= answer.total


def _check_cosines(cosines: Floats) -> None:
    # The length of a stored vector is that of a unit vector but for rounding.
    if cosines.size and not (np.abs(cosines) <= _LARGEST_CLOSENESS).all():
        raise VespaError("bad_answer", "a cosine outside -1 to 1")


def item_ids(answer: Answer) -> list[str]:
    """Ids of the hits.

    Raises:
        VespaError: a hit without its id.
    """
    try:
        return [str(hit["fields"][names.ITEM_ID]) for hit in answer.hits]
    except (KeyError, TypeError) as error:
        raise VespaError("bad_answer", "a hit without its id") from error


def stored_vectors(answer: Answer, asked: Sequence[str], dimension: int) -> StoredVectors:
    """Embeddings in the order asked; what coverage they have counts only where one is missing.

    Raises:
        VespaError: a hit without its fields, or a tensor of another size.
    """
    found: dict[str, F32] = {}
    try:
        for hit in answer.hits:
            fields = hit["fields"]
            found[fields[names.ITEM_ID]] = parse_bfloat16_hex(fields[names.EMBEDDING], dimension)
    except (KeyError, TypeError, ValueError) as error:
        raise VespaError("bad_answer", "a hit without its embedding") from error
    return _stored(found, asked, dimension, answer)


def _stored(found: Mapping[str, F32], asked: Sequence[str], dimension: int, answer: Answer) -> StoredVectors:
    ids = [item for item in dict.fromkeys(asked) if item in found]
    rows = [found[item] for item in ids]
    vectors = np.stack(rows) if rows else np.empty((0, dimension), dtype=np.float32)
    if len(ids) == len(set(asked)):
        return StoredVectors(ids, vectors)
    return StoredVectors(ids, vectors, answer.coverage, answer.degraded)


def _usable(root: dict[str, Any]) -> Answer:
    if "coverage" not in root and not root.get("children"):
        raise NotDeployed("not_deployed", "status 200: no coverage and no hits")
    try:
        coverage = root["coverage"]
        documents = int(coverage["documents"])
        share = float(coverage["coverage"]) / 100.0
        degraded = tuple(sorted(reason for reason, on in coverage.get("degraded", {}).items() if on))
        hits = root.get("children", [])
        total = int(root.get("fields", {}).get("totalCount", 0))
        if not isinstance(hits, list):
            raise TypeError("children are no list")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VespaError("bad_answer", f"no coverage that can be read: {type(error).__name__}") from error
    if documents == 0:
        raise NoCoverage("no_coverage", "status 200: no document was looked at")
    return Answer(hits, total, min(1.0, share), degraded)
