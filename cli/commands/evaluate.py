"""``mrse evaluate`` and ``mrse diagnose``: a bundle's figures, and what is wrong with it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import Json, fail, figures, out, print_json, progress
from cli.extras import how_to_get

if TYPE_CHECKING:
    from models.evaluation import Report
    from models.evaluation.full_report import Evaluated

#: Columns of the table by slice; the report and ``--json`` have all.
_SHOWN = ("Recall@10", "Recall@100", "Recall@500", "Rele@10_p", "Rele@10_p_w", "nDCG@10", "MRR", "Taste@10")
#: Measures that two systems are compared by in the terminal.
_COMPARED = ("Recall@100", "Rele@10_p", "nDCG@10", "Taste@10")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(evaluate)
    app.command()(diagnose)


def evaluate(
    data: Annotated[Path, typer.Argument(help="Shop folder.", exists=True, file_okay=False)],
    bundle: Annotated[Path, typer.Option(help="Bundle folder.", exists=True, file_okay=False)],
    split: Annotated[str, typer.Option(help="Which held-out events: val or test.")] = "val",
    slices: Annotated[bool, typer.Option("--slices", help="Every slice, with 95% intervals.")] = False,
    against: Annotated[
        Path | None,
        typer.Option(help="Another bundle: paired permutation test.", exists=True, file_okay=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML page with plots, hits and misses.", dir_okay=False)
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="The shop's embeddings by this bundle; made if left out.", exists=True),
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap replicates and permutations.")] = 1000,
    json: Json = False,
) -> None:
    """Measure a bundle on held-out events, by kind of query, beside BM25 for text.

    With --slices, --against or --report every slice is measured, with 95% bootstrap intervals by query.

    Example: `mrse evaluate shop/ --bundle bundles/acme-1a2b3c4d --split val --report report.html`
    """
    if split not in ("val", "test"):
        fail(f"--split takes val or test, not {split!r}", 2)
    if find_spec("bm25s") is None:
        fail(f"BM25 is measured too, and needs bm25s; `{how_to_get('train')}` installs it")
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)  # now: measuring takes minutes
    if slices or against is not None or report is not None:
        _full(data, bundle, split, slices, against, report, embeddings, resamples, json)
        return
    from models.evaluation import evaluate as measure

    with progress() as tell:
        result = measure(bundle, data, split=split, embeddings=embeddings, progress=tell)
    print_json(result.as_dict()) if json else _small(result, data.name)


def _small(result: Report, name: str) -> None:
    table = figures(f"{name}, {result.split} split", ("queries", "system", "n"), result.columns)
    for row in result.rows:
        values = [row.values[c] for c in result.columns]
        cells = ["" if value != value else f"{value:.3f}" for value in values]
        table.add_row(row.kind, row.system, f"{row.queries:,}", *cells)
    out.print(table)


def _full(
    data: Path,
    bundle: Path,
    split: str,
    slices: bool,
    against: Path | None,
    report: Path | None,
    embeddings: Path | None,
    resamples: int,
    json: bool,
) -> None:
    from artifacts.shop.shop import Shop
    from models.evaluation.full_report import evaluate_full
    from models.evaluation.report_page import write_page

    with progress() as tell:
        result = evaluate_full(
            bundle, data, split=split, embeddings=embeddings, against=against, resamples=resamples,
            progress=tell,
        )  # fmt: skip
    if report is not None:
        report.write_text(write_page(result, Shop.open(data)), encoding="utf-8")
    if json:
        print_json(result.as_dict())
        return
    _table(result, every=slices)
    if against is not None:
        _comparison(result)
    if report is not None:
        out.print(f"report: {report}")


def _table(result: Evaluated, *, every: bool) -> None:
    table = figures(f"{result.shop}, {result.split} split", ("slice", "system", "n"), _SHOWN)
    for name in result.masks if every else list(result.masks)[:1]:
        for system in result.systems:
            if (name, system, "MRR") not in result.figures:
                continue
            found = [result.figures[name, system, m] for m in _SHOWN]
            cells = [
                "" if f.value != f.value else f"{f.value:.3f} [dim]±{(f.high - f.low) / 2:.3f}[/dim]"
                for f in found
            ]
            table.add_row(name, system, f"{result.answered(name, system):,}", *cells)
    out.print(table)


def _comparison(result: Evaluated) -> None:
    title = f"{result.systems[0]} less the other bundle; p by paired permutation"
    table = Table("slice", "measure", "difference", "95%", "p", title=title)
    other = next(s for s in result.systems[1:] if s not in ("without history", "bm25"))
    for c in result.comparisons:
        if c.against == other and c.measure in _COMPARED:
            bounds = f"{c.gap.low:+.3f} to {c.gap.high:+.3f}"
            table.add_row(c.slice, c.measure, f"{c.gap.value:+.3f}", bounds, f"{c.p:.4f}")
    out.print(table)


def diagnose(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.", exists=True, file_okay=False)],
    data: Annotated[Path, typer.Argument(help="Shop folder.", exists=True, file_okay=False)],
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
    from models.evaluation.diagnose import diagnose as look

    with progress() as tell:
        findings = look(bundle, data, split=split, sample=sample, run=run, progress=tell)
    broken = any(f.verdict == "broken" for f in findings)
    if json:
        print_json({"findings": [f.as_dict() for f in findings], "broken": broken})
    else:
        colours = {"fine": "green", "watch": "yellow", "broken": "red", "unknown": "dim"}
        for f in findings:
            out.print(f"[{colours[f.verdict]}]{f.verdict:>8}[/]  [bold]{f.signature}[/bold]: {f.says}")
            if f.figures:
                out.print("          " + ", ".join(f"{n} {v:.3g}" for n, v in f.figures.items()), style="dim")
            if f.remedy:
                out.print(f"          try: {f.remedy}")
    if broken:
        raise typer.Exit(1)
