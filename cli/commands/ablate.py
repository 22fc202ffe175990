"""``mrse ablate``: which parts of the model earn their place on a shop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.evaluate import check_split
from cli.console import Json, figures, out, print_json, progress
from cli.options import Device, Overrides, ShopFolder, overrides

if TYPE_CHECKING:
    from models.ablation import Ablation

_SHOWN = ("Recall@100", "Rele@10_p", "Rele@100_p", "nDCG@10")


def ablate(
    data: ShopFolder,
    to: Annotated[
        Path, typer.Option("--out", help="Folder of the runs, the table and the page.", file_okay=False)
    ],
    preset: Annotated[str, typer.Option(help="The full model; `mrse train --help` names them.")] = "demo",
    settings: Overrides = None,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds of each cell.")] = 3,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A group of the matrix, or one cell of it; 'taste' and 'picture only' draw shops anew."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Which held-out events: val or test.")] = "test",
    device: Device = "cpu",
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side, a process each.")] = 1,
    plan: Annotated[bool, typer.Option("--plan", help="List the cells and stop.")] = False,
    json: Json = False,
) -> None:
    """Train the full model and every variant of it, and say which claims of the paper hold here.

    Resumes: a killed run goes on where it stopped, a finished one is skipped. Needs the train extra.

    Example: `mrse ablate shop/ --out ablation/ --preset demo --seeds 3 --only parts --only loss`
    """
    from models.ablation import ablate as run
    from models.ablation import cells
    from models.towers.presets import preset as load_preset

    check_split(split)
    base = load_preset(preset).with_overrides(overrides(settings))
    matrix = cells(base, only)
    if plan:
        if json:
            print_json({"cells": [vars(cell) for cell in matrix], "runs": len(matrix) * seeds})
            return
        for cell in matrix:
            changes = ", ".join(f"{key}={value}" for key, value in cell.overrides.items())
            part = "" if cell.part == 1 else f"{cell.part:.0%} of the catalogue"
            dials = "".join(f"a shop of {dial} {value:g}; " for dial, value in cell.dials.items())
            out.print(f"{cell.group:<14} {cell.name:<20} {dials}{changes or part}")
        out.print(f"{len(matrix)} cells x {seeds} seeds = {len(matrix) * seeds} runs")
        return
    chosen = tuple(base.seed + place for place in range(seeds))
    with progress() as tell:
        found = run(
            data, to, base, seeds=chosen, groups=only, split=split, device=device, processes=jobs,
            progress=tell,
        )  # fmt: skip
    print_json(found.as_dict()) if json else _show(found, split)


def _show(found: Ablation, split: str) -> None:
    table = figures(f"all requests, {split} split", ("cell", "seeds"), _SHOWN, "full less it")
    for s in found.cells:
        values = [s.values.get(("all", m)) for m in _SHOWN]
        cells = ["" if v is None or v.value != v.value else f"{v.value:.3f}" for v in values]
        gap = s.gaps.get(("all", "Recall@100"))
        bounds = "" if gap is None else f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
        table.add_row(s.cell.name, str(len(s.seeds)), *cells, "; ".join(s.failed) or bounds)
    out.print(table)
    for c in found.claims:
        if c.held != "unknown":
            bounds = f"{c.gap.value:+.3f} ({c.gap.low:+.3f} to {c.gap.high:+.3f})"
            out.print(f"{c.held:>10}  {c.claim.says}: {c.claim.slice}, {c.claim.measure} {bounds}")
    out.print(f"{found.ran} runs done, {found.skipped} were there; {found.page}")
