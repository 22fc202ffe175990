"""``mrse serve``: the service in the foreground."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from cli.console import Json, out, print_json
from cli.serving import refuse_taken
from common.cores import keep_blas_to_one_thread


def serve(
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder.")] = None,
    index: Annotated[Path | None, typer.Option(help="Index folder.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; they share the index.")
    ] = None,
    shop: Annotated[
        Path | None, typer.Option(help="Shop folder, for titles and pictures in the playground.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; also MRSE_CONFIG.")] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the effective settings, secrets hidden, and leave.")
    ] = False,
    json: Json = False,
) -> None:
    """Serve `POST /recall`. Options win over MRSE_* variables, those over the TOML file.

    Exit code 2 when the bundle is damaged or the index belongs to another bundle.

    Example: `mrse serve --bundle bundles/acme-1a2b3c4d --index index/ --port 8080`
    """
    keep_blas_to_one_thread()  # the settings load numpy
    from service.settings import effective, load_settings

    chosen: dict[str, dict[str, Any]] = {
        "bundle": {"path": bundle},
        "index": {"path": index},
        "server": {"host": host, "port": port, "workers": workers},
    }
    overrides = {
        group: given
        for group, values in chosen.items()
        if (given := {key: value for key, value in values.items() if value is not None})
    }
    read = partial(load_settings, config, overrides)
    settings = read()
    if print_config:
        print_json(effective(settings)) if json else out.print_json(data=effective(settings))
        return
    from service.process.config_watch import hang_up_on_change
    from service.process.server import refuse_absent, refuse_missing, run
    from service.settings.load import config_file

    refuse_missing(settings)
    if settings.server.watch_config and (file := config_file(config)) is not None:
        hang_up_on_change(file)
    refuse_taken(settings.server.host, settings.server.port, "mrse serve --port 9000")
    refuse_absent(settings)
    if shop is None:
        run(read)
        return
    from artifacts.shop.previews import write_previews

    with TemporaryDirectory() as folder:
        overrides["playground"] = {"previews": Path(folder) / "previews.arrow"}
        write_previews(shop, overrides["playground"]["previews"])
        run(read)
