"""The whole service on the held-out requests, over HTTP: all its routes, merged, beside Q2I alone.

The bundle's own row in a table is exact Q2I. What I2I and the merge are worth is the difference to the
service's row; so are the losses of an approximate index, of int8 and of what is shed under load.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import numpy as np

from artifacts.shop.shop import Shop
from common.arrays import I64
from common.errors import NOT_IN_ORDER, MrseError
from common.progress import StageProgress, silent_stage
from models.evaluation.answers import DEPTH, Answers
from models.evaluation.heldout import HeldOut, Request

SERVICE = "service"
#: Requests that are asked side by side, and seconds for each.
_ASKERS, _PATIENCE_S = 2, 30.0


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
    progress: StageProgress = silent_stage,
) -> Answers:
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

    Raises:
        ServiceError: it does not answer, refuses, or serves another bundle.
    """
    depth = min(DEPTH, len(rows))
    top: I64 = np.full((len(held_out.requests), depth), -1, dtype=np.int64)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=url, headers=headers, timeout=_PATIENCE_S) as client,
        ThreadPoolExecutor(_ASKERS) as askers,
    ):

        def ask(request: Request) -> list[str]:
            return _ask(client, _body(request, shop, depth), version)

        for place, found in enumerate(askers.map(ask, held_out.requests)):
            known = [rows.get(item, -1) for item in found[:depth]]
            top[place, : len(known)] = known
            progress(place + 1, len(top))
    return Answers(SERVICE, held_out, top, np.ones(len(top), dtype=np.bool_))


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


def _ask(client: httpx.Client, body: dict[str, Any], version: str) -> list[str]:
    try:
        answer = client.post("/recall", json=body)
        content = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServiceError(f"{client.base_url}: no answer from the service: {error}") from error
    if answer.status_code != 200:
        why = content.get("detail") or content.get("title") if isinstance(content, dict) else None
        raise ServiceError(f"{client.base_url}: the service refused a request: {answer.status_code} {why}")
    if content["model_version"] != version:
        served = content["model_version"]
        raise ServiceError(f"{client.base_url} serves the bundle {served}, not {version}")
    return [item["item_id"] for item in content["items"]]
