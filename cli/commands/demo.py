"""``mrse demo``: the demo shop, embedded, indexed and served; what ``make run`` calls."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import err, fail, out, progress
from cli.demo_files import demo_bundle
from cli.own_shop import fingerprint, first_request
from cli.serving import refuse_taken
from common.build import service_version
from common.cores import keep_blas_to_one_thread
from common.errors import USAGE
from common.progress import Progress, stage_progress

_READY_WITHIN_S = 60.0
_SEED = 7
#: Changes where what the playground shows of the demo is chosen in another way.
_SHOWN = 4
#: The request to try, kept so that later starts need not read the shop.
_HELLO = "hello.json"
#: Addresses that nobody else reaches.
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the demo keeps its files.")] = Path(".run"),
    items: Annotated[int, typer.Option(min=1000, max=1_000_000, help="Items in the demo shop.")] = 4000,
    own: Annotated[
        Path | None,
        typer.Option(
            "--shop",
            envvar="MRSE_DEMO_SHOP",
            exists=True,
            file_okay=False,
            help="Your own shop folder, in place of the demo shop.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    vespa: Annotated[
        str | None,
        typer.Option(help="Container of a Vespa to feed and ask, in place of the index.", show_default=False),
    ] = None,
    config_server: Annotated[
        str | None, typer.Option(help="Its config server, to deploy to.", show_default=False)
    ] = None,
) -> None:
    """Make the demo shop, embed it with the shipped bundle, index it, and serve it. No torch.

    What is there from an earlier run is used again, so the second start takes seconds.

    Example: `mrse demo --port 9000`
    """
    keep_blas_to_one_thread()
    import onnxruntime  # noqa: F401 -- where it is missing, this says so before any work

    refuse_taken(host, port, "make run PORT=9000")  # its answers would pass for ours
    if (vespa is None) != (config_server is None):
        fail("--vespa and --config-server go together", USAGE)
    bundle = demo_bundle()
    with progress() as report:
        shop, index = prepare(directory, bundle, items, report, own)
        overrides: dict[str, Any] = {"index": {"path": index}}
        if vespa is not None and config_server is not None:
            overrides = _over_vespa(directory, vespa, config_server, report)
        previews = prepare_previews(directory, shop, bundle, report, examples=own is None)
    from service.process.server import run
    from service.settings import Access, load_settings

    overrides |= {
        "bundle": {"path": bundle},
        "server": {"host": host, "port": port, **_quiet()},
        "playground": {"previews": previews},
    }
    given = load_settings()
    if not given.experiments and not given.recall.tables["lexical"].enabled:
        # For the playground to show beside the usual answer; nobody is drawn into it.
        overrides["experiments"] = {
            "words": {"off": {"weight": 1}, "on": {"weight": 0, "recall": {"lexical": {"enabled": True}}}}
        }
    if host in _LOOPBACK and given.access == Access():
        # Whoever sits at this machine may try every arm in the playground.
        overrides["access"] = {"anonymous": ("read", "metrics", "experiments")}
    address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    threading.Thread(
        target=_say_hello, args=(address, (directory / _HELLO).read_text()), name="hello", daemon=True
    ).start()
    run(partial(load_settings, None, overrides))


def _quiet() -> dict[str, str]:
    """No line of the log for every request, which would bury what there is to try; unless one is wanted."""
    return {} if os.environ.get("MRSE_SERVER_LOG_LEVEL") else {"log_level": "warning"}


def _over_vespa(directory: Path, container: str, config_server: str, report: Progress) -> dict[str, Any]:
    """Feed the demo's items to a Vespa, and their features to Redis where there is one; what to serve by."""
    from cli.demo_vespa import fill_redis, fill_vespa
    from service.settings import load_settings

    version = fill_vespa(directory, container, config_server, report)
    redis = load_settings().redis.url
    if redis is not None:
        fill_redis(directory, redis.get_secret_value(), report)
    return {"index": {"engine": "vespa", "path": version}, "vespa": {"url": container}}


