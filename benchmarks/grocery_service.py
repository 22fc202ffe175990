"""Photos asked of a whole service: `POST /recall` with the photo alone, by routes and by what is fitted.

As a team would have it: an index of the products, with the photos of the train split that led to them, and
curves that `mrse calibrate` fits on held-out requests. Each half of the photos is asked with the curves of
the other half: of all routes, and with the weights of the others at 0. Asked too are the products' own
pictures.
"""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from artifacts.shop.pictures import read_picture
from artifacts.shop.shop import Shop
from benchmarks.at_ease import at_ease
from common.progress import Progress, stage_progress
from index.embedded.build import build_index
from models.evaluation.heldout import Request
from service.offline import Asked, collect
from service.recall.calibration import BUILT_IN, Calibration, beside
from service.recall.fitting import Judged, fit
from service.settings import load_settings

#: The tasks: with curves that are fitted, as the service is by default, and the products' own pictures.
WHOLE, DEFAULT = "photo -> product, the service", "photo -> product, the service without curves"
OWN = "own picture -> product, the service"
#: With these weights beside the curves.
ALONE: Mapping[str, Mapping[str, float]] = {
    "photo -> product, the service, Q2I alone": {"i2i": 0, "p2i": 0},
    "photo -> product, the service, P2I alone": {"i2i": 0, "q2i": 0},
}
_K = 10


def service_ranks(
    bundle: Path, embeddings: Path, shop: Shop, photos: Sequence[Request], work: Path, tell: Progress
) -> dict[str, list[int]]:
    """Rank of the product wanted in each answer of a service, from 1, 0 where it is not there; by task."""
    index = work / "index"
    version = build_index(embeddings, index).bundle_version
    asked = [_Photo(_read(shop, each.event.picture), each.event.item) for each in photos]
    own = [_Photo(_read(shop, item.picture), item.id) for item in shop.items() if item.picture]
    found = _routes(bundle, index, [each.content for each in asked], tell)
    judged = [Judged(routes, {each.wanted: 1.0}) for routes, each in zip(found, asked, strict=True)]
    ranks = {task: [0] * len(asked) for task in (WHOLE, *ALONE)} | {OWN: [0] * len(own)}
    for half in (0, 1):
        curves = fit(judged[1 - half :: 2], apart=("p2i",))
        Calibration(bundle=version, curves={**BUILT_IN.curves, **curves}).write(beside(index))
        with at_ease(bundle, index, work) as url:
            ranks[WHOLE][half::2] = _places(url, asked[half::2])
            ranks[OWN][half::2] = _places(url, own[half::2])
            for task, weights in ALONE.items():
                ranks[task][half::2] = _places(url, asked[half::2], weights)
    beside(index).unlink()
    with at_ease(bundle, index, work) as url:
        ranks[DEFAULT] = _places(url, asked)
    return ranks


class _Photo(NamedTuple):
    """A file's bytes, and the id of the product that it shows."""

    content: bytes
    wanted: str


def _read(shop: Shop, picture: str | None) -> bytes:
    return read_picture(shop.path / shop.schema.pictures, picture or "")


def _routes(bundle: Path, index: Path, contents: Sequence[bytes], tell: Progress) -> list[Mapping[str, Any]]:
    """What the routes find, with nothing cut off by a floor, as `mrse calibrate` asks them."""
    places = {"bundle": {"path": bundle}, "index": {"path": index}}
    settings = load_settings(None, {**places, "recall": {"p2i": {"floor": -1, "candidates": 1}}})
    asked = [Asked("", content) for content in contents]
    return list(asyncio.run(collect(settings, asked, 100, stage_progress(tell, "routes"))))


def _places(url: str, photos: Sequence[_Photo], weights: Mapping[str, float] | None = None) -> list[int]:
    """The place of what was wanted in each answer, from 1; 0 where it is not there."""
    found = []
    for photo in photos:
        items = _ask(url, photo.content, weights)
        found.append(items.index(photo.wanted) + 1 if photo.wanted in items else 0)
    return found


def _ask(url: str, content: bytes, weights: Mapping[str, float] | None) -> list[str]:
    """The first items of an answer."""
    body: dict[str, Any] = {"picture": base64.b64encode(content).decode(), "k": _K, "timeout_ms": 10_000}
    if weights is not None:
        body["weights"] = weights
    request = urllib.request.Request(
        f"{url}/recall", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = json.load(answer)
    if told["degraded"]:
        raise RuntimeError(f"the service left something out: {', '.join(told['degraded'])}")
    return [item["item_id"] for item in told["items"]]
