"""``mrse demo``: the demo shop, embedded, indexed and served; what ``make run`` calls."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import Report, err, for_stage, out, progress
from cli.demo_files import demo_bundle

_READY_WITHIN_S = 60.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the demo keeps its files.")] = Path(".run"),
    items: Annotated[int, typer.Option(min=1000, max=1_000_000, help="Items in the demo shop.")] = 4000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
) -> None:
    """Make the demo shop, embed it with the shipped bundle, index it, and serve it. No torch.

    What is there from an earlier run is used again, so the second start takes seconds.

    Example: `mrse demo --port 9000`
    """
    bundle = demo_bundle()
    with progress() as report:
        shop, index = prepare(directory, bundle, items, report)
    from service.server import run
    from service.settings import load_settings

    overrides: dict[str, Any] = {
        "bundle": {"path": bundle},
        "index": {"path": index},
        "server": {"host": host, "port": port},
    }
    settings = load_settings(None, overrides)
    address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    _when_ready(address, lambda: _say_hello(address, shop))
    run(settings)


def prepare(directory: Path, bundle: Path, items: int, report: Report) -> tuple[Path, Path]:
    """Make what is missing of shop, embeddings and index.

    Each step leaves a stamp with what it was made from, so a new bundle or size makes it again and an
    interrupted step is not taken for a finished one.

    Returns:
        the shop's and the index's folder.
    """
    from models.bundle import Bundle
    from models.data.shop import Shop
    from models.embed import embed_shop
    from models.shop import make_shop
    from service.index.embedded.build import build_index

    shop, embeddings, index = (directory / name for name in ("shop", "embeddings", "index"))
    version = bundle.name

    def step(target: Path, made_from: dict[str, Any], make: Callable[[], object]) -> None:
        stamp = directory / f"{target.name}.json"
        wanted = json.dumps(made_from, sort_keys=True)
        if target.is_dir() and stamp.is_file() and stamp.read_text() == wanted:
            return
        stamp.unlink(missing_ok=True)
        if target != embeddings:  # embedding resumes; it replaces its folder itself
            shutil.rmtree(target, ignore_errors=True)
        make()
        stamp.write_text(wanted)

    directory.mkdir(parents=True, exist_ok=True)
    source: dict[str, Any] = {"items": items, "seed": 7}
    step(shop, source, lambda: make_shop(shop, **source, progress=for_stage(report, "shop")))
    source = {**source, "bundle": version}
    step(
        embeddings,
        source,
        lambda: embed_shop(Shop.open(shop), Bundle.load(bundle), embeddings, progress=report),
    )
    step(index, source, lambda: build_index(embeddings, index, progress=for_stage(report, "index")))
    return shop, index


def _when_ready(address: str, then: Callable[[], None]) -> None:
    """Call back from a daemon thread once ``/readyz`` answers 200."""

    def watch() -> None:
        import time

        import httpx

        end = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < end:
            try:
                if httpx.get(f"{address}/readyz", timeout=1.0).status_code == 200:
                    then()
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)

    threading.Thread(target=watch, name="when-ready", daemon=True).start()


def _say_hello(address: str, shop: Path) -> None:
    request = {"query": "red running shoes", "history": _some_history(shop), "k": 10, "timeout_ms": 500}
    out.print("\nReady. Try:\n", highlight=False)
    command = f"curl -s {address}/recall -H 'Content-Type: application/json' -d '{json.dumps(request)}'"
    out.print(command, highlight=False, soft_wrap=True, markup=False)
    out.print(
        f"\nPlayground: {address}/   API: {address}/openapi.json   Metrics: {address}/metrics\n", highlight=False
    )
    err.print("Ctrl-C stops it.", highlight=False)


def _some_history(shop: Path) -> list[dict[str, str]]:
    """One item that somebody clicked for a query about shoes, so that I2I has a trigger."""
    from models.data.shop import Shop

    for event in Shop.open(shop).events():
        if event.action == "click" and "shoes" in event.query:
            return [{"item_id": event.item, "action": "click"}]
    return []
