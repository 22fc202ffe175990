"""Rules for schemas: what must hold for the client, and what Vespa takes although it cannot work.

Every schema that is rendered must keep them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from index.vespa import names
from tests.index.vespa.package.sd import Block, Schema, field_type, read_schema

#: Code of the rule, and what was found and expected.
Found: TypeAlias = tuple[str, str]

#: What the design pins, so that a release of Vespa does not change which strategy a filter gets.
_PINNED: Final = {
    "approximate-threshold": 0.02,
    "filter-first-threshold": 0.2,
    "filter-first-exploration": 0.01,
    "post-filter-threshold": 1.0,
}
_METRIC: Final = "prenormalized-angular"
#: The length of what is rounded to int8 is no longer 1.
_COARSE_METRIC: Final = "angular"
_GRAPH: Final = {"max-links-per-node": "16", "neighbors-to-explore-at-insert": "200"}
#: Fields that every item has, and their types.
_OWN_FIELDS: Final = {
    names.ITEM_ID: "string",
    names.FEED_VERSION: "long",
    names.KNOWN_BOOLS: "weightedset<string>",
}
#: How words are kept where items are found by them: cut by us, so Vespa may change nothing.
_WORDS: Final = {"index": "enable-bm25", "match": "word", "stemming": "none", "normalizing": "none"}
#: Summary classes that the client asks for, and the fields that it reads.
_SUMMARIES: Final = {
    names.SUMMARY_IDS: {names.ITEM_ID},
    names.SUMMARY_VECTORS: {names.ITEM_ID, names.EMBEDDING},
}
#: Rank features and functions that we know. Vespa deploys any other word without a complaint.
_FUNCTIONS: Final = frozenset(
    (  # noqa: SIM905 -- a paragraph reads better than 20 lines
        "abs attribute bm25 cell_cast closeness concat distance exp field if itemRawScore label log max min "
        "pow query reduce relu sqrt sum tensorFromLabels"
    ).split()
)
_CELL_TYPES = re.compile(r"tensor<(\w+)>\((\w+)\[(\d+)\]\)\Z")
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_FEATURE = re.compile(r"(bm25|closeness|distance|attribute|query)\s*\(\s*(?:(field|label)\s*,\s*)?(\w+)\s*\)")


def schema_problems(application: Path) -> list[str]:
    """All problems of the schemas of an application package."""
    problems = []
    for path in sorted((application / "schemas").glob("*.sd")):
        schema = read_schema(path.read_text(encoding="utf-8"))
        assert schema is not None, path
        problems += [f"{path.name}: {message} [{code}]" for code, message in check_schema(schema)]
        if schema.document.words[1:2] != [path.stem]:
            problems.append(f"{path.name}: document {schema.document.words[1:2]} must be named as the file")
    return problems


def check_schema(schema: Schema) -> Iterator[Found]:
    """All problems of one schema."""
    yield from _fields(schema)
    yield from _embedding(schema)
    yield from _summaries(schema)
    for name in schema.profiles:
        yield from _profile(schema, name)
    if names.COARSE in schema.fields:
        for name, block in schema.profiles.items():
            if any("closeness(field, embedding)" in text for text in _expressions(block)):
                yield "profiles", f"{name}: closeness of embedding, which no operator of the client names"
    if names.PROFILE_Q2I not in schema.profiles:
        yield "profiles", f"no rank-profile {names.PROFILE_Q2I!r}, which the client asks for"
    if (names.WORDS in schema.fields) != (names.PROFILE_LEXICAL in schema.profiles):
        yield "profiles", f"{names.WORDS} and the rank-profile {names.PROFILE_LEXICAL!r} go together"
    if (names.PICTURE in schema.fields) != (names.PROFILE_P2I in schema.profiles):
        yield "profiles", f"{names.PICTURE} and the rank-profile {names.PROFILE_P2I!r} go together"


def _fields(schema: Schema) -> Iterator[Found]:
    for name, kind in _OWN_FIELDS.items():
        found = field_type(schema.fields[name]) if name in schema.fields else "no such field"
        if found != kind:
            yield "fields", f"field {name} must be {kind}, found {found}"
    seen: dict[str, str] = {}
    for name, block in schema.fields.items():
        if name.lower() in seen:
            yield "case", f"fields {seen[name.lower()]} and {name}: a query takes them for one"
        seen[name.lower()] = name
        if name == names.WORDS:
            yield from _words(block)
            continue
        if not _is_attribute(block):
            yield "attribute", f"field {name} is no attribute: it could neither filter nor be read fast"
        if name in (names.EMBEDDING, names.COARSE, names.FEATURES):
            continue
        if "filter" not in block.settings("rank"):
            yield "filter", f"field {name} needs `rank: filter`: it only ever filters"
        # A title is told, and nobody filters by it.
        if (
            field_type(block) not in {"bool", "long"}
            and name != names.TITLE
            and "fast-search" not in block.settings("attribute")
        ):
            yield "fast-search", f"field {name} needs `attribute: fast-search`, or a filter scans all"
        if name == names.ITEM_ID and "cased" not in block.settings("match"):
            yield "cased", "item_id needs `match: cased`, or A1 and a1 are one item"


def _words(block: Block) -> Iterator[Found]:
    if field_type(block) != "array<string>" or block.settings("indexing") != ["index"]:
        yield "words", f"field {names.WORDS} must be array<string> with `indexing: index`"
    for name, value in _WORDS.items():
        if block.settings(name) != [value]:
            yield "words", f"field {names.WORDS} needs `{name}: {value}`: its words are cut by us"


def _embedding(schema: Schema) -> Iterator[Found]:
    block = schema.fields.get(names.EMBEDDING)
    found = "no such field" if block is None else field_type(block)
    cells = _CELL_TYPES.match(found)
    if block is None or cells is None or cells[1] != "bfloat16" or cells[2] != names.DIMENSION:
        yield "dimension", f"embedding must be tensor<bfloat16>({names.DIMENSION}[N]), found {found}"
        return
    coarse = schema.fields.get(names.COARSE)
    if coarse is not None:
        if field_type(coarse) != f"tensor<int8>({names.DIMENSION}[{cells[3]}])":
            yield "dimension", f"{names.COARSE} must be as wide as embedding, found {field_type(coarse)}"
        if any("index" in value for value in block.settings("indexing")):
            yield (
                "graph",
                "embedding has a graph beside that over int8, in the memory that this saves",
            )
        if not any("paged" in each.lines for each in block.walk()):
            yield "paged", "embedding needs `paged`: it would be in memory beside the int8"
        metric, over = _COARSE_METRIC, coarse
    else:
        metric, over = _METRIC, block
    for code, name, value in [
        ("metric", "distance-metric", metric),
        *(("graph", *each) for each in _GRAPH.items()),
    ]:
        values = [value for each in over.walk() for value in each.settings(name)]
        if values != [value]:
            yield code, f"{name} must be {value}, found {', '.join(values) or 'none'}"
    if not any("index" in value for value in over.settings("indexing")):
        yield "graph", "embedding has no `index`: every search would look at every item"


def _summaries(schema: Schema) -> Iterator[Found]:
    for name, least in _SUMMARIES.items():
        if missing := least - set(schema.summaries.get(name, ())):
            yield "summary", f"document-summary {name} lacks {', '.join(sorted(missing))}"
    for name, fields in schema.summaries.items():
        for field in fields:
            if field not in schema.fields or not _is_attribute(schema.fields[field]):
                yield "summary", f"{name}: {field} is no attribute: every hit would be read from disk"


def _profile(schema: Schema, name: str) -> Iterator[Found]:
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
            expected = f"that of embedding, {cells[2]}[{cells[3]}]"
            yield "dimension", f"{name}: {query} is {kind}, its dimension must be {expected}"
    if name == names.PROFILE_Q2I:
        for setting, value in _PINNED.items():
            found = next((values[0] for block in chain if (values := block.settings(setting))), None)
            if found is None or float(found) != value:
                yield "pinned", f"{name}: {setting} must be {value}, found {found or 'none (it moves)'}"
    functions = {block.words[1].partition("(")[0] for block in chain[0].named("function")}
    for expression in _expressions(chain[0]):
        for call in _CALL.findall(expression):
            if call not in _FUNCTIONS | functions:
                yield "feature", f"{name}: `{call}` is no rank feature or function that we know"
        for feature, by, argument in _FEATURE.findall(expression):
            if by == "label":
                yield "feature", f"{name}: {feature} of label {argument}, which no query sets"
            elif feature == "query":
                if f"query({argument})" not in inputs:
                    yield "feature", f"{name}: query({argument}) is not among its inputs"
            elif argument not in schema.fields:
                yield "feature", f"{name}: {feature} of {argument}, which is no field"


def _expressions(profile: Block) -> Iterator[str]:
    """The texts of a rank profile that hold features and functions."""
    for phase in ("first-phase", "second-phase", "global-phase", "function"):
        for block in profile.named(phase):
            yield from block.settings("expression")
    for features in ("match-features", "summary-features", "rank-features"):
        yield from profile.settings(features)


def _is_attribute(field: Block) -> bool:
    return any("attribute" in value for value in field.settings("indexing"))
