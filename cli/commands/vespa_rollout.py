"""``mrse vespa verify`` and ``switch``: measuring a version, moving traffic to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from cli.commands.vespa_queries import logged_queries
from cli.console import Json, counted, err, fail, out, print_json
from cli.options import Embeddings
from cli.vespa_options import (
    Access,
    Endpoint,
    OfVectors,
    Package,
    open_embeddings,
    settings_for,
    with_access,
)
from common.errors import NOT_IN_ORDER, USAGE

#: What to do where other versions of a package know more.
_FEED_AGAIN: Final = "`mrse vespa feed` of the same folder with --fed sends them"
_PUT_AGAIN: Final = "put them again when the service has this version, or embed anew"
#: A share of the traffic that is none: less is how floats add up.
_LEAST_SHARE: Final = 1e-9


@with_access
def verify(
    embeddings: Embeddings,
    package: Package,
    endpoint: Endpoint,
    access: Access,
    least_recall: Annotated[
        float, typer.Option(min=0, max=1, help="Of the graph against exact search.")
    ] = 0.95,
    queries: Annotated[int, typer.Option(min=1, help="Queries to measure with.")] = 200,
    queries_of: Annotated[
        Path | None,
        typer.Option(
            help="Shop folder, or a text file with a query a line: measure with the queries asked most.",
            exists=True,
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle that makes their embeddings.", exists=True, file_okay=False),
    ] = None,
    within: Annotated[
        float, typer.Option(min=0.1, help="Seconds of a query; exact search looks at every item.")
    ] = 10.0,
    vectors: OfVectors = None,
    json: Json = False,
) -> None:
    """Compare what is fed with the folder and the changes since: counts, sampled items, recall, latency.

    Recall is measured without filters and with some that let much, little and very little pass.

    Example: `mrse vespa verify embeddings/ --package vespa-package/ --endpoint http://localhost:8080`
    """
    from index.vespa.client import VespaIndex
    from index.vespa.feed.ledger import Ledger
    from index.vespa.feed.siblings import missing_in
    from index.vespa.feed.source import new_feed_version
    from index.vespa.feed.verify import VerifyReport
    from index.vespa.feed.verify import verify as measure
    from index.vespa.package.verdict import Verdict

    folder = open_embeddings(embeddings)
    settings = settings_for(package, folder, access.to(endpoint), vectors)
    if (queries_of is None) != (bundle is None):
        fail("--queries-of needs --bundle, and --bundle is for these queries", USAGE)
    points = None
    if queries_of is not None and bundle is not None:
        points = logged_queries(queries_of, bundle, folder.meta.bundle_version, queries)

    async def run() -> VerifyReport:
        async with VespaIndex(settings) as index:
            await index.check()
            return await measure(
                index,
                folder,
                ledger,
                queries=queries,
                points=points,
                least_recall=least_recall,
                within=within,
            )

    with Ledger.of(package, settings.version.document_type) as ledger:
        report = asyncio.run(run())
        verdict = Verdict(report.holds, ledger.as_of, report.recall)
    verdict.write(package, settings.version.document_type)
    # A version that no service has yet falls behind all the time, so this is told, and `switch` minds it.
    missing = missing_in(package, settings.version, new_feed_version())
    if missing.changed:
        err.print(f"other versions got changes of {counted(len(missing.changed), 'item')}: {_FEED_AGAIN}")
    if missing.lacking:
        err.print(f"other versions alone got {counted(len(missing.lacking), 'item')} put since: {_PUT_AGAIN}")
    if json:
        behind = {"changed": len(missing.changed), "lacking": len(missing.lacking)}
        print_json({**asdict(report), "holds": report.holds, "behind": behind})
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
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Give traffic to versions that `verify` did not pass.")
    ] = False,
    json: Json = False,
) -> None:
    """Set the weights of the `towers` experiment in a configuration file, and tell a service to read it.

    An arm of Vespa is given a larger share only where `verify` passed its version as it was fed last.

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
    if not unverified:
        _refuse_unverified(config, weights)
    set_weights(config, "towers", weights)
    if pid is not None:
        os.kill(pid, signal.SIGHUP)
    print_json({"config": str(config), "weights": weights}) if json else out.print(f"{config}: {weights}")


def _refuse_unverified(config: Path, weights: dict[str, float]) -> None:
    """Fail where an arm is given more traffic and its version has no good verdict, or one of another feed.

    What it gains by what another one loses, with its own weight as it was, is not asked about: the way back.
    """
    from index.vespa.feed.ledger import Ledger
    from index.vespa.feed.siblings import missing_in
    from index.vespa.feed.source import new_feed_version
    from index.vespa.package.verdict import Verdict
    from index.vespa.version import Version
    from service.settings.load import load_settings

    settings = load_settings(config)
    arms = settings.experiments.get("towers", {})
    if settings.index.engine != "vespa":
        return
    before = {name: arm.weight for name, arm in arms.items()}
    after = before | {name: weight for name, weight in weights.items() if name in arms}
    for name in after:
        if after[name] <= before[name] or _share(name, after) <= _share(name, before) + _LEAST_SHARE:
            continue
        path = arms[name].index or settings.index.path
        if path is None:
            continue
        version = Version.read(path)
        package, document_type = path.parent.parent, version.document_type
        as_of = Ledger.as_of_in(package, document_type)
        verdict = Verdict.read(package, document_type)
        said = "was not verified" if verdict is None else "did not pass" if not verdict.holds else None
        if verdict is not None and said is None and verdict.as_of != as_of:
            said = "was fed again since it was verified"
        if said is None:
            missing = missing_in(package, version, new_feed_version())
            if missing.changed:
                items = counted(len(missing.changed), "item")
                fail(
                    f"{name}: other versions got changes of {items} that {document_type} was not told: "
                    f"{_FEED_AGAIN}, or say --unverified"
                )
            if missing.lacking:
                items = counted(len(missing.lacking), "item")
                err.print(f"{name}: other versions alone got {items} put since: {_PUT_AGAIN}")
        if said is not None:
            fail(f"{name}: {document_type} {said}; run `mrse vespa verify` first, or say --unverified")


def _share(name: str, weights: Mapping[str, float]) -> float:
    """An arm's share of the traffic."""
    total = sum(weights.values())
    return weights[name] / total if total else 0.0
