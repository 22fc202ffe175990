"""Rules for query profiles, services.xml and validation overrides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from index.vespa import names
from index.vespa.package.problem import Problem
from index.vespa.package.sd import Schema

#: Fewest hits that the query profile must allow: what the client may ask for.
MAX_HITS: Final = 10_000
#: Names that a query profile of ours sets; Vespa takes any other as a new variable.
_PROFILE_FIELDS: Final = {
    "maxHits": re.compile(r"[1-9]\d*"),
    "maxOffset": re.compile(r"\d+"),
    "hits": re.compile(r"\d+"),
    "timeout": re.compile(r"[1-9]\d*(\.\d+)?\s?(ms|s)"),
    "ranking.softtimeout.enable": re.compile(r"true|false"),
    "ranking.matching.anntimebudget": re.compile(r"[1-9]\d*(\.\d+)?\s?(ms|s)"),
    "ranking.profile": re.compile(r"\w+"),
    "presentation.summary": re.compile(r"\w+"),
    "presentation.format.tensors": re.compile(r"hex-value|hex|short|long|short-value|long-value"),
    "model.restrict": re.compile(r"\w+(,\w+)*"),
}
_PROFILE_ELEMENTS: Final = frozenset({"query-profile", "field", "description", "ref", "dimensions"})
_PROFILE_ATTRIBUTES: Final = frozenset({"id", "type", "inherits"})
#: Only documents of a dropped version may go; every other override hides a mistake.
_OVERRIDES: Final = frozenset({"schema-removal"})


def check_query_profiles(folder: Path, schemas: list[Schema]) -> Iterator[Problem]:
    """Elements, names and values of query profiles; ``default`` must let the client's queries pass."""
    profiles = folder / "search" / "query-profiles"
    default = profiles / "default.xml"
    if not default.is_file():
        yield Problem(
            "query-profile", "search/query-profiles/default.xml", "missing: Vespa would cap hits at 400"
        )
    for path in sorted(profiles.glob("*.xml")):
        file = str(path.relative_to(folder))
        root = _root(path)
        if root is None:
            continue  # Vespa says so itself
        yield from _profile(root, file, schemas)
        if path == default:
            values = {each.get("name"): (each.text or "").strip() for each in root.iter("field")}
            allowed = values.get("maxHits", "400")
            if allowed.isdigit() and int(allowed) < MAX_HITS:
                yield Problem("max-hits", file, f"maxHits is {allowed}, the client may ask for {MAX_HITS}")


def _profile(root: ElementTree.Element, file: str, schemas: list[Schema]) -> Iterator[Problem]:
    for element in root.iter():
        if element.tag not in _PROFILE_ELEMENTS:
            yield Problem(
                "query-profile", file, f"<{element.tag}> is no element of a query profile: it is ignored"
            )
    for name in root.attrib.keys() - _PROFILE_ATTRIBUTES:
        yield Problem("query-profile", file, f"{name}= is no attribute of a query profile: it is ignored")
    for element in root.iter("field"):
        name, value = element.get("name", ""), (element.text or "").strip()
        form = _PROFILE_FIELDS.get(name)
        if form is None:
            yield Problem(
                "query-profile",
                file,
                f"field {name!r} is no parameter that we use: a misspelt one is ignored",
            )
        elif form.fullmatch(value) is None:
            hint = (
                " with its unit (a bare number is seconds)"
                if name in ("timeout", "ranking.matching.anntimebudget")
                else ""
            )
            yield Problem("query-profile", file, f"{name} is {value!r}, expected {form.pattern}{hint}")
        elif name == "presentation.summary":
            for schema in schemas:
                if value not in schema.summaries:
                    yield Problem("summary", file, f"{schema.name} has no summary class {value!r}")
        elif name == "ranking.profile":
            for schema in schemas:
                if value not in schema.profiles.keys() | {"unranked", "default"}:
                    yield Problem("profiles", file, f"{schema.name} has no rank profile {value!r}")


def check_services(folder: Path, schemas: list[Schema]) -> Iterator[Problem]:
    """Redundancy that the nodes can hold, document types that are indexed, queries and feed apart."""
    file = "services.xml"
    root = _root(folder / file)
    if root is None:
        return
    listed: set[str] = set()
    for content in root.iter("content"):
        yield from _content(content, file)
        for document in content.iter("document"):
            listed.add(document.get("type", ""))
            if document.get("mode") != "index":
                found = document.get("mode") or "none"
                yield Problem("mode", file, f"{document.get('type')}: mode is {found}, index was expected")
    for schema in schemas:
        if schema.name not in listed:
            yield Problem("documents", file, f"{schema.name} has a schema, but no content cluster holds it")
    for name in sorted(listed):
        if not name.startswith(names.TYPE_PREFIX):
            yield Problem(
                "documents", file, f"{name}: document types are named {names.TYPE_PREFIX}<bundle version>"
            )


def _content(content: ElementTree.Element, file: str) -> Iterator[Problem]:
    groups = [
        group
        for group in content.iter("group")
        if group.find("group") is None and group.find("node") is not None
    ]
    nodes = len(list(content.iter("node")))
    copies = _number(content, "min-redundancy") or _number(content, "redundancy") or 1
    searchable = _number(content, "engine/proton/searchable-copies")
    if copies > nodes:
        yield Problem("redundancy", file, f"redundancy {copies} on {nodes} node(s): the copies have no place")
    if len(groups) > 1 and copies < len(groups):
        yield Problem(
            "redundancy", file, f"redundancy {copies} for {len(groups)} groups: some would be empty"
        )
    if len(groups) > 1 and (searchable or copies) < len(groups):
        yield Problem(
            "searchable-copies",
            file,
            f"searchable-copies {searchable} for {len(groups)} groups: some could not answer",
        )
    sizes = {len(list(group.iter("node"))) for group in groups}
    if len(sizes) > 1:
        yield Problem("groups", file, f"groups of {sorted(sizes)} nodes, equal ones were expected")


def check_overrides(folder: Path) -> Iterator[Problem]:
    """Overrides are of the one kind that dropping a version needs; Vespa ignores unknown ones."""
    file = "validation-overrides.xml"
    root = _root(folder / file)
    if root is None:
        return
    for allow in root:
        name = (allow.text or "").strip()
        if allow.tag != "allow" or name not in _OVERRIDES:
            yield Problem(
                "override", file, f"<{allow.tag}>{name}</{allow.tag}>: only schema-removal was expected"
            )


def _root(path: Path) -> ElementTree.Element | None:
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None


def _number(element: ElementTree.Element, path: str) -> int | None:
    found = element.findtext(path)
    return int(found) if found is not None and found.strip().isdigit() else None