def prepare(
    directory: Path, bundle: Path, items: int, report: Progress, own: Path | None = None
) -> tuple[Path, Path]:
    """Make what is missing of shop, embeddings and index.

    Each step leaves a stamp with what it was made from, so a new bundle or size makes it again and an
    interrupted step is not taken for a finished one.

    Returns:
        the shop's and the index's folder.
    """
    shop, embeddings, index = (directory / name for name in ("shop", "embeddings", "index"))
    shop = own or shop

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

    # Imported by the step that runs: the second start makes nothing and should not wait for it.
    def draw() -> None:
        from models.synthetic import make_shop

        make_shop(shop, items=items, seed=_SEED, progress=stage_progress(report, "shop"))
        (directory / _HELLO).write_text(json.dumps(_hello_request(shop)))

    def embed() -> None:
        from artifacts.bundle import Bundle
        from artifacts.shop.shop import Shop
        from models.embed import embed_shop

        embed_shop(Shop.open(shop), Bundle.load(bundle), embeddings, progress=report)

    def build() -> None:
        from index.embedded.build import build_index

        build_index(embeddings, index, progress=stage_progress(report, "index"))

    directory.mkdir(parents=True, exist_ok=True)
    source: dict[str, Any] = {"items": items, "seed": _SEED}
    if own is None:
        step(shop, source, draw)
    else:
        source = {"shop": str(own), "files": fingerprint(own)}
        (directory / "shop.json").unlink(missing_ok=True)  # whose hello is replaced
        (directory / _HELLO).write_text(json.dumps(first_request(own)))
    source = {**source, "bundle": bundle.name, "holds": "pictures, popularity"}
    step(embeddings, source, embed)
    step(index, source, build)
    return shop, index


def prepare_previews(
    directory: Path, shop: Path, bundle: Path, report: Progress, *, examples: bool = True
) -> Path:
    """Make what the playground shows, where it is not of this shop, bundle and version yet.

    ``examples`` and shoppers are of the demo shop, whose truth is known.

    Returns:
        the file of previews.
    """
    target, stamp = directory / "previews.arrow", directory / "previews.json"
    made_from = {"index": json.loads((directory / "index.json").read_text()), "version": service_version()}
    wanted = json.dumps(made_from | {"bundle": bundle.name, "format": _SHOWN}, sort_keys=True)
    if target.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return target
    from artifacts.shop.previews import write_previews

    if not examples:
        write_previews(shop, target)
        stamp.write_text(wanted)
        return target
    from cli.showcase import make_showcase

    tell = stage_progress(report, "examples")
    tell(0, 1)
    showcase = make_showcase(shop, bundle, directory / "index")
    write_previews(shop, target, name="Demo shop", examples=showcase.examples, personas=showcase.personas)
    tell(1, 1)
    if showcase.whole:  # else the next start chooses again
        stamp.write_text(wanted)
    return target


def _say_hello(address: str, request: str) -> None:
    """Once ``/readyz`` answers, print a request to try; nothing where it does not within a minute."""
    end = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(f"{address}/readyz", timeout=1.0).close()
            break
        except OSError:  # not listening yet, or 503
            if time.monotonic() > end:
                return
            time.sleep(0.1)
    out.print("\n".join(first_screen(address, request)), soft_wrap=True)
    err.print("Ctrl-C stops it.")


def first_screen(address: str, request: str) -> list[str]:
    """What to try now that the demo is served at an address; ``request`` is a body of ``POST /recall``."""
    query = json.loads(request)["query"]
    other = "" if address.endswith(":8080") else f" --url {address}"
    return [
        "",
        f"Ready: the demo shop is served. Look at it in a browser:  {address}/",
        "",
        "Ask it from another terminal:",
        "",
        f"  curl -s {address}/recall -H 'Content-Type: application/json' \\",
        f"    -d '{request}'",
        "",
        f'  mrse recall "{query}"{other}    (. .venv/bin/activate, where make made it)',
        "",
        f"The API to try: {address}/docs   Metrics: {address}/metrics",
        "Your own catalogue in ten minutes: docs/start.md",
        "",
    ]


def _hello_request(shop: Path) -> dict[str, Any]:
    """A query with one item that somebody clicked for it, so that I2I has a trigger."""
    from artifacts.shop.shop import Shop

    clicks = (e for e in Shop.open(shop).events() if e.action == "click" and "shoes" in e.query)
    history = [{"item_id": event.item, "action": "click"} for event in islice(clicks, 1)]
    return {"query": "red running shoes", "history": history, "k": 10, "timeout_ms": 500}
