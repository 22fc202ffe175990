"""``mrse vespa add-version``, ``deploy`` and ``drop``: what is deployed.

A rollout is blue and green: ``add-version`` and ``deploy`` put a new document type beside the old one,
``feed`` and ``verify`` fill and measure it, ``switch`` moves traffic by weight, ``drop`` takes the old one
away. Nothing that serves is changed in place.
"""

from __future__ import annotations

import asyncio
import datetime
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Json, counted, err, fail, out, print_json
from cli.options import Embeddings
from cli.vespa_options import (
    Access,
    ConfigServer,
    LayoutFile,
    Package,
    Vectors,
    Within,
    open_embeddings,
    with_access,
)
from common.errors import USAGE

if TYPE_CHECKING:
    from index.vespa.package.deploy import Activated
    from index.vespa.package.diff import FileChange
    from index.vespa.settings import EndpointSettings


#: Seconds to find out what is deployed.
_COMPARE_WITHIN = 30.0


def add_version(
    embeddings: Embeddings,
    package: Package,
    layout: LayoutFile = None,
    titles: Annotated[
        bool,
        typer.Option("--titles", help="Keep titles, for `fields`; they take memory on the content nodes."),
    ] = False,
    features: Annotated[
        bool,
        typer.Option(
            "--features",
            help="Keep what histories use of the items, on the content nodes' disks: Redis need not hold it.",
        ),
    ] = False,
    vectors: Annotated[
        Vectors,
        typer.Option(
            help="What the graph is over: the embeddings themselves, or int8 in memory, with the embeddings "
            "on disk to score what it finds."
        ),
    ] = Vectors.BFLOAT16,
    json: Json = False,
) -> None:
    """Add the version of an embeddings folder to a package: a document type of its own.

    Example: `mrse vespa add-version embeddings/ --package vespa-package/`
    """
    from index.port import TITLE
    from index.vespa.package.layout import Layout
    from index.vespa.package.render import add_version as add
    from index.vespa.version import Version

    folder = open_embeddings(embeddings)
    if titles and TITLE not in folder.meta.text_fields:
        fail(f"{embeddings} holds no titles; `mrse embed` of this version writes them", USAGE)
    shape = (folder.meta.experts, folder.meta.expert_dim) if features else None
    version = replace(Version.from_embeddings(folder), titles=titles, vectors=vectors.value, features=shape)
    hosts = None if layout is None else Layout.read(layout)
    application = add(package, version, hosts)
    result = {"application": str(application), "document_type": version.document_type}
    print_json(result) if json else out.print(f"{application}: added {version.document_type}")


@with_access
def diff(
    package: Package,
    config_server: ConfigServer,
    access: Access,
    within: Within = 30.0,
    json: Json = False,
) -> None:
    """Tell what deploying a package would change of the one that is deployed.

    Example: `mrse vespa diff --package vespa-package/ --config-server http://localhost:19071`
    """
    from index.vespa.package.render import application_folder

    _refuse_empty(package)
    changes = _changes(access.to(config_server), application_folder(package), within)
    if json:
        print_json([asdict(change) for change in changes])
        return
    for change in changes:
        out.print(str(change), markup=False)
    out.print(f"{counted(len(changes), 'file')} would change")


@with_access
def deploy(
    package: Package,
    config_server: ConfigServer,
    access: Access,
    within: Within = 300.0,
    allow_change: Annotated[
        bool, typer.Option("--allow-change", help="Change the schemas of versions that are deployed.")
    ] = False,
    json: Json = False,
) -> None:
    """Deploy a package and wait until every service runs it. What Vespa would let pass is checked first.

    Refused where a schema that is deployed would change: items that are there would lack what is new in it.

    Example: `mrse vespa deploy --package vespa-package/ --config-server http://localhost:19071`
    """
    from index.vespa.errors import VespaError
    from index.vespa.package.render import application_folder
    from index.vespa.package.rules import check_package

    _refuse_empty(package)
    problems, application = check_package(package), application_folder(package)
    for problem in problems:
        err.print(str(problem))
    if problems:
        fail(f"{application}: {counted(len(problems), 'problem')} that Vespa would let pass")
    servers = access.to(config_server)
    try:
        changes = _changes(servers, application, within)
    except VespaError as error:
        said = f"not compared with what is deployed: {error}"
        if not allow_change:
            fail(f"{said}; try again, or deploy all the same with --allow-change")
        err.print(said, markup=False)
        changes = []
    if any(change.kind != "new" for change in changes):
        for change in changes:
            err.print(str(change), markup=False)
    if not allow_change and (served := [change for change in changes if change.of_a_served_schema]):
        fail(f"{counted(len(served), 'schema')} in use would change: make a new version, or --allow-change")
    activated = _deploy(servers, application, within)
    if json:
        print_json(asdict(activated))
        return
    for line in (*activated.warnings, *activated.actions):
        err.print(line)
    out.print(f"generation {activated.generation} is active")


