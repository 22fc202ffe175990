"""Photos asked of a whole service: `POST /recall` with the photo alone, by routes and by what is fitted.

As a team would have it: an index of the products, with the photos of the train split that led to them, and
curves that `mrse calibrate` fits on held-out requests. Each half of the photos is asked with the curves of
the other half.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.shop.pictures import read_picture
from artifacts.shop.shop import Shop
from benchmarks.servers import server
from benchmarks.worth import AT_EASE
from common.progress import Progress, stage_progress
from devtools.waiting import free_port
from index.embedded.build import build_index
from models.evaluation.heldout import Request
from service.offline import Asked, collect
from service.recall.calibration import BUILT_IN, Calibration, beside
from service.recall.fitting import Judged, fit
from service.settings import load_settings

#: The tasks: with curves that are fitted, and as the service is by default.
WHOLE, DEFAULT = "photo -> product, the service", "photo -> product, the service without curves"
_K = 10


def service_ranks(
    bundle: Path, embeddings: Path, shop: Shop, photos: Sequence[Request], work: Path, tell: Progress
) -> dict[str, list[int]]:
    """Rank of the product wanted in each answer of a service, from 1, 0 where it is not there; by task."""
    index = work / "index"
    version = build_index(embeddings, index).bundle_version
    contents = [read_picture(shop.path / shop.schema.pictures, each.event.picture or "") for each in photos]
    found = _routes(bundle, index, contents, tell)
    judged = [Judged(routes, {photo.event.item: 1.0}) for routes, photo in zip(found, photos, strict=True)]
    halves = np.arange(len(photos)) % 2
    ranks = {WHOLE: np.zeros(len(photos), np.int64), DEFAULT: np.zeros(len(photos), np.int64)}
    for half in (0, 1):
        curves = fit([each for each, of in zip(judged, halves, strict=True) if of != half], apart=("p2i",))
        Calibration(bundle=version, curves={**BUILT_IN.curves, **curves}).write(beside(index))
        asked = np.flatnonzero(halves == half)
        answers = _answers(bundle, index, [contents[place] for place in asked], work)
        ranks[WHOLE][asked] = _places(answers, [photos[place] for place in asked])
    beside(index).unlink()
    ranks[DEFAULT][:] = _places(_answers(bundle, index, contents, work), photos)
    return {task: places.tolist() for task, places in ranks.items()}


def _routes(bundle: Path, index: Path, contents: Sequence[bytes], tell: Progress) -> list[Mapping[str, Any]]:
    """What the routes find, with nothing cut off by a floor, as `mrse calibrate` asks them."""
    places = {"bundle": {"path": bundle}, "index": {"path": index}}
    settings = load_settings(None, {**places, "recall": {"p2i": {"floor": -1, "candidates": 1}}})
    asked = [Asked("", content) for content in contents]
    return list(asyncio.run(collect(settings, asked, 100, stage_progress(tell, "routes"))))


def _answers(bundle: Path, index: Path, contents: Sequence[bytes], work: Path) -> list[list[str]]:
    """The first items of a service's answers."""
    port = free_port()
    config = work / "service.toml"
    config.write_text(AT_EASE)
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve", "--port", str(port)]
    command += ["--bundle", str(bundle.resolve()), "--index", str(index.resolve())]
    command += ["--config", str(config.resolve())]
    with server(command, port, "/readyz", work / "service.log", patience_s=300):
        return [_ask(port, content) for content in contents]


def _ask(port: int, content: bytes) -> list[str]:
    body = {"picture": base64.b64encode(content).decode(), "k": _K, "timeout_ms": 10_000}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/recall", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = json.load(answer)
    if told["degraded"]:
        raise RuntimeError(f"the service left something out: {', '.join(told['degraded'])}")
    return [item["item_id"] for item in told["items"]]


def _places(answers: Sequence[Sequence[str]], photos: Sequence[Request]) -> list[int]:
    wanted = [photo.event.item for photo in photos]
    return [
        items.index(item) + 1 if item in items else 0 for items, item in zip(answers, wanted, strict=True)
    ]
