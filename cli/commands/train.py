"""``mrse train`` and ``mrse export``: from a shop to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import Json, out, print_json, progress, warnings_of
from cli.options import Overrides, ShopFolder, overrides


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
    config = base.with_overrides(overrides(settings))
    with ranks.joined(device) as own, progress() as report, warnings_of("mrse.training"):
        summary = run(data, to, config, progress=report, resume=not fresh, device=own)
        if not ranks.leads():
            return
    print_json(summary.as_dict()) if json else out.print(f"{to}: {summary}")


def export(
    run: Annotated[Path, typer.Argument(help="Run folder of `mrse train`.", exists=True, file_okay=False)],
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

    path = write(run, to, name=name)
    manifest = Bundle.load(path).manifest
    if json:
        print_json({"path": str(path), "version": manifest.version, "parity": manifest.parity})
        return
    out.print(f"{path}")
    for figure, value in manifest.parity.items():
        out.print(f"  {figure}: {value:.3g}" if value < 0.1 else f"  {figure}: {value:.6f}")
    if "int8" not in manifest.graphs["query_experts"]:
        out.print("  no int8: it would fall below a cosine of 0.999 to fp32")
