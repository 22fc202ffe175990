"""Rendering: versions and a layout in, an application package folder out."""

from __future__ import annotations

import datetime
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from index.vespa.package.layout import Layout
from index.vespa.package.schema import render_schema
from index.vespa.package.services import render_hosts, render_services
from index.vespa.package.template import template, templates
from index.vespa.version import Version, VersionError, read_versions, write_versions

#: Vespa refuses overrides further ahead than 30 days.
_OVERRIDE_DAYS: Final = 7
APPLICATION: Final = "application"
#: Kept beside the package, so that a version is never added or dropped with other hosts by accident.
LAYOUT: Final = "layout.toml"


def application_folder(folder: Path) -> Path:
    """The part of a package folder that is deployed."""
    return folder / APPLICATION


def render(
    folder: Path, versions: list[Version], layout: Layout, *, drops_on: datetime.date | None = None
) -> Path:
    """Write the package and the version files (at least one); what else was in the package goes.

    From the day ``drops_on`` the running cluster may lose document types that are not among ``versions``,
    with their documents; the override holds for a week.

    Returns:
        The application package, to be deployed.
    """
    target = application_folder(folder)
    if target.exists():
        shutil.rmtree(target)
    (target / "schemas").mkdir(parents=True)
    for version in versions:
        path = target / "schemas" / f"{version.document_type}.sd"
        path.write_text(render_schema(version), encoding="utf-8")
    shutil.copytree(templates() / "query-profiles", target / "search" / "query-profiles")
    (target / "services.xml").write_text(render_services(versions, layout), encoding="utf-8")
    (target / "hosts.xml").write_text(render_hosts(layout), encoding="utf-8")
    if drops_on is not None:
        until = drops_on + datetime.timedelta(days=_OVERRIDE_DAYS)
        allow = f'  <allow until="{until}" comment="a dropped embedding version">schema-removal</allow>'
        overrides = template("validation-overrides.xml").substitute(allows=allow)
        (target / "validation-overrides.xml").write_text(overrides, encoding="utf-8")
    (folder / LAYOUT).write_text(layout.to_toml(), encoding="utf-8")
    write_versions(folder, versions)
    return target


def add_version(folder: Path, version: Version, layout: Layout | None = None) -> Path:
    """Render the package, which may be new, with one more version; adding one again changes nothing.

    Raises:
        VersionError: the same document type with other content, or without the titles or features that are
            wanted; or a damaged version file.
        LayoutError: no layout is given, and the one that the package has cannot be read.
    """
    known = {each.document_type: each for each in read_versions(folder)}
    earlier = known.get(version.document_type)
    for lacking, asked, there in (
        ("titles", version.titles, earlier is not None and earlier.titles),
        ("features", version.features, earlier is not None and earlier.features),
    ):
        if earlier is not None and asked and not there:
            raise VersionError(
                f"{version.document_type} is there without {lacking}: a version's fields never change, "
                "make a new version"
            )
    if earlier is not None and earlier.texts is None:
        # It was added before embeddings held texts, and goes on without searches by words.
        version = replace(version, texts=None)
    if earlier is not None and not earlier.picture_dim:
        # It was added before embeddings held picture features, and goes on without searches by pictures.
        version = replace(version, picture_dim=0)
    if known.setdefault(version.document_type, version) != version:
        raise VersionError(
            f"{version.document_type} is there with another dimension, other attributes or texts: "
            "a version's fields never change, make a new version"
        )
    versions = [known[document_type] for document_type in sorted(known)]
    return render(folder, versions, layout or read_layout(folder))


def with_titles(folder: Path, version: Version) -> Version:
    """The version keeping titles, unless the package has it without: a version's fields never change."""
    known = {each.document_type: each for each in read_versions(folder)}
    earlier = known.get(version.document_type)
    return replace(version, titles=earlier is None or earlier.titles)


def drop_version(folder: Path, version: Version, today: datetime.date, layout: Layout | None = None) -> Path:
    """Render the package without a version, with the override that lets Vespa drop its documents.

    Raises:
        VersionError: it is the last one.
        LayoutError: no layout is given, and the one that the package has cannot be read.
    """
    left = [each for each in read_versions(folder) if each.document_type != version.document_type]
    if not left:
        raise VersionError(f"{version.document_type} is the only version: add another before you drop it")
    return render(folder, left, layout or read_layout(folder), drops_on=today)


def copy_package(folder: Path, to: Path) -> Path:
    """Copy what a package is rendered from, to render it otherwise first and see whether Vespa takes it."""
    shutil.copytree(folder / "versions", to / "versions")
    if (folder / LAYOUT).exists():
        shutil.copy(folder / LAYOUT, to / LAYOUT)
    return to


def read_layout(folder: Path) -> Layout:
    """The layout that a package was rendered with; development where it is new.

    Raises:
        LayoutError: a damaged file.
    """
    path = folder / LAYOUT
    return Layout.read(path) if path.exists() else Layout()
