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
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands import vespa_rollout
from cli.console import Json, counted, err, fail, out, print_json
from cli.vespa_options import (
    Ca,
    Certificate,
    ConfigServer,
    Embeddings,
    Key,
    LayoutFile,
    Package,
    Token,
    Within,
    client_settings,
    known_versions,
)
from common.errors import USAGE

if TYPE_CHECKING:
    from index.vespa.package import Layout
    from index.vespa.settings import VespaSettings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    vespa = typer.Typer(no_args_is_help=True, help="Deploy, feed, verify and drop versions in Vespa.")
    vespa.command("add-version")(add_version)
    for command in (deploy, vespa_rollout.feed, vespa_rollout.verify, vespa_rollout.switch, drop):
        vespa.command()(command)
    app.add_typer(vespa, name="vespa")


def add_version(
    embeddings: Embeddings,
    package: Package,
    layout: LayoutFile = None,
    json: Json = False,
) -> None:
    """Add the version of an embeddings folder to a package: a document type of its own.

    Example: `mrse vespa add-version embeddings/ --package vespa-package/`
    """
    from index.vespa.feed.source import EmbeddingsSource
    from index.vespa.package import Version
    from index.vespa.package import add_version as add

    source = EmbeddingsSource.open(embeddings)
    version = Version(source.bundle_version, source.dimension, source.attributes)
    application = add(package, version, _layout(layout))
    _refuse_problems(application)
    result = {"application": str(application), "document_type": version.document_type}
    print_json(result) if json else out.print(f"{application}: added {version.document_type}")


def deploy(
    package: Package,
    config_server: ConfigServer,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
    token: Token = None,
    within: Within = 300.0,
    json: Json = False,
) -> None:
    """Deploy a package and wait until every service runs it. What Vespa would let pass is checked first.

    Example: `mrse vespa deploy --package vespa-package/ --config-server http://localhost:19071`
    """
    from index.vespa.package import application_folder

    application = application_folder(package)
    _refuse_problems(application)
    version = known_versions(package)[0]
    settings = client_settings(
        version, config_server, ca, certificate, key, token, config_servers=config_server
    )
    deployment = _deploy(settings, application, within)
    if json:
        print_json(asdict(deployment))
        return
    for line in (*deployment.warnings, *deployment.actions):
        err.print(line)
    out.print(f"generation {deployment.generation} is active")


def drop(
    version: Annotated[str, typer.Argument(help="Document type or bundle version to drop.")],
    package: Package,
    config_server: ConfigServer,
    layout: LayoutFile = None,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
    token: Token = None,
    within: Within = 300.0,
    json: Json = False,
) -> None:
    """Drop a version and its documents: renders the package without it and deploys that.

    Example: `mrse vespa drop demo-1a2b3c4d --package vespa-package/ --config-server http://localhost:19071`
    """
    from index.vespa.package import drop_version

    known = known_versions(package)
    named = [v.document_type for v in known if version in (v.document_type, v.bundle_version)]
    if not named:
        fail(
            f"{package} has no version {version!r}; it has {', '.join(v.document_type for v in known)}", USAGE
        )
    application = drop_version(package, named[0], datetime.datetime.now(datetime.UTC).date(), _layout(layout))
    _refuse_problems(application)
    left = known_versions(package)[0]
    settings = client_settings(left, config_server, ca, certificate, key, token, config_servers=config_server)
    deployment = _deploy(settings, application, within)
    print_json({"dropped": named[0], **asdict(deployment)}) if json else out.print(f"dropped {named[0]}")


def _layout(file: Path | None) -> Layout | None:
    """The layout of a file; None leaves the package's own, or the development layout for a new one."""
    from index.vespa.package import Layout

    return None if file is None else Layout.read(file)


def _deploy(settings: VespaSettings, application: Path, within: float) -> Any:
    from common.deadline import Deadline
    from index.vespa.feed.deploy import DeployRefused, NotConverged
    from index.vespa.feed.deploy import deploy as send

    try:
        return asyncio.run(send(settings, application, Deadline.after(within)))
    except (DeployRefused, NotConverged) as error:
        fail(str(error))


def _refuse_problems(application: Path) -> None:
    from index.vespa.package import check_package

    problems = check_package(application)
    for problem in problems:
        err.print(str(problem))
    if problems:
        fail(f"{application}: {counted(len(problems), 'problem')} that Vespa would let pass")
