"""Requests to ``/search/``: their YQL, tensors and parameters.

Every request names its document type (``model.restrict``), a rank profile and its time-out. Searches take all
that they need from match-features, which come with the hits; other queries name an attribute-only summary.
Tensors are hex, filter values are literals that cannot end early (see `yql`). Vespa takes much that is wrong
without a word (a misspelt parameter, a short list of numbers), so the tests read every kind of request with
rules of their own and with Vespa's parser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from artifacts.attributes import AttributeKind
from artifacts.popularity import POPULARITY
from common.arrays import F32
from index.filters import Filter
from index.vespa import names, yql
from index.vespa.settings import SearchSettings
from index.vespa.tensors import float_hex, int8_hex
from index.vespa.version import Version

Body = dict[str, str | int | bool]

_NO_VALUE = yql.string_literal("\ue001")
#: weakAnd chooses by a score of its own, which is not quite BM25: it brings so many candidates for each asked
#: hit, and at least, of which BM25 takes the best. *Inferred*: what content nodes rank within a millisecond.
_CANDIDATES, _CANDIDATES_LEAST = 5, 1000
#: Items that the graph over int8 brings for each that is wanted, since the embeddings put them in another
#: order: by int8 alone up to 2% of the nearest were missed, with a quarter more none. *Inferred*.
_RESCORED = 1.25
#: Looked at beside those for each hit above so many, and how many at most: of 200,000 items, 300 more found
#: 0.954 to 0.967 of the nearest 200, 600 more 0.979 to 0.982. *Inferred*.
_EXPLORED, _FEW, _EXPLORED_MOST = 3, 100, 1000
#: A condition for each kind of attribute, cheap to look up.
_PROBES: Mapping[AttributeKind, str] = {
    "string": f"contains {_NO_VALUE}",
    "list": f"contains {_NO_VALUE}",
    "number": "> 1.7976931348623157e308",
    "bool": "= true",
}


class QueryBuilder:
    """Builds request bodies for one embedding version; holds no state of a request."""

    def __init__(self, version: Version, search: SearchSettings | None = None) -> None:
        self._version = version
        self._search = SearchSettings() if search is None else search
        #: Whether the graph is over int8, and what it finds is scored by the embeddings.
        self._coarse = version.vectors == "int8"
        self._rescored = _RESCORED if self._coarse else 1.0

    def nearest(
        self, vector: F32, hits: int, filters: Filter | None, budget: float, *, approximate: bool = True
    ) -> Body:
        """The ``hits`` nearest items of one vector ``[dim]``; ``approximate=False`` looks at every item."""
        notes = self._graph(self._brought(hits)) if approximate else f"targetHits:{hits}, approximate:false"
        graph = self._coarse and approximate
        operator = self._near(notes) if graph else _near(notes, names.EMBEDDING, names.QUERY_TENSOR)
        where = operator if filters is None else f"{operator} and {yql.where(filters)}"
        fields = names.ITEM_ID if self._version.profiles < 2 else names.MATCH_FEATURES
        body = self._ranked(names.PROFILE_Q2I, fields, where, hits, budget)
        return body | (self._inputs(vector) if graph else _tensor(vector))

    def first(
        self, vector: F32, hits: int, filters: Filter | None, budget: float, ids: Sequence[str], head: int
    ) -> Body:
        """As `nearest`, with the vectors of the ``head`` nearest items, and of ``ids`` beside ``hits``.

        The filters are not for the ids. Where there are both, what the graph is searched for is what either
        lets pass, so each of the ids may take the place of an item that the filters let pass. The head is not
        made wider for that: what takes a place in it is nearer, and its vector comes too.
        """
        beside = 0 if filters is None else len(ids)
        near = self._graph(self._brought(hits) + beside)
        finds = [self._near(f'label:"{names.NEAR_LABEL}", {near}' if beside else near)]
        if head:
            finds.append(self._near(f'label:"{names.HEAD_LABEL}", {self._narrow(head)}'))
        if ids and filters is not None:
            where = f"({_either(finds, filters)}) or {_one_of(ids)}"
        else:
            where = _either([*finds, _one_of(ids)] if ids else finds, filters)
        body = self._ranked(names.PROFILE_FIRST, names.MATCH_FEATURES, where, hits, budget)
        body |= self._inputs(vector)
        body["hits"] = hits + len(ids)
        if ids:
            cells = ",".join(f'"{item}":1' for item in ids)
            body[f"input.query({names.HISTORY_TENSOR})"] = f"{{{cells}}}"
        if len(ids) > hits:
            # Most of the hits may lie on one node, which would give no more than its share; see `_lookup`.
            body["dispatch.topKProbability"] = "1.0"
        return body

    def related(
        self, vectors: F32, query: F32, k: int, hits: int, filters: Filter | None, budget: float
    ) -> Body:
        """The ``k`` nearest items of each row of ``vectors``, with cosines to all and to ``query``.

        Each content node brings so many of each row; ``hits`` of them come, the nearest to any row first.
        """
        finds = [self._near(self._narrow(k), number) for number in range(len(vectors))]
        profile = names.related_profile(len(vectors))
        body = self._ranked(profile, names.MATCH_FEATURES, _either(finds, filters), hits, budget)
        body |= _tensor(query)
        for number, vector in enumerate(vectors):
            body |= self._inputs(vector, number)
        return body

    def _near(self, notes: str, number: int | None = None) -> str:
        """A search of the graph by the query, or by the vector of that number."""
        if self._coarse:
            tensor = names.COARSE_TENSOR if number is None else names.coarse_tensor(number)
            return _near(notes, names.COARSE, tensor)
        tensor = names.QUERY_TENSOR if number is None else names.trigger_tensor(number)
        return _near(notes, names.EMBEDDING, tensor)

    def _inputs(self, vector: F32, number: int | None = None) -> Body:
        """The query, or the vector of that number: as it is, and as the graph has it."""
        body = _tensor(vector, names.QUERY_TENSOR if number is None else names.trigger_tensor(number))
        if self._coarse:
            tensor = names.COARSE_TENSOR if number is None else names.coarse_tensor(number)
            body[f"input.query({tensor})"] = int8_hex(vector)
        return body

    def _ranked(self, profile: str, fields: str, where: str, hits: int, budget: float) -> Body:
        body = self._body(fields, where, hits, budget)
        if fields == names.MATCH_FEATURES:
            # Hits have all that is wanted, so no node is asked a second time, for summaries.
            body["presentation.format.tensors"] = "hex-value"
            del body["presentation.summary"]
        body["ranking.profile"] = profile
        # Told where it cuts a search short; a budget of the operator (`anntimebudget`) is not.
        body["ranking.matching.anntimeout.enable"] = "true"
        body["ranking.matching.anntimeout.factor"] = f"{self._search.graph_share:.3f}"
        return body

    def words(self, words: Sequence[str], hits: int, filters: Filter | None, budget: float) -> Body:
        """The ``hits`` best items by BM25 that have one of some words, at least one."""
        terms = ", ".join(f"{names.WORDS} contains {yql.string_literal(word)}" for word in words)
        candidates = max(_CANDIDATES_LEAST, _CANDIDATES * hits)
        operator = f"({{targetHits:{candidates}}}weakAnd({terms}))"
        where = operator if filters is None else f"{operator} and {yql.where(filters)}"
        body = self._body(names.ITEM_ID, where, hits, budget)
        body["ranking.profile"] = names.PROFILE_LEXICAL
        return body

    def _brought(self, hits: int) -> int:
        """How many the graph brings for so many hits."""
        return math.ceil(hits * self._rescored)

    def _narrow(self, hits: int) -> str:
        """The annotations of a graph search as wide as `_graph` makes it, which brings only ``hits``."""
        search = self._search
        brought = self._brought(hits)
        wide = max(search.target_hits_least, round(brought * search.target_hits_factor))
        more = wide - brought + self._explored(brought)
        return f"targetHits:{brought}" + (f", hnsw.exploreAdditionalHits:{more}" if more else "")

    def pictures(self, vector: F32, hits: int, filters: Filter | None, budget: float) -> Body:
        """The ``hits`` items whose pictures are nearest to a picture feature ``[picture_dim]``."""
        operator = f"({{{self._graph(hits)}}}nearestNeighbor({names.PICTURE}, {names.PICTURE_TENSOR}))"
        where = operator if filters is None else f"{operator} and {yql.where(filters)}"
        body = self._body(names.ITEM_ID, where, hits, budget)
        body["ranking.profile"] = names.PROFILE_P2I
        body["ranking.matching.anntimeout.enable"] = "true"
        body["ranking.matching.anntimeout.factor"] = f"{self._search.graph_share:.3f}"
        body[f"input.query({names.PICTURE_TENSOR})"] = float_hex(vector)
        return body

    def popular(self, hits: int, filters: Filter | None, budget: float) -> Body:
        """The ``hits`` most popular items; the relevance of each is its popularity."""
        # An item without a value has none to be ranked by, and matches no range.
        where = f"{names.field_name(POPULARITY)} >= 0.0"
        where = where if filters is None else f"{where} and {yql.where(filters)}"
        body = self._body(names.ITEM_ID, where, hits, budget)
        body["ranking.profile"] = names.PROFILE_POPULAR
        return body

    def _graph(self, hits: int) -> str:
        """The annotations of a graph search. How many hits are answered is cut by ``hits``, not by these."""
        search = self._search
        total = search.total_target_hits_factor
        if total is None:
            # Each content node brings its own nearest, so that none is lost however items are spread.
            notes = f"targetHits:{max(search.target_hits_least, round(hits * search.target_hits_factor))}"
        else:
            notes = f"totalTargetHits:{max(search.target_hits_least, round(hits * total))}"
        more = self._explored(hits)
        return f"{notes}, hnsw.exploreAdditionalHits:{more}" if more else notes

    def _explored(self, hits: int) -> int:
        """How many the graph looks at beside what it brings."""
        more = self._search.explore_additional_hits
        return more and max(more, min(more + _EXPLORED * (hits - _FEW), _EXPLORED_MOST))

    def stored(self, ids: Sequence[str], budget: float) -> Body:
        """The stored embeddings of items."""
        fields = f"{names.ITEM_ID}, {names.EMBEDDING}, {names.FEED_VERSION}"
        body = self._lookup(fields, _one_of(ids), len(ids), budget)
        body["presentation.summary"] = names.SUMMARY_VECTORS
        body["presentation.format.tensors"] = "hex-value"
        return body

    def values(self, ids: Sequence[str], attributes: Sequence[str], budget: float) -> Body:
        """Some attributes of items."""
        literals = ", ".join(yql.string_literal(item) for item in ids)
        fields = ", ".join((names.ITEM_ID, names.KNOWN_BOOLS, *map(names.field_name, attributes)))
        body = self._lookup(fields, f"{names.ITEM_ID} in ({literals})", len(ids), budget)
        body["presentation.summary"] = names.SUMMARY_VALUES
        return body

    def features(self, ids: Sequence[str], budget: float) -> Body:
        """What histories use of items."""
        body = self._lookup(f"{names.ITEM_ID}, {names.FEATURES}", _one_of(ids), len(ids), budget)
        body["presentation.summary"] = names.SUMMARY_FEATURES
        body["presentation.format.tensors"] = "hex-value"
        return body

    def titles(self, ids: Sequence[str], budget: float) -> Body:
        """The titles of items."""
        body = self._lookup(f"{names.ITEM_ID}, {names.TITLE}", _one_of(ids), len(ids), budget)
        body["presentation.summary"] = names.SUMMARY_TITLES
        return body

    def _lookup(self, fields: str, where: str, hits: int, budget: float) -> Body:
        """Items by their ids: each node gives all that it has.

        By default a node gives somewhat more than its share, as the best are likely spread over all; of ids
        that happen to lie on one node, some would be taken for unknown.
        """
        body = self._body(fields, where, hits, budget)
        body["dispatch.topKProbability"] = "1.0"
        return body

    def count(self, budget: float, item: str | None = None, filters: Filter | None = None) -> Body:
        """How many items there are, or whether one meets the filters; no hits."""
        named = "true" if item is None else f"{names.ITEM_ID} contains {yql.string_literal(item)}"
        where = named if filters is None else f"{named} and {yql.where(filters)}"
        return self._body(names.ITEM_ID, where, 0, budget)

    def older(self, feed_ver: int, hits: int, budget: float) -> Body:
        """Items that were fed with a lower version."""
        return self._body(names.ITEM_ID, f"{names.FEED_VERSION} < {feed_ver}L", hits, budget)

    def attribute_probe(self, budget: float) -> Body:
        """A query that names every attribute and matches nothing: refused where one is not deployed."""
        clauses = (
            f"{names.field_name(name)} {_PROBES[kind]}" for name, kind in self._version.attributes.items()
        )
        return self._body(names.ITEM_ID, f"true and ({' or '.join(clauses)})", 0, budget)

    def _body(self, fields: str, where: str, hits: int, budget: float) -> Body:
        return {
            "yql": f"select {fields} from sources * where {where}",
            "hits": hits,
            "timeout": _milliseconds(budget),
            "model.restrict": self._version.document_type,
            "ranking.profile": "unranked",
            # Hits gathered so far are answered when the time-out nears (on by itself from 8.709 only).
            "ranking.softtimeout.enable": "true",
            "presentation.summary": names.SUMMARY_IDS,
        }


def _near(notes: str, field: str, tensor: str) -> str:
    # In parentheses, or annotations are refused where the operator is not the first of an `and`.
    return f"({{{notes}}}nearestNeighbor({field}, {tensor}))"


def _tensor(vector: F32, name: str = names.QUERY_TENSOR) -> Body:
    return {f"input.query({name})": float_hex(vector)}


def _one_of(ids: Sequence[str]) -> str:
    return f"{names.ITEM_ID} in ({', '.join(map(yql.string_literal, ids))})"


def _either(finds: Sequence[str], filters: Filter | None) -> str:
    where = finds[0] if len(finds) == 1 else f"({' or '.join(finds)})"
    return where if filters is None else f"{where} and {yql.where(filters)}"


def _milliseconds(seconds: float) -> str:
    """A time with its unit: Vespa reads a bare number as seconds."""
    return f"{max(1, int(seconds * 1000 + 1e-6))}ms"
