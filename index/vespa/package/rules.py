"""Rules for a package that somebody may have edited; `mrse vespa deploy` asks them before it sends anything.

Schemas are rendered and never edited: a version's fields stay as they were fed. services.xml and query
profiles may be edited, and Vespa takes without a word what cannot work in them: redundancy without nodes, a
misspelt field of a query profile, a time without its unit. What Vespa's own validators catch is left to them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from index.vespa.package.render import application_folder
from index.vespa.package.rules_xml import check_overrides, check_query_profile, check_services
from index.vespa.package.schema import render_schema
from index.vespa.version import read_versions

_DEFAULT_PROFILE: Final = "search/query-profiles/default.xml"
#: Changed lines of a schema that a message shows.
_LINES_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class PackageFault:
    """Something that Vespa would let pass; ``message`` says what was found and what was expected."""

    #: Short name of the rule, such as ``redundancy``.
    code: str
    #: Path below the application.
    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message} [{self.code}]"


def check_package(folder: Path) -> list[PackageFault]:
    """Everything that the rules find in a package folder; empty for a good one.

    Raises:
        VersionError: a damaged version file.
    """
    return [PackageFault(code, file, message) for file, code, message in _check(folder)]


def _check(folder: Path) -> Iterator[tuple[str, str, str]]:
    """File, code and message of each problem."""
    application = application_folder(folder)
    expected = {version.document_type: render_schema(version) for version in read_versions(folder)}
    found = {path.stem: path.read_text(encoding="utf-8") for path in (application / "schemas").glob("*.sd")}
    if not found:
        yield "schemas", "schemas", "no schema"
    for name in sorted(found):
        if name not in expected:
            yield f"schemas/{name}.sd", "schemas", "the package has no such version"
        elif changed := _changed_lines(expected[name], found[name]):
            message = f"is not as rendered ({'; '.join(changed)}): fields never change, make a new version"
            yield f"schemas/{name}.sd", "change", message
    if not (application / _DEFAULT_PROFILE).is_file():
        yield _DEFAULT_PROFILE, "query-profile", "missing: Vespa would cap hits at 400"
    for path in sorted((application / _DEFAULT_PROFILE).parent.glob("*.xml")):
        for problem in check_query_profile(path):
            yield str(path.relative_to(application)), *problem
    for problem in check_services(application / "services.xml", found.keys()):
        yield "services.xml", *problem
    for problem in check_overrides(application / "validation-overrides.xml"):
        yield "validation-overrides.xml", *problem


def _changed_lines(expected: str, found: str) -> list[str]:
    """The first lines that are gone (``-``) or new (``+``), without comments and layout."""
    old, new = (
        [" ".join(line.split()) for line in re.sub(r"#[^\n]*", "", schema).splitlines() if line.strip()]
        for schema in (expected, found)
    )
    lines = difflib.ndiff(old, new)
    return [line for line in lines if line[0] in "+-"][:_LINES_SHOWN]
