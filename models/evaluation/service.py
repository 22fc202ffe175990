"""The whole service on the held-out requests, over HTTP: all its routes, merged, beside Q2I alone.

The bundle's own row in a table is exact Q2I. What I2I and the merge are worth is the difference to the
service's row; so are the losses of an approximate index, of int8 and of what is shed under load. What one
route is worth is the difference to the service without it, whose other routes are asked and merged as before.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

import httpx
import numpy as np

from artifacts.shop.shop import Shop
from common.arrays import I64
from common.errors import NOT_IN_ORDER, MrseError
from common.progress import Progress, silent, stage_progress
from models.evaluation.answers import DEPTH, Answers
from models.evaluation.heldout import HeldOut, Request

SERVICE = "service"
#: Ahead of the name of the route that was left out.
WITHOUT = "service without "
#: Requests that are asked side by side, and seconds for each.
_ASKERS, _PATIENCE_S = 2, 30.0
#: A request that is refused for load, or answered with less for it, is asked so many times, with pauses.
_TRIES, _PAUSE_S = 20, 1.0
_BUSY = frozenset({429, 503})
#: A picture is skipped, and its route fails, where the encoder has no place for it.
_BY_LOAD = re.compile(r"no_[a-z0-9]+|[a-z0-9]+_(timeout|error)|fewer_candidates|picture_skipped")


class ServiceError(MrseError):
    """The service cannot be evaluated; the message says why."""

    exit_code: ClassVar[int] = NOT_IN_ORDER


def ask_service(
    url: str,
    key: str | None,
    version: str,
    shop: Shop,
    held_out: HeldOut,
    rows: Mapping[str, int],
    progress: Progress = silent,
    *,
    worth: bool = False,
) -> list[Answers]:
    """What a running service answers to the held-out requests, to the depth of `DEPTH`.

    Histories go with the requests, as old as they were then; so no stored portrait takes part. Items that the
    catalogue lacks count as wrong.

    Args:
        url: the service.
        key: where it needs one.
        version: of the bundle that must answer.
        shop: where the pictures are.
        held_out: the requests.
        rows: row of the catalogue by item id.
        progress: told the requests that were answered.
        worth: whether the service is also asked without each route that found anything.

    Returns:
        The service's answers, then those without each route, by the names of the routes. A request for which
        a route found nothing is answered without it as it is with it.

    Raises:
        ServiceError: it does not answer, refuses, or serves another bundle.
    """
    depth = min(DEPTH, len(rows))
    everyone = np.ones(len(held_out.requests), dtype=np.bool_)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=url, headers=headers, timeout=_PATIENCE_S) as client,
        ThreadPoolExecutor(_ASKERS) as askers,
    ):

        def asked(places: Sequence[int], without: str | None) -> Iterator[_Answer]:
            def ask(place: int) -> _Answer:
                body = _body(held_out.requests[place], shop, depth)
                return _ask(client, body if without is None else body | {"weights": {without: 0}}, version)

            told = stage_progress(progress, SERVICE if without is None else WITHOUT + without)
            for done, found in enumerate(askers.map(ask, places), start=1):
                told(done, len(places))
                yield found

        top: I64 = np.full((len(everyone), depth), -1, dtype=np.int64)
        took_part: dict[str, list[int]] = {}
        for place, found in enumerate(asked(range(len(top)), None)):
            _put(top[place], found.items, rows)
            for route in found.routes:
                took_part.setdefault(route, []).append(place)
        answers = [Answers(SERVICE, held_out, top, everyone)]
        for route in sorted(took_part) if worth else ():
            rest = top.copy()
            for place, found in zip(took_part[route], asked(took_part[route], route), strict=True):
                _put(rest[place], found.items, rows)
            answers.append(Answers(WITHOUT + route, held_out, rest, everyone))
    return answers


class _Answer(NamedTuple):
    """The items, best first, and the routes that found any."""

    items: list[str]
    routes: list[str]


def _put(top: I64, items: Sequence[str], rows: Mapping[str, int]) -> None:
    """Write the rows of items to ``top`` ``[depth]``, -1 where there are no more."""
    known = [rows.get(item, -1) for item in items[: len(top)]]
    top[: len(known)] = known
    top[len(known) :] = -1


def _body(request: Request, shop: Shop, k: int) -> dict[str, Any]:
    event, now = request.event, datetime.now(UTC)
    body: dict[str, Any] = {"query": event.query, "k": k, "timeout_ms": 10_000}
    if event.picture is not None:
        body["picture"] = base64.b64encode(shop.picture(event.picture)).decode()
    body["history"] = [
        {"item_id": done.item_id, "action": done.action}
        | ({} if done.ts is None else {"ts": (now - (event.ts - done.ts)).isoformat()})
        for done in request.history
    ]
    return body


def _ask(client: httpx.Client, body: dict[str, Any], version: str) -> _Answer:
    """The answer; one that the service's load refuses or makes less is asked for again, some times."""
    for more in reversed(range(_TRIES)):
        try:
            answer = client.post("/recall", json=body)
            content = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ServiceError(f"{client.base_url}: no answer from the service: {error}") from error
        busy = answer.status_code in _BUSY
        if answer.status_code != 200 and not (busy and more):
            why = content.get("detail") or content.get("title") if isinstance(content, dict) else None
            raise ServiceError(
                f"{client.base_url}: the service refused a request: {answer.status_code} {why}"
            )
        if not busy and not (less := [word for word in content["degraded"] if _BY_LOAD.fullmatch(word)]):
            break
        if not more:
            raise ServiceError(
                f"{client.base_url} is under load, and leaves out of its answers: {', '.join(less)}"
            )
        time.sleep(_PAUSE_S)
    if content["model_version"] != version:
        served = content["model_version"]
        raise ServiceError(f"{client.base_url} serves the bundle {served}, not {version}")
    routes = [name for name, route in content["routes"].items() if route["returned"]]
    return _Answer([item["item_id"] for item in content["items"]], routes)
