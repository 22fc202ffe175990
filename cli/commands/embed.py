"""``mrse embed``: item features and embeddings of a catalogue."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Json, counted, err, next_command, out, print_json, progress
from cli.options import BundleFolder, Device, ShopFolder
from common.hints import absent


class Behaviours(Enum):
    """Values of ``--behaviours``."""

    TRAIN = "train"
    ALL = "all"


def embed(
    data: ShopFolder,
    bundle: BundleFolder,
    to: Annotated[Path, typer.Option("--out", help="Embeddings folder to write.", file_okay=False)],
    device: Device = "cpu",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads of the graphs and the picture decoder; all cores if left out."),
    ] = None,
    behaviours: Annotated[
        Behaviours,
        typer.Option(
            help="Whose co-clicks go into the vectors: of the train split, as evaluation needs it, or all of "
            "them, for serving."
        ),
    ] = Behaviours.TRAIN,
    half_life_days: Annotated[
        float,
        typer.Option(
            "--half-life-days",
            min=0,
            help="Items get the attribute `popularity`: behaviours, each worth half after so many days. "
            "0: none.",
        ),
    ] = 30.0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the embeddings of another bundle that are there.")
    ] = False,
    photos: Annotated[
        int,
        typer.Option(
            "--clicked-photos",
            min=0,
            help="From so many photo searches on that led to an item, its picture feature is the mean of its "
            "own picture's, which counts for a fifth at least, and of theirs. 0: its own alone.",
        ),
    ] = 0,
    json: Json = False,
) -> None:
    """Run the item tower over a catalogue. Resumes after a kill; needs no torch.

    Refuses with exit code 1 where the folder holds the embeddings of another bundle.

    Example: `mrse embed shop/ --bundle bundles/demo-1a2b3c4d --out embeddings/`
    """
    from artifacts.bundle import Bundle
    from artifacts.shop.shop import Shop
    from models.embed import embed_shop

    with progress() as report:
        summary = embed_shop(
            Shop.open(data),
            Bundle.load(bundle),
            to,
            device=device,
            threads=threads,
            behaviours=behaviours.value,
            half_life_days=half_life_days,
            replace=force,
            photos=photos,
            progress=report,
        )
    if json:
        print_json({"path": str(to), **asdict(summary)})
    else:
        out.print(f"{to}: {counted(summary.rows, 'item')} with bundle {summary.bundle_version}")
        if summary.resumed_from:
            err.print(f"went on after {counted(summary.resumed_from, 'item')} of an earlier run")
        next_command(f"mrse index build {to} --out {_index_beside(to)}")


def _index_beside(embeddings: Path) -> Path:
    """``index`` for ``embeddings``, ``corner-index`` for ``corner-embeddings``.

    ``shop-index`` where ``index`` is something else, as in a checkout of this code.
    """
    name = embeddings.name
    found = (
        embeddings.with_name(name.replace("embeddings", "index")) if "embeddings" in name else Path("index")
    )
    return found.with_name(f"shop-{found.name}") if found.exists() and absent("index", found) else found
