"""Rules for query profiles, services.xml and validation overrides.

A file that is no XML has no problem here: Vespa says so itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, TypeAlias
from xml.etree import ElementTree

from index.vespa import names

#: Code of the rule, and what was found and expected.
Found: TypeAlias = tuple[str, str]

_TIME: Final = r"[1-9]\d*(\.\d+)?\s?(ms|s)"
#: Names that a query profile of ours sets; Vespa takes any other as a new variable.
_PROFILE_FIELDS: Final = {
    "maxHits": r"[1-9]\d*",
    "maxOffset": r"\d+",
    "hits": r"\d+",
    "timeout": _TIME,
    "ranking.softtimeout.enable": r"true|false",
    "ranking.matching.anntimebudget": _TIME,
    "ranking.matching.anntimeout.enable": r"true|false",
    "ranking.matching.anntimeout.factor": r"0?\.\d+|1(\.0+)?",
    "ranking.profile": f"{names.PROFILE_Q2I}|exact|unranked|default",
    "presentation.summary": f"{names.SUMMARY_IDS}|{names.SUMMARY_VECTORS}",
    "presentation.format.tensors": r"hex-value|hex|short|long|short-value|long-value",
    "model.restrict": r"\w+(,\w+)*",
}
_PROFILE_ELEMENTS: Final = frozenset({"query-profile", "field", "description", "ref", "dimensions"})
#: How long the dispatcher waits for the last node, once the least coverage is there: a share of what is left.
_LAST_NODE: Final = "min-wait-after-coverage-factor"
_PROFILE_ATTRIBUTES: Final = frozenset({"id", "type", "inherits"})


def check_query_profile(path: Path) -> Iterator[Found]:
    """Elements, names and values of a query profile; ``default`` must let the client's queries pass."""
    root = _root(path)
    if root is None:
        return
    for element in root.iter():
        if element.tag not in _PROFILE_ELEMENTS:
            yield "query-profile", f"<{element.tag}> is no element of a query profile: it is ignored"
    for name in root.attrib.keys() - _PROFILE_ATTRIBUTES:
        yield "query-profile", f"{name}= is no attribute of a query profile: it is ignored"
    values = {each.get("name", ""): (each.text or "").strip() for each in root.iter("field")}
    for name, value in values.items():
        form = _PROFILE_FIELDS.get(name)
        if form is None:
            yield "query-profile", f"field {name!r} is no parameter that we use: a misspelt one is ignored"
        elif re.fullmatch(form, value) is None:
            hint = " with its unit (a bare number is seconds)" if form == _TIME else ""
            yield "query-profile", f"{name} is {value!r}, expected {form}{hint}"
    allowed = values.get("maxHits", "400")
    if path.stem == "default" and allowed.isdigit() and int(allowed) < names.MAX_HITS:
        yield "max-hits", f"maxHits is {allowed}, the client may ask for {names.MAX_HITS}"


def check_services(path: Path, schemas: Collection[str]) -> Iterator[Found]:
    """Redundancy that nodes can hold, answers that wait for them, document types that are indexed."""
    root = _root(path)
    if root is None:
        return
    listed: dict[str, str] = {}
    for content in root.iter("content"):
        yield from _content(content)
        listed |= {each.get("type", ""): each.get("mode", "none") for each in content.iter("document")}
    for name, mode in sorted(listed.items()):
        if mode != "index":
            yield "mode", f"{name}: mode is {mode}, index was expected"
        if not name.startswith(names.TYPE_PREFIX):
            yield "documents", f"{name}: document types are named {names.TYPE_PREFIX}<bundle version>"
    for name in schemas:
        if name not in listed:
            yield "documents", f"{name} has a schema, but no content cluster holds it"


def _content(content: ElementTree.Element) -> Iterator[Found]:
    sizes = [len(nodes) for group in content.iter("group") if (nodes := group.findall("node"))]
    total, groups = len(list(content.iter("node"))), len(sizes)
    copies = _number(content, "min-redundancy") or _number(content, "redundancy") or 1
    searchable = _number(content, "engine/proton/searchable-copies") or copies
    if copies > total:
        yield "redundancy", f"redundancy {copies} on {total} node(s): the copies have no place"
    if copies < groups:
        yield "redundancy", f"redundancy {copies} for {groups} groups: some would be empty"
    if searchable < groups:
        yield (
            "searchable-copies",
            f"searchable-copies {searchable} for {groups} groups: some could not answer",
        )
    if len(set(sizes)) > 1:
        yield "groups", f"groups of {sorted(set(sizes))} nodes, equal ones were expected"
    least, wait = (_share(content, f"search/coverage/{name}") for name in ("minimum", _LAST_NODE))
    size = max(sizes, default=total)
    if least is not None and math.ceil(least * size) < size and not wait:
        yield "coverage", f"{_LAST_NODE} is 0: the last of a group's {size} nodes is never waited for"


def check_overrides(path: Path) -> Iterator[Found]:
    """Only documents of a dropped version may go: any other override hides a mistake."""
    root = _root(path)
    for allow in () if root is None else root:
        name = (allow.text or "").strip()
        if allow.tag != "allow" or name != "schema-removal":
            yield "override", f"<{allow.tag}>{name}</{allow.tag}>: only schema-removal was expected"


def _root(path: Path) -> ElementTree.Element | None:
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None


def _share(element: ElementTree.Element, path: str) -> float | None:
    try:
        return float(element.findtext(path) or "")
    except ValueError:
        return None


def _number(element: ElementTree.Element, path: str) -> int | None:
    found = element.findtext(path)
    return int(found) if found is not None and found.strip().isdigit() else None
