"""``mrse vespa``: the application package, deploying, feeding, verifying and dropping versions.

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
from rich.table import Table

from cli.console import NOT_IN_ORDER, USAGE, Json, err, fail, for_stage, out, print_json, progress

if TYPE_CHECKING:
    from service.index.vespa.feed.source import EmbeddingsSource
    from service.index.vespa.package import Layout, Version
    from service.index.vespa.settings import VespaSettings

Package = Annotated[Path, typer.Option("--package", help="Package folder that `add-version` writes.")]
Embeddings = Annotated[
    Path, typer.Argument(help="Folder that `mrse embed` wrote.", exists=True, file_okay=False)
]
LayoutFile = Annotated[
    Path | None, typer.Option(help="Hosts by role (TOML); one node without it.", exists=True, dir_okay=False)
]
Endpoint = Annotated[
    list[str], typer.Option("--endpoint", help="Container to ask, as http://vespa:8080; repeatable.")
]
ConfigServer = Annotated[
    list[str], typer.Option("--config-server", help="As http://vespa-config:19071; repeatable.")
]
Ca = Annotated[Path | None, typer.Option(help="Certificates to trust, PEM.")]
Certificate = Annotated[Path | None, typer.Option(help="Our certificate for mutual TLS, PEM.")]
Key = Annotated[Path | None, typer.Option(help="Its key, PEM.")]
Token = Annotated[
    str | None, typer.Option(envvar="MRSE_VESPA_TOKEN", help="Bearer token.", show_default=False)
]
Within = Annotated[float, typer.Option("--within", min=1, help="Seconds to wait for.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    vespa = typer.Typer(no_args_is_help=True, help="Deploy, feed, verify and drop versions in Vespa.")
    vespa.command("add-version")(add_version)
    for command in (deploy, feed, verify, switch, drop):
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
    from service.index.vespa.feed.source import EmbeddingsSource
    from service.index.vespa.package import Version
    from service.index.vespa.package import add_version as add

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
    from service.index.vespa.package import application_folder

    application = application_folder(package)
    _refuse_problems(application)
    version = _versions(package)[0]
    settings = _settings(version, config_server, ca, certificate, key, token, config_servers=config_server)
    deployment = _deploy(settings, application, within)
    if json:
        print_json(asdict(deployment))
        return
    for line in (*deployment.warnings, *deployment.actions):
        err.print(line, highlight=False)
    out.print(f"generation {deployment.generation} is active")


def feed(
    embeddings: Embeddings,
    package: Package,
    endpoint: Endpoint,
    changes: Annotated[
        Path | None, typer.Option(help="JSONL of changes to feed instead of all items.", exists=True)
    ] = None,
    journal: Annotated[Path | None, typer.Option(help="Where progress is kept, to resume from.")] = None,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Feed all items, or a file of changes. Resumes after a kill; every item ends at its newest version.

    Example: `mrse vespa feed embeddings/ --package vespa-package/ --endpoint http://localhost:8080`
    """
    from service.index.vespa.feed.source import ChangesSource, EmbeddingsSource

    everything = EmbeddingsSource.open(embeddings)
    source = everything if changes is None else ChangesSource(changes)
    settings = _settings(_version(package, everything), endpoint, ca, certificate, key, token)
    kept = journal or embeddings.with_name(
        f"{embeddings.name}.{'feed' if changes is None else changes.stem}.journal"
    )
    total = everything.rows if changes is None else None
    with progress() as report:
        fed = asyncio.run(_feed(settings, source, kept, total, for_stage(report, "feed")))
    counts = {str(outcome): count for outcome, count in fed.outcomes.items()}
    if json:
        failures = [asdict(failure) for failure in fed.failures]
        print_json({**counts, "skipped": fed.skipped, "retries": fed.retries, "failures": failures})
    else:
        out.print(", ".join(f"{name} {count:,}" for name, count in counts.items()) or "nothing to feed")
        for failure in fed.failures:
            err.print(f"{failure.item_id}: {failure.reason}", highlight=False)
    raise typer.Exit(0 if fed.complete else NOT_IN_ORDER)


async def _feed(settings: VespaSettings, source: Any, kept: Path, total: int | None, report: Any) -> Any:
    from service.index.vespa.feed.feeder import Feeder, FeedStopped
    from service.index.vespa.feed.journal import Journal
    from service.index.vespa.feed.source import new_feed_version

    journal = Journal.open(kept, f"{settings.document_type}:{source.fingerprint}", new_feed_version())
    async with Feeder(settings) as feeder:
        operations = source.operations(settings, journal.feed_ver, journal.settled)
        try:
            return await feeder.feed(operations, journal, total=total, progress=report)
        except FeedStopped as stopped:
            fail(f"{stopped.reason}; run the same command again to go on from {kept}")


