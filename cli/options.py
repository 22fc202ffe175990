"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import fail
from common.errors import USAGE

ShopFolder = Annotated[Path, typer.Argument(help="Shop folder.", exists=True, file_okay=False)]
BundleFolder = Annotated[Path, typer.Option("--bundle", help="Bundle folder.", exists=True, file_okay=False)]
Embeddings = Annotated[
    Path, typer.Argument(help="Folder that `mrse embed` wrote.", exists=True, file_okay=False)
]
MaybeEmbeddings = Annotated[
    Path | None,
    typer.Argument(
        help="Folder that `mrse embed` wrote. Changes go to every version of the package without it.",
        exists=True,
        file_okay=False,
    ),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a config value, as in image.epochs=40.")
]


def overrides(pairs: list[str] | None) -> dict[str, str]:
    """The ``name=value`` pairs of ``--set``."""
    if bad := [pair for pair in pairs or [] if "=" not in pair]:
        fail(f"--set takes name=value, not {bad[0]!r}", USAGE)
    return dict(pair.partition("=")[::2] for pair in pairs or [])
