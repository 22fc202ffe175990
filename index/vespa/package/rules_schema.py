"""Rules for schemas: what must hold for the client, and what Vespa takes although it cannot work."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from index.vespa import names
from index.vespa.package.problem import Problem
from index.vespa.package.sd import Block, Schema, field_type

#: What the design pins, so that a release of Vespa does not change which strategy a filter gets.
PINNED: Final = {
    "approximate-threshold": 0.02,
    "filter-first-threshold": 0.2,
    "filter-first-exploration": 0.01,
    "post-filter-threshold": 1.0,
}
METRIC: Final = "prenormalized-angular"
GRAPH: Final = {"max-links-per-node": "16", "neighbors-to-explore-at-insert": "200"}
#: Rank features and functions that our profiles use. Vespa deploys any other word without a complaint.
_FUNCTIONS: Final = frozenset(
    {
        "abs",
        "attribute",
        "closeness",
        "distance",
        "exp",
        "field",
        "if",
        "label",
        "log",
        "max",
        "min",
        "pow",
        "query",
    }
    | {"reduce", "relu", "sqrt", "sum"}
)
_CELL_TYPES = re.compile(r"tensor<(\w+)>\((\w+)\[(\d+)\]\)\Z")
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_FEATURE = re.compile(r"(closeness|distance|attribute|query)\s*\(\s*(?:(field|label)\s*,\s*)?(\w+)\s*\)")


def check_schema(schema: Schema, file: str) -> Iterator[Problem]:
    """All problems of one schema."""
    yield from _fields(schema, file)
    yield from _embedding(schema, file)
    yield from _summaries(schema, file)
    for name in schema.profiles:
        yield from _profile(schema, name, file)
    for name in (names.PROFILE_Q2I, names.PROFILE_I2I, names.PROFILE_EXACT):
        if name not in schema.profiles:
            yield Problem("profiles", file, f"no rank-profile {name!r}, which the client asks for")


def _fields(schema: Schema, file: str) -> Iterator[Problem]:
    expected = {
        names.ITEM_ID: "string",
        names.FEED_VERSION: "long",
        names.KNOWN_BOOLS: "weightedset<string>",
    }
    for name, kind in expected.items():
        found = field_type(schema.fields[name]) if name in schema.fields else "no such field"
        if found != kind:
            yield Problem("fields", file, f"field {name} must be {kind}, found {found}")
    seen: dict[str, str] = {}
    for name, block in schema.fields.items():
        if name.lower() in seen:
            yield Problem("case", file, f"fields {seen[name.lower()]} and {name}: a query takes them for one")
        seen[name.lower()] = name
        if not any("attribute" in value for value in block.settings("indexing")):
            yield Problem(
                "attribute", file, f"field {name} is no attribute: it could neither filter nor be read fast"
            )
        if name != names.EMBEDDING and "filter" not in block.settings("rank"):
            yield Problem("filter", file, f"field {name} needs `rank: filter`: it only ever filters")
        filters = field_type(block) not in {"bool", "long"} and name != names.EMBEDDING
        if filters and "fast-search" not in block.settings("attribute"):
            yield Problem(
                "fast-search", file, f"field {name} needs `attribute: fast-search`, or a filter scans all"
            )
        if name == names.ITEM_ID and "cased" not in block.settings("match"):
            yield Problem("cased", file, "item_id needs `match: cased`, or A1 and a1 are one item")


def _embedding(schema: Schema, file: str) -> Iterator[Problem]:
    block = schema.fields.get(names.EMBEDDING)
    kind = _CELL_TYPES.match(field_type(block)) if block is not None else None
    if block is None or kind is None or kind[1] != "bfloat16" or kind[2] != names.DIMENSION:
        found = "no such field" if block is None else field_type(block)
        yield Problem(
            "dimension", file, f"embedding must be tensor<bfloat16>({names.DIMENSION}[N]), found {found}"
        )
        return
    metric = [value for each in block.walk() for value in each.settings("distance-metric")]
    if metric != [METRIC]:
        yield Problem(
            "metric", file, f"distance-metric must be {METRIC}, found {', '.join(metric) or 'none'}"
        )
    for name, value in GRAPH.items():
        found_values = [found for each in block.walk() for found in each.settings(name)]
        if found_values != [value]:
            yield Problem("graph", file, f"{name} must be {value}, found {', '.join(found_values) or 'none'}")
    if not any("index" in value for value in block.settings("indexing")):
        yield Problem("graph", file, "embedding has no `index`: every search would look at every item")


def _summaries(schema: Schema, file: str) -> Iterator[Problem]:
    wanted = {names.SUMMARY_IDS: {names.ITEM_ID}, names.SUMMARY_VECTORS: {names.ITEM_ID, names.EMBEDDING}}
    for name, least in wanted.items():
        missing = least - set(schema.summaries.get(name, ()))
        if missing:
            yield Problem("summary", file, f"document-summary {name} lacks {', '.join(sorted(missing))}")
    attributes = {
        name
        for name, block in schema.fields.items()
        if any("attribute" in value for value in block.settings("indexing"))
    }
    for name, fields in schema.summaries.items():
        for field in fields:
            if field not in attributes:
                yield Problem(
                    "summary", file, f"{name}: {field} is no attribute: every hit would be read from disk"
                )


def _profile(schema: Schema, name: str, file: str) -> Iterator[Problem]:
    chain = schema.inherited(name)
    inputs = {
        line.split(")")[0] + ")": re.sub(r"\s", "", line.partition(")")[2].lstrip(": "))
        for block in chain
        for line in block.settings("inputs")
    }
    embedding = schema.fields.get(names.EMBEDDING)
    cells = _CELL_TYPES.match(field_type(embedding)) if embedding is not None else None
    for query, kind in inputs.items():
        parsed = _CELL_TYPES.match(kind)
        if parsed is not None and cells is not None and parsed.groups()[1:] != cells.groups()[1:]:
            yield Problem(
                "dimension",
                file,
                f"{name}: {query} is {kind}, its dimension must be that of embedding, {cells[2]}[{cells[3]}]",
            )
    if name in (names.PROFILE_Q2I, names.PROFILE_I2I):
        yield from _pins(chain, name, file)
    for block in chain[:1]:
        yield from _expressions(schema, block, inputs.keys(), name, file)


def _pins(chain: list[Block], name: str, file: str) -> Iterator[Problem]:
    for setting, value in PINNED.items():
        found = next((values[0] for block in chain if (values := block.settings(setting))), None)
        if found is None or float(found) != value:
            yield Problem(
                "pinned", file, f"{name}: {setting} must be {value}, found {found or 'none (it moves)'}"
            )


def _expressions(
    schema: Schema, profile: Block, inputs: Collection[str], name: str, file: str
) -> Iterator[Problem]:
    functions = {block.words[1].partition("(")[0] for block in profile.named("function")}
    for expression in _texts(profile):
        for call in _CALL.findall(expression):
            if call not in _FUNCTIONS | functions:
                yield Problem(
                    "feature", file, f"{name}: `{call}` is no rank feature or function that we know"
                )
        for feature, by, argument in _FEATURE.findall(expression):
            if feature in ("closeness", "distance") and by == "label":
                if argument not in names.LABELS:
                    yield Problem(
                        "feature", file, f"{name}: {feature} of label {argument}, which no query sets"
                    )
            elif feature == "query":
                if f"query({argument})" not in inputs:
                    yield Problem("feature", file, f"{name}: query({argument}) is not among its inputs")
            elif argument not in schema.fields:
                yield Problem("feature", file, f"{name}: {feature} of {argument}, which is no field")


def _texts(profile: Block) -> Iterator[str]:
    for phase in ("first-phase", "second-phase", "global-phase"):
        for block in profile.named(phase):
            yield from block.settings("expression")
    for features in ("match-features", "summary-features", "rank-features"):
        yield from profile.settings(features)
    for function in profile.named("function"):
        yield from function.settings("expression")