def verify(
    embeddings: Embeddings,
    package: Package,
    endpoint: Endpoint,
    least_recall: Annotated[
        float, typer.Option(min=0, max=1, help="Of the graph against exact search.")
    ] = 0.95,
    queries: Annotated[int, typer.Option(min=1, help="Queries to measure with.")] = 200,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Compare what is fed with the folder: counts, sampled vectors, recall against exact search, latency.

    Example: `mrse vespa verify embeddings/ --package vespa-package/ --endpoint http://localhost:8080`
    """
    from service.index.vespa.client import VespaIndex
    from service.index.vespa.feed.source import EmbeddingsSource
    from service.index.vespa.feed.verify import VerifyReport, VerifySettings
    from service.index.vespa.feed.verify import verify as measure

    source = EmbeddingsSource.open(embeddings)
    settings = _settings(_version(package, source), endpoint, ca, certificate, key, token)

    async def run() -> VerifyReport:
        async with VespaIndex(settings) as index:
            await index.check()
            return await measure(index, source, VerifySettings(queries=queries, least_recall=least_recall))

    report = asyncio.run(run())
    if json:
        print_json({**asdict(report), "holds": report.holds})
    else:
        table = Table("check", "found", "expected", "")
        for check in report.checks:
            table.add_row(check.name, check.found, check.expected, "ok" if check.holds else "NOT OK")
        out.print(table)
        out.print(f"latency p50 {report.latency_p50:.1f} ms, p99 {report.latency_p99:.1f} ms")
    raise typer.Exit(0 if report.holds else NOT_IN_ORDER)


def switch(
    arms: Annotated[list[str], typer.Argument(help="Weights, as control=50 treatment=50.")],
    config: Annotated[Path, typer.Option(help="The service's TOML file.", exists=True, dir_okay=False)],
    pid: Annotated[int | None, typer.Option(help="Tell this running service to read it again.")] = None,
    json: Json = False,
) -> None:
    """Set the weights of the `towers` experiment in a configuration file, and tell a service to read it.

    Example: `mrse vespa switch control=90 treatment=10 --config mrse.toml --pid 4711`
    """
    import os
    import signal

    from service.settings.weights import set_weights

    weights: dict[str, float] = {}
    for arm in arms:
        name, _, weight = arm.partition("=")
        try:
            weights[name] = float(weight)
        except ValueError:
            fail(f"weights are given as name=number, not {arm!r}", USAGE)
    set_weights(config, "towers", weights)
    if pid is not None:
        os.kill(pid, signal.SIGHUP)
    print_json({"config": str(config), "weights": weights}) if json else out.print(f"{config}: {weights}")


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
    from service.index.vespa.package import drop_version

    known = _versions(package)
    named = [v.document_type for v in known if version in (v.document_type, v.bundle_version)]
    if not named:
        fail(
            f"{package} has no version {version!r}; it has {', '.join(v.document_type for v in known)}", USAGE
        )
    application = drop_version(package, named[0], datetime.datetime.now(datetime.UTC).date(), _layout(layout))
    _refuse_problems(application)
    left = _versions(package)[0]
    settings = _settings(left, config_server, ca, certificate, key, token, config_servers=config_server)
    deployment = _deploy(settings, application, within)
    print_json({"dropped": named[0], **asdict(deployment)}) if json else out.print(f"dropped {named[0]}")


def _layout(file: Path | None) -> Layout | None:
    """The layout of a file; None leaves the package's own, or the development layout for a new one."""
    from service.index.vespa.package import Layout

    return None if file is None else Layout.read(file)


def _versions(package: Path) -> list[Version]:
    from service.index.vespa.package import read_versions

    versions = read_versions(package)
    if not versions:
        fail(f"{package} holds no version; `mrse vespa add-version` adds one", USAGE)
    return versions


def _version(package: Path, source: EmbeddingsSource) -> Version:
    versions = {version.bundle_version: version for version in _versions(package)}
    if source.bundle_version not in versions:
        fail(f"{package} has no version of bundle {source.bundle_version}; add it and deploy first", USAGE)
    return versions[source.bundle_version]


def _settings(
    version: Version,
    endpoints: list[str],
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    token: str | None,
    config_servers: list[str] | None = None,
) -> VespaSettings:
    from service.index.vespa.settings import TlsSettings, VespaSettings

    try:
        return VespaSettings(
            endpoints=tuple(endpoints),
            bundle_version=version.bundle_version,
            attributes=version.attributes,
            dimension=version.dimension,
            config_servers=tuple(config_servers or ()),
            tls=TlsSettings(ca=ca, certificate=certificate, key=key),
            token=token,
        )
    except ValueError as error:
        fail(str(error), USAGE)


def _deploy(settings: VespaSettings, application: Path, within: float) -> Any:
    from service.deadline import Deadline
    from service.index.vespa.feed.deploy import DeployRefused, NotConverged
    from service.index.vespa.feed.deploy import deploy as send

    try:
        return asyncio.run(send(settings, application, Deadline.after(within)))
    except (DeployRefused, NotConverged) as error:
        fail(str(error))


def _refuse_problems(application: Path) -> None:
    from service.index.vespa.package import check_package

    problems = check_package(application)
    for problem in problems:
        err.print(str(problem), highlight=False)
    if problems:
        fail(f"{application}: {len(problems)} problems that Vespa would let pass")
