"""``mrse evaluate`` and ``mrse diagnose``: a bundle's figures, and what is wrong with it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.console import Json, check_writable, fail, figures, out, print_json, progress
from cli.options import BundleFolder, ShopFolder, folder_of, or_file
from common.errors import USAGE
from common.files import replace_text

if TYPE_CHECKING:
    from models.evaluation import Evaluation
    from models.evaluation.statistics import Interval


def evaluate(
    data: ShopFolder,
    bundle: BundleFolder,
    split: Annotated[str, typer.Option(help="Which held-out events: val or test.")] = "val",
    slices: Annotated[bool, typer.Option("--slices", help="Show every slice.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only requests of this kind: text, photo, text+photo or browse."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Another bundle: paired permutation test.", exists=True, file_okay=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML page with plots, hits and misses.", dir_okay=False)
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="A run with a teacher (`mrse train --teacher`), which grades.", exists=True, file_okay=False
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(help="URL of a service of this bundle: all its routes beside Q2I alone."),
    ] = None,
    routes: Annotated[
        bool,
        typer.Option("--routes", help="With --service: also without each route, which says its worth."),
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(help="Key of that service.", envvar="MRSE_KEY", callback=or_file("MRSE_KEY")),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="The shop's embeddings by this bundle; made if left out.", exists=True),
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap replicates and permutations.")] = 1000,
    json: Json = False,
) -> None:
    """Measure a bundle on held-out events by slice, beside BM25, popularity and ceilings.

    Each figure has a 95% bootstrap interval by query. The terminal shows some measures and slices, with the
    intervals of the bundle; --json and --report have all.

    Example: `mrse evaluate shop/ --bundle bundles/acme-1a2b3c4d --split val --report report.html`
    """
    check_split(split)
    from artifacts.shop.shop import Shop
    from models.evaluation import evaluate as measure
    from models.evaluation.evaluate import Service
    from models.evaluation.heldout import KINDS
    from models.evaluation.measures import shown
    from models.evaluation.report_page import write_page
    from models.evaluation.slices import USUAL

    if report is not None:
        check_writable(report)
    if unknown := [kind for kind in only or () if kind not in KINDS]:
        fail(f"--only takes {', '.join(KINDS)}, not {unknown[0]!r}", USAGE)
    if routes and service is None:
        fail("--routes takes --service, whose routes it leaves out", USAGE)
    if service is not None and not service.startswith(("http://", "https://")):
        fail(f"--service takes an address as http://127.0.0.1:8080, not {service!r}", USAGE)
    with progress() as tell:
        result = measure(
            bundle, data, split=split, embeddings=embeddings, kinds=only or None, against=against,
            teacher=teacher,
            service=None if service is None else Service(service, key, routes), resamples=resamples,
            progress=tell,
        )  # fmt: skip
    if report is not None:
        replace_text(report, write_page(result, Shop.open(data)))
    if json:
        print_json(result.as_dict())
        return
    chosen = list(result.masks) if slices else [name for name in USUAL if name in result.masks]
    _table(result, chosen, shown())
    if against is not None:
        ours, other = result.systems[0], next(s for s in result.systems[1:] if s != "without history")
        _comparison(result, chosen, shown(), ours, other, f"{ours} less the other bundle")
    if service is not None:
        _service(result, chosen, shown())
    if report is not None:
        out.print(f"report: {report}")


def check_split(split: str) -> None:
    """End the command unless there is such a split."""
    if split not in ("val", "test"):
        fail(f"--split takes val or test, not {split!r}", USAGE)


def _table(result: Evaluation, slices: list[str], measures: list[str]) -> None:
    """A block of rows for each slice, whole at 80 characters; a measure that nothing has is left out."""
    rows = [row for row in result.rows if row.slice in slices]
    known = [m for m in measures if any(not math.isnan(row.figures[m].value) for row in rows)]
    table = figures(f"{result.shop}, {result.split} split: requests by slice, ± half of 95%", ("",), known)
    for name in slices:
        block = [row for row in rows if row.slice == name]
        if not block:
            continue
        most = max(row.requests for row in block)
        table.add_section()
        table.add_row(Text(f"{name}: {most:,}", style="bold", overflow="fold"))
        above = ""
        for row in block:
            system = row.system.removeprefix(f"{above}, ")
            shown = f"  + {system}" if system != row.system else system
            fewer = "" if row.requests == most else f" ({row.requests:,})"
            own = row.system == result.systems[0]
            table.add_row(shown + fewer, *(_cell(row.figures[m], interval=own) for m in known))
            above = row.system
    out.print(table)


def _cell(figure: Interval, *, interval: bool) -> Text:
    """A figure, and below it half its interval where that is wanted."""
    if math.isnan(figure.value):
        return Text()
    half = f"{(figure.high - figure.low) / 2:.3f}".removeprefix("0")
    return Text.assemble(f"{figure.value:.3f}", (f"\n±{half}", "dim") if interval else "")


def _service(result: Evaluation, slices: list[str], measures: list[str]) -> None:
    """The whole service less the baselines, and less itself without each route."""
    from models.evaluation.service import SERVICE

    for other in dict.fromkeys(c.against for c in result.comparisons if c.system == SERVICE):
        rest = other.removeprefix(SERVICE)
        title = f"the whole service less {other if rest == other else f'itself{rest}'}"
        _comparison(result, slices, measures, SERVICE, other, title)


def _comparison(
    result: Evaluation, slices: list[str], measures: list[str], system: str, other: str, title: str
) -> None:
    table = Table("slice", "measure", "difference", "95%", "p", title=f"{title}; p by paired permutation")
    for c in result.comparisons:
        if (c.system, c.against) == (system, other) and c.slice in slices and c.measure in measures:
            bounds = f"{c.gap.low:+.3f} to {c.gap.high:+.3f}"
            table.add_row(c.slice, c.measure, f"{c.gap.value:+.3f}", bounds, f"{c.p:.4f}")
    out.print(table)


def diagnose(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.", callback=folder_of("bundle"))],
    data: ShopFolder,
    run: Annotated[
        Path | None,
        typer.Option(help="The training run, for its loss curves.", exists=True, file_okay=False),
    ] = None,
    split: Annotated[str, typer.Option(help="Which held-out events: val or test.")] = "val",
    sample: Annotated[int, typer.Option(min=50, help="Held-out requests that are looked at.")] = 2000,
    json: Json = False,
) -> None:
    """Look for the signatures of failure: idle experts, thin history, collapse, false negatives, parity.

    Ends with 1 where something is broken.

    Example: `mrse diagnose bundles/acme-1a2b3c4d shop/ --run run/`
    """
    check_split(split)
    from models.evaluation.diagnose import diagnose as look

    with progress() as tell:
        findings = look(bundle, data, split=split, sample=sample, run=run, progress=tell)
    broken = any(f.verdict == "broken" for f in findings)
    if json:
        print_json({"findings": [f.as_dict() for f in findings], "broken": broken})
    else:
        colours = {"fine": "green", "watch": "yellow", "broken": "red", "unknown": "dim"}
        for f in findings:
            out.print(
                f"[{colours[f.verdict]}]{f.verdict:>8}[/]  [bold]{f.signature}[/bold]: {f.says}", markup=True
            )
            if f.figures:
                out.print("          " + ", ".join(f"{n} {v:.3g}" for n, v in f.figures.items()), style="dim")
            if f.remedy:
                out.print(f"          try: {f.remedy}")
    if broken:
        raise typer.Exit(1)
