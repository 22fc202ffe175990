"""What is asked: each method of the clients as a `Call`, without sending it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mrse_client.columns import MEDIA_TYPE

JSON = "application/json"


@dataclass(frozen=True)
class Call:
    """One request to the service.

    Attributes:
        method: of HTTP.
        path: below ``/v1``.
        body: as JSON; None for none.
        query: of the URL.
        timeout_ms: how long the caller waits for it.
        passes: where the service takes the deadline: in its ``body`` or ``query``; empty where it takes none.
        repeatable: whether it may be sent again when it may have been done.
        accept: the form of the answer.
    """

    method: str
    path: str
    timeout_ms: float
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    passes: str = ""
    repeatable: bool = True
    accept: str = JSON

    def told(self, left_ms: int) -> tuple[bytes | None, dict[str, str]]:
        """The body and the query of the URL, with what is left of the deadline."""
        body, query = self.body, dict(self.query)
        if self.passes == "query":
            query["timeout_ms"] = str(left_ms)
        elif self.passes == "body":
            body = {**(body or {}), "timeout_ms": left_ms}
        elif self.passes == "each":
            requests = [{**each, "timeout_ms": left_ms} for each in (body or {})["requests"]]
            body = {"requests": requests}
        return None if body is None else json.dumps(body).encode(), query


def recall(request: Mapping[str, Any], default_ms: float, accept: str = JSON) -> Call:
    """``POST /recall``."""
    body, timeout_ms = _timed(request, default_ms)
    return Call("POST", "/recall", timeout_ms, body, passes="body", accept=accept)


def recall_columns(request: Mapping[str, Any], default_ms: float) -> Call:
    """``POST /recall``, with the items as columns."""
    return recall(request, default_ms, MEDIA_TYPE)


def recall_batch(requests: Sequence[Mapping[str, Any]], timeout_ms: float) -> Call:
    """``POST /recall/batch``; one deadline for all."""
    return Call("POST", "/recall/batch", timeout_ms, {"requests": list(requests)}, passes="each")


def similar(item_id: str, asked: Mapping[str, Any], default_ms: float) -> Call:
    """``GET /items/{item_id}/similar``."""
    wanted, timeout_ms = _timed(asked, default_ms)
    query = {name: value if isinstance(value, str) else json.dumps(value) for name, value in wanted.items()}
    return Call("GET", f"/items/{_id(item_id)}/similar", timeout_ms, query=query, passes="query")


def put_items(items: Sequence[Mapping[str, Any]], timeout_ms: float) -> Call:
    """``PUT /items``."""
    return Call("PUT", "/items", timeout_ms, {"items": list(items)})


def put_item(item_id: str, row: Mapping[str, Any], timeout_ms: float) -> Call:
    """``PUT /items/{item_id}``."""
    return Call("PUT", f"/items/{_id(item_id)}", timeout_ms, row)


def delete_item(item_id: str, timeout_ms: float) -> Call:
    """``DELETE /items/{item_id}``."""
    return Call("DELETE", f"/items/{_id(item_id)}", timeout_ms)


def delete_items(ids: Sequence[str], timeout_ms: float) -> Call:
    """``POST /items/delete``."""
    return Call("POST", "/items/delete", timeout_ms, {"ids": list(ids)})


def add_events(events: Sequence[Mapping[str, Any]], timeout_ms: float) -> Call:
    """``POST /events``. Those without a time would count twice where they are sent twice."""
    timed = all(event.get("ts") for event in events)
    return Call("POST", "/events", timeout_ms, {"events": list(events)}, repeatable=timed)


def forget_user(user_id: str, timeout_ms: float) -> Call:
    """``DELETE /users/{user_id}``."""
    return Call("DELETE", f"/users/{_id(user_id)}", timeout_ms)


def version(timeout_ms: float) -> Call:
    """``GET /version``."""
    return Call("GET", "/version", timeout_ms)


def _timed(request: Mapping[str, Any], default_ms: float) -> tuple[dict[str, Any], float]:
    body = dict(request)
    timeout_ms = body.pop("timeout_ms", None)
    return body, default_ms if timeout_ms is None else float(timeout_ms)


def _id(name: str) -> str:
    if name in ("", ".", ".."):
        raise ValueError(f"the id {name!r} cannot stand in a URL")
    return quote(name, safe="")