@with_access
def drop(
    version: Annotated[str, typer.Argument(help="Document type or bundle version to drop.")],
    package: Package,
    config_server: ConfigServer,
    access: Access,
    config: Annotated[
        list[Path] | None,
        typer.Option(help="TOML file of a service of this version; repeatable.", exists=True, dir_okay=False),
    ] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="No service has this version in its configuration.")
    ] = False,
    layout: LayoutFile = None,
    within: Within = 300.0,
    json: Json = False,
) -> None:
    """Drop a version and its documents: renders the package without it and deploys that.

    Refused while an arm of it has traffic; one without is taken out of the configuration, since a service
    could not start with it. Where deploying fails the package stays as it was.

    Example: `mrse vespa drop demo-1a2b3c4d --package vespa-package/ --config mrse.toml --config-server URL`
    """
    from index.vespa.package.layout import Layout
    from index.vespa.package.render import copy_package, drop_version
    from index.vespa.version import find_version

    dropped = find_version(package, version)
    if not config and not unused:
        fail("give --config of each service of this version, or say that it is --unused", USAGE)
    servers = access.to(config_server)
    today = datetime.datetime.now(datetime.UTC).date()
    hosts = None if layout is None else Layout.read(layout)
    with tempfile.TemporaryDirectory() as folder:
        copied = copy_package(package, Path(folder) / "package")
        application = drop_version(copied, dropped, today, hosts)
        _take_out_of(config or [], package / "versions" / f"{dropped.document_type}.json")
        activated = _deploy(servers, application, within)
    drop_version(package, dropped, today, hosts)
    for path in (
        *package.glob(f"feeds/{dropped.document_type}.db*"),
        *package.glob(f"verdicts/{dropped.document_type}.*"),
    ):
        path.unlink()
    result = {"dropped": dropped.document_type, **asdict(activated)}
    print_json(result) if json else out.print(f"dropped {dropped.document_type}")


def _refuse_empty(package: Path) -> None:
    from index.vespa.package.render import application_folder

    if not application_folder(package).is_dir():
        fail(f"{package} holds no package; `mrse vespa add-version EMBEDDINGS --package {package}` makes one")


def _take_out_of(configs: list[Path], version: Path) -> None:
    """Take the arms of a version out of configuration files.

    All files are looked at before the first is written; an arm with traffic, or the index that requests
    without an experiment go to, fails.
    """
    from service.settings.load import load_settings
    from service.settings.weights import remove_arms

    found: dict[Path, list[str]] = {}
    for config in configs:
        settings = load_settings(config)
        arms = settings.experiments.get("towers", {})
        named = {
            name: arm for name, arm in arms.items() if arm.index and arm.index.resolve() == version.resolve()
        }
        if settings.index.path and settings.index.path.resolve() == version.resolve():
            fail(f"{config}: index.path is this version: let it and bundle.path name one that stays")
        for name, arm in named.items():
            if arm.weight > 0:
                fail(f"{config}: {name} has the weight {arm.weight:g}: `mrse vespa switch` takes it away")
        found[config] = list(named)
    for config, names in found.items():
        if names:
            remove_arms(config, "towers", names)
            err.print(f"{config}: took out {', '.join(names)}, which had no traffic")


def _changes(servers: EndpointSettings, application: Path, within: float) -> list[FileChange]:
    from common.deadline import Deadline
    from index.vespa.package.diff import compare, deployed

    return compare(application, asyncio.run(deployed(servers, Deadline.after(min(within, _COMPARE_WITHIN)))))


def _deploy(servers: EndpointSettings, application: Path, within: float) -> Activated:
    from common.deadline import Deadline
    from index.vespa.package.deploy import deploy as send

    return asyncio.run(send(servers, application, Deadline.after(within)))
