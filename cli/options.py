"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cli.console import fail, out
from common.errors import USAGE
from common.hints import Artifact, absent
from common.secret_files import secret_variable


def folder_of(artifact: Artifact) -> Callable[[Path | None], Path | None]:
    """A check of a folder that a command reads: what is wrong with it, and which command makes it."""

    def check(path: Path | None) -> Path | None:
        # What is damaged inside is said, as exactly as it is known, by who reads it.
        if path is not None and not path.is_dir() and (why := absent(artifact, path)) is not None:
            raise typer.BadParameter(f"{path}: {why}")
        return path

    return check


ShopFolder = Annotated[Path, typer.Argument(help="Shop folder.", callback=folder_of("shop"))]
BundleFolder = Annotated[Path, typer.Option("--bundle", help="Bundle folder.", callback=folder_of("bundle"))]
Embeddings = Annotated[
    Path, typer.Argument(help="Folder that `mrse embed` wrote.", callback=folder_of("embeddings"))
]
MaybeEmbeddings = Annotated[
    Path | None,
    typer.Argument(
        help="Folder that `mrse embed` wrote. Changes go to every version of the package without it.",
        callback=folder_of("embeddings"),
    ),
]


def or_file(variable: str) -> Callable[[str | None], str | None]:
    """A callback for an option of ``variable``: without a value, what is in ``<variable>_FILE``'s file."""

    def callback(value: str | None) -> str | None:
        return value or secret_variable(variable)

    return callback


def _redis() -> str:
    found = secret_variable("MRSE_REDIS_URL")
    return found or fail("--redis is missing; so are MRSE_REDIS_URL and MRSE_REDIS_URL_FILE", USAGE)


RedisUrl = Annotated[
    str,
    typer.Option(
        "--redis",
        envvar="MRSE_REDIS_URL",
        default_factory=_redis,
        help="As redis://host:6379/0; needed.",
        show_default=False,
    ),
]
#: Redis of the stream of behaviours.
StreamRedis = Annotated[
    str | None,
    typer.Option(
        envvar="MRSE_EVENTS_REDIS_URL",
        callback=or_file("MRSE_EVENTS_REDIS_URL"),
        help="Redis of the stream, where it is another: one that must not evict keys.",
        show_default=False,
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


def _say_version(wanted: bool) -> None:
    if wanted:
        from platform import python_version

        from common.build import service_version

        out.print(f"mrse-recall {service_version()}, Python {python_version()}")
        raise typer.Exit


def of_all(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Say which version this is."),
    ] = False,
) -> None:
    """Options of `mrse` itself."""
