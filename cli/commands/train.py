"""``mrse train`` and ``mrse export``: from a shop to a bundle."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Json, lines_of, next_command, out, print_json, progress, stoppable
from cli.options import Overrides, ShopFolder, folder_of, overrides


def train(
    data: ShopFolder,
    to: Annotated[
        Path, typer.Option("--out", help="Run folder: checkpoints, curves, configuration.", file_okay=False)
    ],
    preset: Annotated[
        str,
        typer.Option(
            help="tiny (seconds), demo (from scratch), text (no pictures), pretrained-text (few clicks), "
            "pretrained-image (photos), paper (GPUs)."
        ),
    ] = "demo",
    settings: Overrides = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda or cuda:1; under torchrun cuda is one each.")
    ] = "cpu",
    teacher: Annotated[
        bool,
        typer.Option("--teacher", help="Train a relevance teacher too, which filters hard negatives."),
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew instead of resuming.")] = False,
    json: Json = False,
) -> None:
    """Train the towers in two stages. Resumes after a kill; needs the train extra.

    Ctrl-C saves the step and stops; the same command goes on from there. All cores train, unless --set
    threads=N says otherwise; a run that is resumed keeps the number that it began with.

    With several GPUs: `torchrun --nproc-per-node 8 --no-python mrse train shop/ --out run/ --device cuda`; a
    configured batch is then each process's share.

    Example: `mrse train shop/ --out run/ --preset demo --set image.epochs=40`
    """
    from models.towers.presets import TEACHER
    from models.towers.presets import preset as load_preset
    from models.training import ranks
    from models.training import train as run

    base = load_preset(preset)
    if teacher:
        base = base.with_overrides(TEACHER)
    given = overrides(settings)
    config = base.with_overrides({"threads": _threads(to, fresh=fresh), **given})
    with (
        ranks.joined(device) as own,
        progress() as report,
        lines_of("mrse.training"),
        # Each of several processes would stop at a step of its own.
        stoppable("step") if ranks.count() == 1 else nullcontext(lambda: False) as stopping,
    ):
        summary = run(data, to, config, progress=report, resume=not fresh, device=own, stopping=stopping)
        if not ranks.leads():
            return
    if json:
        print_json(summary.as_dict())
        return
    out.print(f"{to}: {summary}", soft_wrap=True)
    for name, value in summary.val.items():
        out.print(f"{name.capitalize()} on val: {value:.3f}; curves.png in {to} shows how it went")
    name = re.sub(r"[^a-z0-9_.]+", "", data.resolve().name.lower()).lstrip("_.") or "acme"
    next_command(f"mrse export {to} --out bundles --name {name[:48]}")


def _threads(to: Path, *, fresh: bool) -> int:
    """Threads of torch: those of the run that is resumed, else all cores; 1 where several processes train."""
    from json import loads

    from common.cores import usable_cores
    from models.training.finished import CONFIG

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return 1
    file = to / CONFIG
    if fresh or not file.is_file():
        return usable_cores()
    try:
        return int(loads(file.read_text())["config"]["threads"])
    except (ValueError, KeyError, TypeError):
        return usable_cores()  # what is wrong with the file is said by who reads it


def export(
    run: Annotated[Path, typer.Argument(help="Run folder of `mrse train`.", callback=folder_of("run"))],
    to: Annotated[
        Path,
        typer.Option("--out", help="Folder of bundles; the bundle goes to a folder in it.", file_okay=False),
    ],
    name: Annotated[str, typer.Option(help="Bundle name; the version adds a checksum to it.")] = "demo",
    json: Json = False,
) -> None:
    """Export a trained run as a bundle: ONNX graphs, int8 variant, canonical outputs, manifest.

    Refuses when the graphs differ from torch by more than 1e-5; leaves int8 out where its cosine to fp32
    falls below 0.999.

    Example: `mrse export run/ --out bundles/ --name acme`
    """
    from artifacts.bundle import Bundle
    from models.export.bundle import export as write

    with progress() as report:
        path = write(run, to, name=name, progress=report)
    manifest = Bundle.load(path).manifest
    if json:
        print_json({"path": str(path), "version": manifest.version, "parity": manifest.parity})
        return
    out.print(f"{path}")
    for figure, value in manifest.parity.items():
        out.print(f"  {figure}: {value:.3g}" if value < 0.1 else f"  {figure}: {value:.6f}")
    if "int8" not in manifest.graphs["query_experts"]:
        out.print("  no int8: it would fall below a cosine of 0.999 to fp32")
    next_command(f"mrse evaluate SHOP --bundle {path}, mrse embed SHOP --bundle {path} --out embeddings")
