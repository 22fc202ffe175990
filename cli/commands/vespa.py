"""``mrse vespa add-version``, ``deploy`` and ``drop``: what is deployed.

A rollout is blue and green: ``add-version`` and ``deploy`` put a new document type beside the old one,
``feed`` and ``verify`` fill and measure it, ``switch`` moves traffic by weight, ``drop`` takes the old one
away. Nothing that serves is changed in place.
"""

from __future__ import annotations

import asyncio
import datetime
from dataclasses import asdict
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
    Within,
    open_embeddings,
    with_access,
)

if TYPE_CHECKING:
    from index.vespa.package.deploy import Activated
    from index.vespa.settings import EndpointSettings


def add_version(
    embeddings: Embeddings,
    package: Package,
    layout: LayoutFile = None,
    json: Json = False,
) -> None:
    """Add the version of an embeddings folder to a package: a document type of its own.

    Example: `mrse vespa add-version embeddings/ --package vespa-package/`
    """
    from index.vespa.package.layout import Layout
    from index.vespa.package.render import add_version as add
    from index.vespa.version import Version

    version = Version.from_embeddings(open_embeddings(embeddings))
    hosts = None if layout is None else Layout.read(layout)
    application = add(package, version, hosts)
    result = {"application": str(application), "document_type": version.document_type}
    print_json(result) if json else out.print(f"{application}: added {version.document_type}")


@with_access
def deploy(
    package: Package,
    config_server: ConfigServer,
    access: Access,
    within: Within = 300.0,
    json: Json = False,
) -> None:
    """Deploy a package and wait until every service runs it. What Vespa would let pass is checked first.

    Example: `mrse vespa deploy --package vespa-package/ --config-server http://localhost:19071`
    """
    from index.vespa.package.render import application_folder
    from index.vespa.package.rules import check_package

    problems, application = check_package(package), application_folder(package)
    for problem in problems:
        err.print(str(problem))
    if problems:
        fail(f"{application}: {counted(len(problems), 'problem')} that Vespa would let pass")
    activated = _deploy(access.to(config_server), application, within)
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
    layout: LayoutFile = None,
    within: Within = 300.0,
    json: Json = False,
) -> None:
    """Drop a version and its documents: renders the package without it and deploys that.

    Example: `mrse vespa drop demo-1a2b3c4d --package vespa-package/ --config-server http://localhost:19071`
    """
    from index.vespa.package.layout import Layout
    from index.vespa.package.render import drop_version
    from index.vespa.version import find_version

    dropped = find_version(package, version)
    servers = access.to(config_server)
    today = datetime.datetime.now(datetime.UTC).date()
    hosts = None if layout is None else Layout.read(layout)
    activated = _deploy(servers, drop_version(package, dropped, today, hosts), within)
    result = {"dropped": dropped.document_type, **asdict(activated)}
    print_json(result) if json else out.print(f"dropped {dropped.document_type}")


def _deploy(servers: EndpointSettings, application: Path, within: float) -> Activated:
    from common.deadline import Deadline
    from index.vespa.package.deploy import deploy as send

    return asyncio.run(send(servers, application, Deadline.after(within)))
