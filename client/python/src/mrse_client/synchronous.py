"""`Client`: waits for each answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Unpack, cast

import httpx

from mrse_client import calls
from mrse_client.calls import Call
from mrse_client.columns import Columns, decode
from mrse_client.exchange import Received, Send, exchange
from mrse_client.shapes import (
    BatchAnswer,
    Changed,
    Event,
    ItemRow,
    NewItem,
    PutItems,
    RecallAnswer,
    RecallRequest,
    SimilarAnswer,
    SimilarQuery,
    TakenEvents,
)


class Client:
    """A client of one service; keeps its connections, and may be shared by threads.

    Args:
        url: of the service, without ``/v1``.
        key: of `mrse keys new`, where the service asks for one.
        timeout_ms: for a recall that says nothing else. What is left of it goes to the service, which then
            answers with what it has found until then.
        change_timeout_ms: for changes of items, events and users.
        transport: how requests travel, for tests and proxies.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_ms: float = 1000,
        change_timeout_ms: float = 60_000,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=f"{url.rstrip('/')}/v1", headers=headers, transport=transport)
        self._timeout_ms, self._change_ms = timeout_ms, change_timeout_ms

    def recall(self, **request: Unpack[RecallRequest]) -> RecallAnswer:
        """Items for a query, a picture, a history, or any of them together."""
        return cast(RecallAnswer, self._make(calls.recall(request, self._timeout_ms)))

    def recall_columns(self, **request: Unpack[RecallRequest]) -> Columns:
        """The same with the items as numpy arrays (needs numpy)."""
        return decode(self._make(calls.recall_columns(request, self._timeout_ms)))

    def recall_batch(
        self, requests: Sequence[RecallRequest], *, timeout_ms: float | None = None
    ) -> BatchAnswer:
        """Several at once, with one deadline; each has an answer or a problem of its own."""
        call = calls.recall_batch(requests, self._timeout_ms if timeout_ms is None else timeout_ms)
        return cast(BatchAnswer, self._make(call))

    def similar(self, item_id: str, **asked: Unpack[SimilarQuery]) -> SimilarAnswer:
        """The nearest items of an item."""
        return cast(SimilarAnswer, self._make(calls.similar(item_id, asked, self._timeout_ms)))

    def put_items(self, items: Sequence[NewItem]) -> PutItems:
        """Put items by content; those that cannot be used are in ``refused``. Scope ``write``."""
        return cast(PutItems, self._make(calls.put_items(items, self._change_ms)))

    def put_item(self, item_id: str, row: ItemRow) -> PutItems:
        """Put one item. Scope ``write``."""
        return cast(PutItems, self._make(calls.put_item(item_id, row, self._change_ms)))

    def delete_item(self, item_id: str) -> Changed:
        """Take an item out. Scope ``write``."""
        return cast(Changed, self._make(calls.delete_item(item_id, self._change_ms)))

    def delete_items(self, ids: Sequence[str]) -> Changed:
        """Take items out. Scope ``write``."""
        return cast(Changed, self._make(calls.delete_items(ids, self._change_ms)))

    def add_events(self, events: Sequence[Event]) -> TakenEvents:
        """Tell what users did. Scope ``events``."""
        return cast(TakenEvents, self._make(calls.add_events(events, self._change_ms)))

    def forget_user(self, user_id: str) -> dict[str, Any]:
        """Forget a user. Scope ``write``."""
        return cast(dict[str, Any], self._make(calls.forget_user(user_id, self._change_ms)))

    def version(self) -> dict[str, Any]:
        """What is running."""
        return cast(dict[str, Any], self._make(calls.version(self._timeout_ms)))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self, call: Call) -> Any:
        steps = exchange(call, time.monotonic)
        result: Received | httpx.TransportError | None = None
        while True:
            try:
                step = steps.send(result)
            except StopIteration as end:
                return end.value
            if isinstance(step, Send):
                result = self._send(step)
            else:
                time.sleep(step.seconds)
                result = None

    def _send(self, step: Send) -> Received | httpx.TransportError:
        """One request. An answer that dribbles is given up when its time is over, at the next part of it."""
        until = time.monotonic() + step.timeout_s
        try:
            with self._http.stream(
                step.method,
                step.path,
                headers=step.headers,
                content=step.content,
                params=step.params,
                timeout=step.timeout_s,
            ) as response:
                parts = []
                for part in response.iter_bytes():
                    parts.append(part)
                    if time.monotonic() > until:
                        return httpx.ReadTimeout("the answer took too long")
                return Received(response.status_code, response.headers, b"".join(parts))
        except httpx.TransportError as error:
            return error
