"""Rendering: versions and a layout in, an application package folder out."""

from __future__ import annotations

import datetime
import shutil
from dataclasses import replace
from functools import reduce
from itertools import count, islice
from pathlib import Path
from string import Template
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from artifacts.attributes import AttributeKind
from artifacts.popularity import POPULARITY
from index.vespa import names
from index.vespa.package.layout import Layout, Tls
from index.vespa.version import Version, VersionError, read_versions, write_versions

#: The templates: in a wheel ``vespa_app/`` is copied beside the code, see pyproject's force-include.
_TEMPLATES: Final = (Path(__file__).parent / "templates", Path(__file__).parents[3] / "vespa_app")
#: Vespa refuses overrides further ahead than 30 days.
_OVERRIDE_DAYS: Final = 7
#: Least coverage of an answer, and the share of its time that it may wait for more. With one group nobody
#: else has the items of a slow node, so the others' answer has to do; of more groups another one is asked.
_COVERAGE_OF_ONE: Final = ("0.4", "0.3")
_COVERAGE_OF_MORE: Final = ("0.95", "1")
APPLICATION: Final = "application"
#: Kept beside the package, so that a version is never added or dropped with other hosts by accident.
LAYOUT: Final = "layout.toml"

#: Options of a field beside its type. Strings come casefolded from feed and query alike, so they are
#: compared as they are; a hash dictionary serves equality in less memory than a B-tree and needs ``cased``.
_STRINGS = """
            attribute: fast-search
            match: cased
            dictionary {
                hash
                cased
            }"""
_OPTIONS: Final[dict[AttributeKind, str]] = {
    "string": _STRINGS,
    "list": _STRINGS,
    "number": "\n            attribute: fast-search",
    "bool": "",  # a bit vector already: fast-search does not exist for it
}


def _templates() -> Path:
    for folder in _TEMPLATES:
        if (folder / "item.sd").is_file():
            return folder
    raise FileNotFoundError(
        f"no Vespa templates in {_TEMPLATES[0]} or {_TEMPLATES[1]}: reinstall mrse-recall"
    )


def _template(name: str) -> Template:
    return Template((_templates() / name).read_text(encoding="utf-8"))


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
    shutil.copytree(_templates() / "query-profiles", target / "search" / "query-profiles")
    (target / "services.xml").write_text(_services(versions, layout), encoding="utf-8")
    hosts = "\n".join(_host(name, aliases) for name, aliases in layout.aliases())
    (target / "hosts.xml").write_text(_template("hosts.xml").substitute(hosts=hosts), encoding="utf-8")
    if drops_on is not None:
        until = drops_on + datetime.timedelta(days=_OVERRIDE_DAYS)
        allow = f'  <allow until="{until}" comment="a dropped embedding version">schema-removal</allow>'
        overrides = _template("validation-overrides.xml").substitute(allows=allow)
        (target / "validation-overrides.xml").write_text(overrides, encoding="utf-8")
    (folder / LAYOUT).write_text(layout.to_toml(), encoding="utf-8")
    write_versions(folder, versions)
    return target


