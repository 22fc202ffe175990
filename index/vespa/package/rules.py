"""Rules for a package that somebody may have edited; `mrse vespa deploy` asks them before it sends anything.

Vespa's own validators catch syntax, unknown fields, wrong tensor sizes, metrics, hosts and removals. They
take without a word: a wrong dimension name, a misspelt rank feature or query profile field, an attribute
that is scanned, redundancy without nodes, a summary that reads the disk, changed attributes of a version.
What `render` has just written needs no such look: the tests put it through the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from index.vespa import names
from index.vespa.package.rules_schema import check_schema
from index.vespa.package.rules_xml import check_overrides, check_query_profile, check_services
from index.vespa.package.sd import Schema, read_schema

_DEFAULT_PROFILE = "search/query-profiles/default.xml"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that Vespa would let pass; ``message`` says what was found and what was expected."""

    #: Short name of the rule, such as ``dimension``.
    code: str
    #: Path below the package.
    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message} [{self.code}]"


def check_package(application: Path) -> list[Problem]:
    """Everything that our rules find in an application package folder; empty for a good one."""
    return [Problem(code, file, message) for file, code, message in _check(application)]


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
                message = f"field {field} {what}: make a new version instead"
                problems.append(Problem("change", f"schemas/{name}.sd", message))
    if before and not before.keys() & after.keys():
        message = "no version of the running package stays: nothing could answer meanwhile"
        problems.append(Problem("change", "services.xml", message))
    return problems


def _check(application: Path) -> Iterator[tuple[str, str, str]]:
    """File, code and message of each problem."""
    schemas = _schemas(application)
    if not schemas:
        yield "schemas", "schemas", "no schema"
    for name, schema in schemas.items():
        file = f"schemas/{name}.sd"
        for found in check_schema(schema):
            yield file, *found
        if schema.document.words[1:2] != [name]:
            yield file, "documents", f"document {schema.document.words[1:2]} must be named as the file"
        if not name.startswith(names.TYPE_PREFIX):
            yield file, "documents", f"document types are named {names.TYPE_PREFIX}<bundle version>"
    if not (application / _DEFAULT_PROFILE).is_file():
        yield _DEFAULT_PROFILE, "query-profile", "missing: Vespa would cap hits at 400"
    for path in sorted((application / _DEFAULT_PROFILE).parent.glob("*.xml")):
        for found in check_query_profile(path, list(schemas.values())):
            yield str(path.relative_to(application)), *found
    for found in check_services(application / "services.xml", schemas.keys()):
        yield "services.xml", *found
    for found in check_overrides(application / "validation-overrides.xml"):
        yield "validation-overrides.xml", *found


def _schemas(application: Path) -> dict[str, Schema]:
    schemas = {}
    for path in sorted((application / "schemas").glob("*.sd")):
        schema = read_schema(path.read_text(encoding="utf-8"))
        if schema is not None:
            schemas[path.stem] = schema
    return schemas
