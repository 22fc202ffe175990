"""The matrix as one HTML page: claims, table, differences drawn, sweeps and losses as curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from models.ablation.matrix import FULL, SHOP_SWEEPS, SWEEPS, config_value
from models.ablation.plan import run_folder
from models.ablation.summary import CellSummary, CheckedClaim
from models.evaluation.html import cell, curves, intervals, note, page, section, table, text
from models.evaluation.losses import read_losses
from models.evaluation.measures import DRAWN, shown
from models.evaluation.statistics import UNKNOWN, Interval
from models.towers import Config

#: Runs whose losses are drawn beside each other.
_LOSSES = (FULL, "mnsce only", "hnst only", "single transformer")
#: Measures that a part's worth is drawn by.
_WORTH = ("Recall@10", "Recall@100", "MRR")


def write_page(
    out: Path,
    base: Config,
    summaries: Sequence[CellSummary],
    claims: Sequence[CheckedClaim],
    split: str,
    seeds: Sequence[int],
) -> str:
    """The HTML; it needs nothing beside it."""
    parts = [
        *_claims(claims, len(seeds)),
        *_table(summaries),
        *_drawn(summaries),
        *_sweeps(base, summaries),
        *_shop_sweeps(summaries),
        *_curves(out, summaries, seeds[0]),
    ]
    return page(f"Ablation, preset {base.preset}, {split} split", parts)


def _claims(claims: Sequence[CheckedClaim], seeds: int) -> Iterator[str]:
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
    yield section("Claims", table(["claim", "measured", "full less the other", ""], rows))


def _table(summaries: Sequence[CellSummary]) -> Iterator[str]:
    rows, measures = [], shown()
    for s in summaries:
        known = [cell(s.values.get(("all", m), UNKNOWN)) for m in measures]
        seconds = "–" if s.seconds is None else f"{s.seconds:,.0f}"
        failed = text("; ".join(s.failed))
        rows.append([text(s.cell.name), str(len(s.seeds)), *known, seconds, f"{s.parameters:,}", failed])
    head = ["cell", "seeds", *measures, "seconds", "parameters", ""]
    yield section("All that ask for something", table(head, rows))
    yield note("Seconds: stages 1 and 2 on the machine that ran them.")


def _drawn(summaries: Sequence[CellSummary]) -> Iterator[str]:
    for measure in DRAWN:
        key = ("all", measure)
        bars = [(s.cell.name, s.gaps[key]) for s in summaries if key in s.gaps]
        if bars:
            yield section(f"{measure}: the full model less each cell", intervals(bars, zero=True))


def _sweeps(base: Config, summaries: Sequence[CellSummary]) -> Iterator[str]:
    full = [s for s in summaries if s.cell.name == FULL]
    drawn = [(s.group, s.label, config_value(base, s.key)) for s in SWEEPS]
    for group, label, usual in [*drawn, ("growth", "share of the catalogue", 1.0)]:
        found = [(s.cell.x, s) for s in summaries if s.cell.group == group and s.cell.x is not None]
        if found:
            found += [(usual, s) for s in full]
            lines = {
                measure: [(x, s.values["all", measure]) for x, s in found if ("all", measure) in s.values]
                for measure in DRAWN
            }
            yield section(label.capitalize(), curves(lines, label, "all"))


def _shop_sweeps(summaries: Sequence[CellSummary]) -> Iterator[str]:
    """How a part's worth depends on what the shop is like: the full model less the cell that lacks it."""
    for sweep in SHOP_SWEEPS:
        found = [(s.cell.x, s) for s in summaries if s.cell.group == sweep.group and s.cell.x is not None]
        if not found:
            continue
        found += [(sweep.usual, s) for s in summaries if s.cell.name == sweep.without]
        lines = {
            measure: sorted(
                ((x, s.gaps[sweep.slice, measure]) for x, s in found if (sweep.slice, measure) in s.gaps),
                key=lambda point: point[0],
            )
            for measure in _WORTH
        }
        title = f"What {sweep.without.removeprefix('no ')} is worth, by the {sweep.label}"
        yield section(title, curves(lines, sweep.label, f"full less {sweep.without}, {sweep.slice}"))
        yield note(f"The shop's own value is {sweep.usual:g}; docs/synthetic.md says what sets it.")


def _curves(out: Path, summaries: Sequence[CellSummary], seed: int) -> Iterator[str]:
    for stage, column in (("stage1", "loss"), ("stage2", "mnsce")):
        lines: dict[str, list[tuple[float, Interval]]] = {}
        for s in summaries:
            if s.cell.name in _LOSSES:
                points = read_losses(run_folder(out, s.cell, seed) / "run", stage, column)
                lines[s.cell.name] = [(x, Interval(y, float("nan"), float("nan"))) for x, y in points]
        if any(lines.values()):
            yield section(f"{column} of {stage}, seed {seed}", curves(lines, "step", column))
