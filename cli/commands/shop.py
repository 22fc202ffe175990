"""``mrse shop make`` and ``mrse import``: where a shop folder comes from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.console import Json, fail, out, print_json, progress
from common.progress import stage_progress


def make(
    path: Annotated[Path, typer.Argument(help="Folder to write.")],
    items: Annotated[int, typer.Option(min=1000, max=1_000_000, help="Items in the catalogue.")] = 4000,
    users: Annotated[
        int | None, typer.Option(min=1, help="Users; a quarter of the items if left out.")
    ] = None,
    events: Annotated[int | None, typer.Option(min=1, help="Events; about ten an item if left out.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    taste: Annotated[
        float, typer.Option(min=0, max=10, help="Times how strongly tastes act; docs/synthetic.md.")
    ] = 1.0,
    picture_only: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of typed queries for what only pictures show; usually 0.35."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace the folder if it is there.")] = False,
    json: Json = False,
) -> None:
    """Make a synthetic shop: pictures, titles, queries, users with tastes, clicks, and a judge.

    Example: `mrse shop make shop/ --items 4000 --seed 7`
    """
    import shutil

    from models.synthetic import Dials, make_shop

    if path.exists() and any(path.iterdir()):
        if not force:
            fail(f"{path} is not empty; --force replaces it", 2)
        shutil.rmtree(path)
    with progress() as report:
        make_shop(
            path,
            items=items,
            users=users,
            events=events,
            seed=seed,
            dials=Dials(taste, picture_only),
            progress=stage_progress(report, "shop"),
        )
    print_json({"path": str(path), "items": items, "seed": seed}) if json else out.print(f"made {path}")


def import_(
    source: Annotated[
        Literal["grocery", "esci", "online-retail", "clothing"],
        typer.Argument(help="Which data set the folder holds."),
    ],
    path: Annotated[Path, typer.Argument(help="The data set's folder.", exists=True, file_okay=False)],
    to: Annotated[Path, typer.Option("--out", help="Shop folder to write.", file_okay=False)],
    json: Json = False,
) -> None:
    """Turn a public data set into a shop folder.

    Example: `mrse import grocery GroceryStoreDataset/ --out grocery-shop/`
    """
    from artifacts.shop import importers

    run = {
        "grocery": importers.import_grocery,
        "esci": importers.import_esci,
        "online-retail": importers.import_online_retail,
        "clothing": importers.import_clothing,
    }[source]
    with progress() as report:
        summary = run(path, to, progress=stage_progress(report, "import"))
    if json:
        print_json({"path": str(to), **asdict(summary)})
        return
    out.print(f"{to}: {summary.items:,} items, {summary.events:,} events, {summary.pictures:,} pictures")
    for reason, count in summary.skipped.items():
        out.print(f"  left out {count:,}: {reason}")