def add_version(folder: Path, version: Version, layout: Layout | None = None) -> Path:
    """Render the package, which may be new, with one more version; adding one again changes nothing.

    Raises:
        VersionError: the same document type with other content, or without the titles that are wanted; or a
            damaged version file.
        LayoutError: no layout is given, and the one that the package has cannot be read.
    """
    known = {each.document_type: each for each in read_versions(folder)}
    earlier = known.get(version.document_type)
    if earlier is not None and version.titles and not earlier.titles:
        raise VersionError(
            f"{version.document_type} is there without titles: a version's fields never change, "
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


def render_schema(version: Version) -> str:
    """The schema of a version's document type."""
    attribute = _template("attribute.sd")
    attributes = "".join(
        attribute.substitute(
            name=names.field_name(name), type=names.FIELD_TYPES[kind], options=_OPTIONS[kind]
        )
        for name, kind in version.attributes.items()
    )
    return _template("item.sd").substitute(
        type=version.document_type,
        dimension_name=names.DIMENSION,
        dimension=version.dimension,
        attributes=attributes,
        summaries="".join(f"        summary {names.field_name(name)} {{}}\n" for name in version.attributes),
        words="" if version.texts is None else _template("words.sd").substitute(name=names.WORDS),
        profiles="" if version.texts is None else _profile(),
        picture_field=_title("title.sd", version) + _picture("picture.sd", version),
        title_summary=_title("title-summary.sd", version),
        more_profiles=_picture("picture-profile.sd", version) + _popular(version),
        first=names.OWN,
        related="".join(_related(count, version.dimension) for count in range(1, names.MAX_RELATED + 1)),
    )


def _related(count: int, dimension: int) -> str:
    """The rank profile for the neighbours of so many vectors."""
    cosine = f"sum(query({{}}) * attribute({names.EMBEDDING}))"
    inputs = [names.trigger_tensor(number) for number in range(count)]
    cosines = [cosine.format(name) for name in (names.QUERY_TENSOR, *inputs)]
    shape = f"{names.DIMENSION}[{dimension}]"
    return _template("related.sd").substitute(
        count=count,
        name=names.related_profile(count),
        dimension_name=names.DIMENSION,
        dimension=dimension,
        inputs="\n".join(f"            query({name}) tensor<float>({shape})" for name in inputs),
        best=reduce("max({}, {})".format, cosines[1:]),
        cosines=reduce("concat({}, {}, t)".format, cosines),
    )


def _profile() -> str:
    return _template("words-profile.sd").substitute(name=names.WORDS, profile=names.PROFILE_LEXICAL)


def _picture(template: str, version: Version) -> str:
    if not version.picture_dim:
        return ""
    return _template(template).substitute(
        name=names.PICTURE,
        profile=names.PROFILE_P2I,
        tensor=names.PICTURE_TENSOR,
        dimension_name=names.DIMENSION,
        dimension=version.picture_dim,
    )


def _title(template: str, version: Version) -> str:
    if not version.titles:
        return ""
    return _template(template).substitute(name=names.TITLE, item=names.ITEM_ID, summary=names.SUMMARY_TITLES)


def _popular(version: Version) -> str:
    if not version.popular:
        return ""
    field = names.field_name(POPULARITY)
    return _template("popular-profile.sd").substitute(name=field, profile=names.PROFILE_POPULAR)


def _services(versions: list[Version], layout: Layout) -> str:
    documents = "\n".join(
        f'      <document type="{version.document_type}" mode="index"/>' for version in versions
    )
    if layout.is_dev:
        return _template("services-dev.xml").substitute(documents=documents, port=layout.port)
    groups, keys = [], count()
    for number, hosts in enumerate(layout.groups):
        lines = "\n".join(
            f'        <node hostalias="content{key}" distribution-key="{key}"/>'
            for key in islice(keys, len(hosts))
        )
        groups.append(
            f'      <group name="group{number}" distribution-key="{number}">\n{lines}\n      </group>'
        )
    minimum, wait = _COVERAGE_OF_ONE if len(layout.groups) == 1 else _COVERAGE_OF_MORE
    return _template("services-production.xml").substitute(
        minimum=minimum,
        wait=wait,
        documents=documents,
        port=layout.port,
        ssl=_ssl(layout.tls),
        configservers=_numbered("configserver", "config", len(layout.config)),
        controllers=_numbered("cluster-controller", "config", len(layout.config)),
        query=_numbered("node", "query", len(layout.query)),
        feed=_numbered("node", "feed", len(layout.feed)),
        copies=layout.copies or len(layout.groups),
        feed_port=layout.feed_port or layout.port,
        query_jvm=_jvm(layout.query_heap_mb),
        feed_jvm=_jvm(layout.feed_heap_mb),
        feeding=_feeding(layout.feed_concurrency),
        limits=_limits(layout),
        partitions="1|" * (len(layout.groups) - 1) + "*",
        groups="\n".join(groups),
    )


def _jvm(heap_mb: int | None) -> str:
    return "" if heap_mb is None else f'\n      <jvm options="-Xms{heap_mb}m -Xmx{heap_mb}m"/>'


def _feeding(concurrency: float | None) -> str:
    if concurrency is None:
        return ""
    lines = ("<feeding>", f"  <concurrency>{concurrency}</concurrency>", "</feeding>")
    return "".join(f"\n            {line}" for line in lines)


def _limits(layout: Layout) -> str:
    shares = {"disk": layout.disk_limit, "memory": layout.memory_limit}
    lines = [f"        <{name}>{share}</{name}>" for name, share in shares.items() if share is not None]
    if not lines:
        return ""
    inside = "\n".join(["      <resource-limits>", *lines, "      </resource-limits>"])
    return f"\n    <tuning>\n{inside}\n    </tuning>"


def _ssl(tls: Tls | None) -> str:
    if tls is None:
        return ""
    files = {"private-key-file": tls.key, "certificate-file": tls.certificate, "ca-certificates-file": tls.ca}
    lines = [f"          <{name}>{escape(path)}</{name}>" for name, path in files.items()]
    lines.append("          <client-authentication>need</client-authentication>")
    return "\n        <ssl>\n" + "\n".join(lines) + "\n        </ssl>"


def _numbered(element: str, role: str, count: int) -> str:
    return "\n".join(f'      <{element} hostalias="{role}{n}"/>' for n in range(1, count + 1))


def _host(name: str, aliases: list[str]) -> str:
    lines = "\n".join(f"    <alias>{escape(alias)}</alias>" for alias in aliases)
    return f"  <host name={quoteattr(name)}>\n{lines}\n  </host>"
