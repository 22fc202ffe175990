"""Options that the commands for Vespa share, and what they mean."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import fail, lines_of
from cli.options import or_file
from common.masking import mask_url

if TYPE_CHECKING:
    from artifacts.embeddings import EmbeddingsFolder
    from index.vespa.settings import EndpointSettings, VespaSettings
    from index.vespa.version import VectorKind, Version

Package = Annotated[Path, typer.Option("--package", help="Package folder that `add-version` writes.")]
LayoutFile = Annotated[
    Path | None, typer.Option(help="Hosts by role (TOML); one node without it.", exists=True, dir_okay=False)
]
Endpoint = Annotated[
    list[str], typer.Option("--endpoint", help="Container to ask, as http://vespa:8080; repeatable.")
]
ConfigServer = Annotated[
    list[str], typer.Option("--config-server", help="As http://vespa-config:19071; repeatable.")
]


class Vectors(StrEnum):
    """What the graph of a version is over; see `index.vespa.version.VectorKind`."""

    BFLOAT16 = "bfloat16"
    INT8 = "int8"


OfVectors = Annotated[
    Vectors | None,
    typer.Option(help="Which version, where the package has two of this bundle.", show_default=False),
]
Within = Annotated[float, typer.Option("--within", min=1, help="Seconds to wait for.")]


@dataclass(frozen=True)
class Access:
    """How to reach Vespa."""

    ca: Annotated[Path | None, typer.Option(help="Certificates to trust, PEM.")] = None
    certificate: Annotated[Path | None, typer.Option(help="Our certificate for mutual TLS, PEM.")] = None
    key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MRSE_VESPA_TOKEN",
            callback=or_file("MRSE_VESPA_TOKEN"),
            help="Bearer token.",
            show_default=False,
        ),
    ] = None

    def to(self, urls: Sequence[str]) -> EndpointSettings:
        """The settings of containers or config servers at these addresses."""
        from index.vespa.settings import EndpointSettings

        return EndpointSettings(tuple(urls), **vars(self))


def with_access(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Access` in place of its parameter ``access``."""
    signature = inspect.signature(command, eval_str=True)
    options = inspect.signature(Access, eval_str=True).parameters
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += options.values() if parameter.name == "access" else [parameter]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        from index.port import IndexUnavailable

        access = Access(**{name: given.pop(name) for name in options})
        try:
            with lines_of("mrse.vespa"):
                command(**given, access=access)
        except IndexUnavailable as error:
            urls = ", ".join(map(mask_url, given.get("endpoint") or given.get("config_server") or ()))
            fail(f"vespa at {urls}: {error}; is it up, and is the address right?", error.exit_code)

    run.__dict__["__signature__"] = signature.replace(parameters=parameters)
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def open_embeddings(path: Path) -> EmbeddingsFolder:
    """An embeddings folder whose vectors can be read."""
    from artifacts.embeddings import EmbeddingsFolder

    folder = EmbeddingsFolder.open(path)
    _ = folder.vectors  # before anything is done with the rest
    return folder


def version_for(package: Path, folder: EmbeddingsFolder, vectors: Vectors | None) -> Version:
    """The package's version that an embeddings folder belongs to."""
    from index.vespa.version import find_version

    kind: VectorKind | None = None if vectors is None else vectors.value
    return find_version(package, folder.meta.bundle_version, kind)


def settings_for(
    package: Path, folder: EmbeddingsFolder, containers: EndpointSettings, vectors: Vectors | None
) -> VespaSettings:
    """The settings of the package's version that an embeddings folder belongs to."""
    from index.vespa.settings import VespaSettings

    return VespaSettings(containers, version_for(package, folder, vectors))
