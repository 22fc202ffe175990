"""Rules of ours for what Vespa lets pass in a package; run before anything is deployed.

Vespa's own validators catch syntax, unknown fields, wrong tensor sizes, metrics, hosts and removals. They
take without a word: a wrong dimension name, a misspelt rank feature or query profile field, an attribute
that is scanned, redundancy without nodes, a summary that reads the disk, changed attributes of a version.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from index.vespa import names
from index.vespa.package.problem import Problem
from index.vespa.package.rules_schema import check_schema
from index.vespa.package.rules_xml import check_overrides, check_query_profiles, check_services
from index.vespa.package.sd import Schema, read_schema

__all__ = ["Problem", "check_change", "check_package"]


def check_package(application: Path) -> list[Problem]:
    """Everything that our rules find in an application package folder; empty for a good one."""
    return list(_check(application))


def check_change(previous: Path, application: Path) -> list[Problem]:
    """Changes between two packages that Vespa deploys, but that break what is being served.

    A version's fields never change: an attribute that comes later is empty for the items that are there,
    and one that goes and comes back may bring old values with it.
    """
    problems = []
    before, after = _schemas(previous), _schemas(application)
    for name in sorted(before.keys() & after.keys()):
        old = {field: block.text() for field, block in before[name].fields.items()}
        new = {field: block.text() for field, block in after[name].fields.items()}
        for field in sorted(old.keys() | new.keys()):
            if old.get(field) != new.get(field):
                what = "is new" if field not in old else "is gone" if field not in new else "changed"
                problems.append(
                    Problem(
                        "change", f"schemas/{name}.sd", f"field {field} {what}: make a new version instead"
                    )
                )
    if before and not before.keys() & after.keys():
        problems.append(
            Problem(
                "change",
                "services.xml",
                "no version of the running package stays: nothing could answer meanwhile",
            )
        )
    return problems


def _check(application: Path) -> Iterator[Problem]:
    schemas = _schemas(application)
    if not schemas:
        yield Problem("schemas", "schemas", "no schema")
    for name, schema in schemas.items():
        file = f"schemas/{name}.sd"
        yield from check_schema(schema, file)
        if schema.document.words[1:2] != [name]:
            yield Problem(
                "documents", file, f"document {schema.document.words[1:2]} must be named as the file"
            )
        if not name.startswith(names.TYPE_PREFIX):
            yield Problem("documents", file, f"document types are named {names.TYPE_PREFIX}<bundle version>")
    yield from check_query_profiles(application, list(schemas.values()))
    yield from check_services(application, list(schemas.values()))
    yield from check_overrides(application)


def _schemas(application: Path) -> dict[str, Schema]:
    found = {}
    for path in sorted((application / "schemas").glob("*.sd")):
        schema = read_schema(path.read_text(encoding="utf-8"))
        if schema is not None:
            found[path.stem] = schema
    return found
