"""``mrse index build``: the embedded index of an embeddings folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import Json, for_stage, out, print_json, progress


def register(app: typer.Typer) -> None:
    """Add the commands."""
    index = typer.Typer(no_args_is_help=True, help="Build the embedded index.")
    index.command("build")(build)
    app.add_typer(index, name="index")


def build(
    embeddings: Annotated[
        Path, typer.Argument(help="Folder that `mrse embed` wrote.", exists=True, file_okay=False)
    ],
    to: Annotated[Path, typer.Option("--out", help="Index folder to write.")],
    json: Json = False,
) -> None:
    """Build the embedded index: exact search in fp16, with exact filters.

    Example: `mrse index build embeddings/ --out index/`
    """
    from service.index.embedded.build import build_index

    with progress() as report:
        manifest = build_index(embeddings, to, progress=for_stage(report, "index"))
    if json:
        print_json(
            {
                "path": str(to),
                "index_version": manifest.index_version,
                "rows": manifest.rows,
                "kind": manifest.kind,
            }
        )
    else:
        out.print(f"{to}: {manifest.rows:,} items, version {manifest.index_version}")
