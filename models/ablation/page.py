"""The matrix as one HTML page: claims, table, differences drawn, sweeps and losses as curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from models.ablation.matrix import FULL, SWEEPS, value_of
from models.ablation.outcome import SHOWN, CellSummary, Checked
from models.ablation.runs import curve, folder_of
from models.evaluation.html import Bar, cell, curves, intervals, page, table, text
from models.evaluation.statistics import UNKNOWN, Interval
from models.towers import Config

_DRAWN = ("Recall@100", "Rele@100_p")
#: Runs whose losses are drawn beside each other.
_LOSSES = (FULL, "mnsce only", "hnst only", "single transformer")


def write_page(
    out: Path,
    base: Config,
    summaries: Sequence[CellSummary],
    claims: Sequence[Checked],
    split: str,
    seeds: Sequence[int],
) -> str:
    """The HTML; it needs nothing beside it."""
    parts = [
        *_claims(claims, len(seeds)),
        *_table(summaries),
        *_drawn(summaries),
        *_sweeps(base, summaries),
        *_curves(out, summaries, seeds[0]),
    ]
    return page(f"Ablation, preset {base.preset}, {split} split", parts)


def _claims(claims: Sequence[Checked], seeds: int) -> Iterator[str]:
    yield (
        f"<p>{seeds} seeds. Every interval is the 95% of a bootstrap over seeds and queries. A claim "
        "holds where that of the difference lies above 0 and the difference is as large as claimed.</p>"
    )
    rows = [
        [
            text(c.claim.says),
            text(f"{c.claim.slice}, {c.claim.measure}" + (", relative" if c.claim.relative else "")),
            cell(c.gap),
            f"<b>{text(c.held)}</b>",
        ]
        for c in claims
    ]
    yield f"<h2>Claims</h2>{table(['claim', 'measured', 'full less the other', ''], rows)}"


def _table(summaries: Sequence[CellSummary]) -> Iterator[str]:
    rows = []
    for s in summaries:
        known = [cell(s.values.get(("all", m), UNKNOWN)) for m in SHOWN]
        seconds = "–" if s.seconds != s.seconds else f"{s.seconds:,.0f}"
        note = text("; ".join(s.failed))
        rows.append([text(s.cell.name), str(len(s.seeds)), *known, seconds, f"{s.parameters:,}", note])
    head = ["cell", "seeds", *SHOWN, "seconds", "parameters", ""]
    yield f"<h2>All that ask for something</h2>{table(head, rows)}"
    yield '<p class="note">Seconds: stages 1 and 2 on the machine that ran them.</p>'


def _drawn(summaries: Sequence[CellSummary]) -> Iterator[str]:
    for measure in _DRAWN:
        key = ("all", measure)
        bars = [Bar(s.cell.name, s.gaps[key]) for s in summaries if key in s.gaps]
        if bars:
            yield f"<h2>{measure}: the full model less each cell</h2>{intervals(bars, zero=True)}"


def _sweeps(base: Config, summaries: Sequence[CellSummary]) -> Iterator[str]:
    by_name = {s.cell.name: s for s in summaries}
    full = by_name.get(FULL)
    drawn = [(s.group, s.label, value_of(base, s.key)) for s in SWEEPS] + [
        ("growth", "share of the catalogue", 1.0)
    ]
    for group, label, usual in drawn:
        found = [s for s in summaries if s.cell.group == group]
        if not found:
            continue
        lines: dict[str, list[tuple[float, Interval]]] = {}
        for measure in _DRAWN:
            key = ("all", measure)
            points = [(s.cell.x, s.values[key]) for s in found if s.cell.x is not None and key in s.values]
            if full is not None and key in full.values:
                points.append((usual, full.values[key]))
            lines[measure] = points
        yield f"<h2>{text(label.capitalize())}</h2>{curves(lines, label, 'all')}"


def _curves(out: Path, summaries: Sequence[CellSummary], seed: int) -> Iterator[str]:
    for stage, column in (("stage1", "loss"), ("stage2", "mnsce")):
        lines: dict[str, list[tuple[float, Interval]]] = {}
        for s in summaries:
            if s.cell.name in _LOSSES:
                points = curve(folder_of(out, s.cell, seed), stage, column)
                lines[s.cell.name] = [(x, Interval(y, float("nan"), float("nan"))) for x, y in points]
        if any(lines.values()):
            yield f"<h2>{column} of {stage}, seed {seed}</h2>{curves(lines, 'step', column)}"
