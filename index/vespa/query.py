"""Requests to ``/search/``: their YQL, tensors and parameters.

Every request names its document type (``model.restrict``), a rank profile, an attribute-only summary and
its time-out. Tensors are hex, filter values literals that cannot end early (see `yql`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from index.filters import Filter
from index.port import F32, AttributeKind
from index.vespa import names, rules, yql
from index.vespa.settings import VespaSettings
from index.vespa.tensors import float_hex

Body = dict[str, str | int | bool]

_NO_VALUE = "\ue001"
#: A condition for each kind of attribute, cheap to look up.
_PROBES: Mapping[AttributeKind, str] = {
    "string": f"contains {yql.string_literal(_NO_VALUE)}",
    "list": f"contains {yql.string_literal(_NO_VALUE)}",
    "number": "> 1.7976931348623157e308",
    "bool": "= true",
}


class QueryBuilder:
    """Builds request bodies for one embedding version; holds no state of a request."""

    def __init__(self, settings: VespaSettings) -> None:
        self._query = settings.query
        self._dimension = settings.dimension
        self._attributes: Mapping[str, AttributeKind] = settings.attributes
        # The same few operators over and over: written and checked once.
        self._operator = lru_cache(maxsize=1024)(self._nearest_neighbour)
        self._base: Body = {"model.restrict": settings.document_type}
        if settings.query.query_profile is not None:
            self._base["queryProfile"] = settings.query.query_profile
        if settings.query.soft_timeout:
            self._base["ranking.softtimeout.enable"] = "true"

    def nearest(
        self, vector: F32, hits: int, filters: Filter | None, budget: float, *, approximate: bool = True
    ) -> Body:
        """The ``hits`` nearest items of one vector ``[dim]``; ``approximate=False`` looks at every item.

        Raises:
            RuleBroken: see `rules`.
        """
        operator = self._operator(names.QUERY_TENSOR, hits, None, approximate)
        body = self._body(operator, filters, names.PROFILE_Q2I, hits, budget)
        body[f"input.query({names.QUERY_TENSOR})"] = float_hex(vector)
        return self._checked(body)

    def nearest_of_each(self, vectors: F32, hits: int, filters: Filter | None, budget: float) -> Body:
        """The nearest ``hits`` items of each of 2 or 3 vectors ``[B, dim]``, in one query.

        Raises:
            RuleBroken: see `rules`.
        """
        labels = names.LABELS[: len(vectors)]
        operators = " or ".join(self._operator(label, hits, label, True) for label in labels)
        body = self._body(f"({operators})", filters, names.PROFILE_I2I, hits * len(labels), budget)
        for label, vector in zip(labels, vectors, strict=True):
            body[f"input.query({label})"] = float_hex(vector)
        return self._checked(body)

    def exact(self, vector: F32, hits: int, filters: Filter | None, budget: float) -> Body:
        """The ``hits`` nearest items of one vector by ranking every matching item; for `verify`.

        Raises:
            RuleBroken: see `rules`.
        """
        body = self._body("true", filters, names.PROFILE_EXACT, hits, budget)
        body[f"input.query({names.QUERY_TENSOR})"] = float_hex(vector)
        return self._checked(body)

    def stored(self, ids: Sequence[str], budget: float) -> Body:
        """The stored embeddings of items, all in one query.

        Raises:
            RuleBroken: see `rules`.
        """
        literals = ", ".join(yql.string_literal(item) for item in ids)
        condition = f"{names.ITEM_ID} in ({literals})"
        fields = f"{names.ITEM_ID}, {names.EMBEDDING}, {names.FEED_VERSION}"
        body: Body = {
            **self._base,
            "yql": f"select {fields} from sources * where {condition}",
            "hits": len(ids),
            "timeout": _milliseconds(budget),
            "ranking.profile": "unranked",
            "presentation.summary": names.SUMMARY_VECTORS,
            "presentation.format.tensors": "hex-value",
        }
        return self._checked(body)

    def count(self, filters: Filter | None, budget: float) -> Body:
        """How many items match; no hits."""
        body = self._body("true", filters, "unranked", 0, budget)
        return self._checked(body)

    def attribute_probe(self, budget: float) -> Body:
        """A query that names every attribute and matches nothing: refused where one is not deployed."""
        kinds = self._attributes.items()
        clauses = [f"{names.field_name(name)} {_PROBES[kind]}" for name, kind in kinds]
        body = self._body("true", None, "unranked", 0, budget)
        body["yql"] = f"{body['yql']} and ({' or '.join(clauses)})"
        return self._checked(body)

    def _body(self, operator: str, filters: Filter | None, profile: str, hits: int, budget: float) -> Body:
        condition = yql.where(filters, self._attributes)
        where = f"{operator} and {condition}" if condition else operator
        body: Body = {
            **self._base,
            "yql": f"select {names.ITEM_ID} from sources * where {where}",
            "hits": hits,
            "timeout": _milliseconds(budget),
            "ranking.profile": profile,
            "presentation.summary": names.SUMMARY_IDS,
        }
        share = self._query.ann_budget_share
        if share is not None and profile in (names.PROFILE_Q2I, names.PROFILE_I2I):
            body["ranking.matching.anntimebudget"] = _milliseconds(budget * share)
        return body

    def _nearest_neighbour(self, tensor: str, hits: int, label: str | None, approximate: bool) -> str:
        target = max(1, round(hits * self._query.target_hits_factor))
        values: dict[str, str | int | bool] = {}
        if label is not None:
            values["label"] = label
        values["totalTargetHits" if self._query.total_target_hits else "targetHits"] = target
        if not approximate:
            values["approximate"] = False
        elif self._query.explore_additional_hits:
            values["hnsw.exploreAdditionalHits"] = self._query.explore_additional_hits
        rules.nearest_annotations(values)
        written = ", ".join(f"{_key(name)}:{_literal(value)}" for name, value in values.items())
        # In parentheses, or annotations are refused where the operator is not the first of an `and`.
        return f"({{{written}}}nearestNeighbor({names.EMBEDDING}, {tensor}))"

    def _checked(self, body: Body) -> Body:
        rules.request(body, self._dimension, self._query.max_hits)
        return body


def _milliseconds(seconds: float) -> str:
    """A time with its unit: Vespa reads a bare number as seconds."""
    return f"{max(1, int(seconds * 1000 + 1e-6))}ms"


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name


def _literal(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return yql.string_literal(value) if isinstance(value, str) else str(value)
