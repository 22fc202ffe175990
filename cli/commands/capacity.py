"""``mrse capacity``: what a shop of some size needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import Json, fail, out, print_json, progress
from common.errors import USAGE
from common.files import replace_text

if TYPE_CHECKING:
    from cli.capacity.model import Capacity


def capacity(
    items: Annotated[float, typer.Option(min=1, help="Items of the catalogue, as 1e6.")] = 1e6,
    qps: Annotated[float, typer.Option(min=0, help="Recalls a second at the peak.")] = 100.0,
    hit_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the recalls whose query was asked before.")
    ] = 0.6,
    history: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the recalls that come with a history.")
    ] = 0.3,
    users: Annotated[float, typer.Option(min=0, help="Users whose portraits Redis holds.")] = 0.0,
    queries: Annotated[float, typer.Option(min=0, help="Encoded queries that Redis holds.")] = 100_000.0,
    cores: Annotated[int, typer.Option(min=1, help="Cores of a machine.")] = 8,
    memory_gb: Annotated[float, typer.Option(min=0.1, help="Memory of a machine.")] = 32.0,
    busy: Annotated[
        float, typer.Option(min=0.05, max=1, help="Share of the cores that is used at the peak.")
    ] = 0.5,
    constants: Annotated[
        Path | None,
        typer.Option(help="What --measure wrote; without it what comes along.", exists=True, dir_okay=False),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure the constants on this machine instead.")
    ] = False,
    bundle: Annotated[
        Path | None, typer.Option(help="To measure: the bundle.", exists=True, file_okay=False)
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="To measure: its embedded index.", exists=True, file_okay=False)
    ] = None,
    requests: Annotated[int, typer.Option(min=50, help="To measure: recalls of each kind.")] = 1000,
    to: Annotated[
        Path | None, typer.Option("--out", help="To measure: the file of constants.", dir_okay=False)
    ] = None,
    json: Json = False,
) -> None:
    """Reckon machines, memory, disk, Redis and Vespa nodes from items and queries a second.

    The constants were measured on one machine; measure them on yours, with your bundle and index.

    Example: `mrse capacity --items 1e8 --qps 500 --hit-ratio 0.6 --cores 16 --memory-gb 128`
    """
    from cli.capacity.constants import read_constants
    from cli.capacity.model import Load, reckon

    if measure:
        if bundle is None or index is None or to is None:
            fail("--measure needs --bundle, --index and --out", USAGE)
        _measure(bundle, index, requests, to, json)
        return
    if bundle is not None or index is not None or to is not None:
        fail("--bundle, --index and --out are for --measure", USAGE)
    known = read_constants(constants)
    load = Load(items, qps, hit_ratio, history, users, queries, cores, memory_gb, busy)
    found = reckon(load, known)
    if json:
        print_json(found.as_dict() | {"measured_on": known.machine.model_dump()})
        return
    _show(found)
    machine = known.machine
    out.print(f"by constants of {machine.measured}: {machine.cpu}, {machine.cores} cores", style="dim")


def _measure(bundle: Path, index: Path, requests: int, to: Path, json: bool) -> None:
    from cli.capacity.measure import measure

    with progress() as tell:
        found = measure(bundle, index, requests, tell)
    replace_text(to, found.model_dump_json(indent=1) + "\n")
    if json:
        print_json(found.model_dump(mode="json"))
        return
    table = Table("constant", "measured")
    for name, value in found.measured:
        table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    out.print(table)
    out.print(f"{to}: use it with --constants {to}")
    if found.measured.items < found.assumed.cluster_rows:
        out.print(
            f"the index has fewer than {found.assumed.cluster_rows:,} items, and is searched whole: what a "
            "search in a larger one costs is only guessed from that"
        )


def _show(found: Capacity) -> None:
    load = found.load
    title = f"{load.items:,.0f} items, {load.qps:,.0f} recalls/s; "
    title += f"machines of {load.cores} cores, {load.memory_gb:g} GB"
    table = Table("", "embedded index", "Vespa", title=title)
    own, remote = found.embedded, found.vespa
    fits = "it does not fit" if own.replicas is None else f"{own.replicas:,}"
    for name, one, other in (
        ("CPU of a recall in the service", f"{own.cpu_ms:.2f} ms", f"{remote.cpu_ms:.2f} ms"),
        ("machines of the service", fits, f"{remote.replicas:,}"),
        ("memory of each", f"{own.memory_gb:,.1f} GB", "as its workers"),
        ("index, on disk and in memory", f"{own.index_gb:,.2f} GB", f"{remote.memory_gb:,.1f} GB a copy"),
        ("disk of each, with old releases", f"{own.disk_gb:,.1f} GB", "about 3 x the memory"),
        ("content nodes", "", f"{remote.groups} groups of {remote.nodes}"),
        ("query containers", "", f"{remote.containers:,}"),
        ("Redis", f"{found.redis_gb:,.2f} GB", f"{found.redis_gb + found.redis_items_gb:,.2f} GB"),
        ("to embed all, on one machine", f"{found.embed_hours:,.1f} h", f"{found.embed_hours:,.1f} h"),
    ):
        table.add_row(name, one, other)
    out.print(table)
    out.print(f"advised: {'the embedded index' if found.engine == 'embedded' else 'Vespa'}")
