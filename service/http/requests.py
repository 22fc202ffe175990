"""What every endpoint does with a request: read its body in time and within bounds, watch for a client that
leaves, and answer in the form that the client wants.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from common.deadline import Begun, Deadline, within
from common.turns import Turns
from service.admission import Ticket
from service.admission.client import client_of
from service.errors import NotReady, Overloaded, RecallError
from service.http.columnar import DEFAULT_TYPE, MEDIA_TYPE, json_response, wants_columns
from service.http.cost import ONE_REQUEST, Costing
from service.http.door import ADMITTED
from service.http.middleware import request_id
from service.http.problems import ProblemError, invalid_request, malformed_json, unusable
from service.http.timing import Stages, server_timing
from service.runtime import Runtime
from service.scope import ARRIVED

T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)
#: Work that ends sooner is not watched over. That gains a task for each request; nobody leaves so soon.
WATCH_AFTER_S = 0.005
#: Above so many fields beside the entries none is named.
_ENVELOPE_FIELDS = 20
_JSON = re.compile(r"application/(.*\+)?json")


class ClientGone(RecallError):  # noqa: N818 -- a state of the world
    """The client closed the connection, so nobody waits for the answer."""


class Call:
    """One request, with what every step of its answer needs.

    Attributes:
        request: as it came.
        runtime: the worker's parts, loaded.
        request_id: its id, which the answer carries.
        headers: by name in lower case; of a name that stands twice, the first.
        columnar: whether the client wants the items as columns.
        client: whose it is, for fair shares.
        received: when it came, in seconds on the runtime's clock; its time counts from there. That is when
            its first byte came, put off by as long as the client let wait for the rest of the body.
    """

    __slots__ = ("client", "columnar", "headers", "received", "request", "request_id", "runtime")

    def __init__(self, request: Request) -> None:
        """Begin.

        Raises:
            NotReady: the worker is still loading; the message says what.
        """
        self.request = request
        self.runtime = runtime_of(request)
        if not self.runtime.ready:
            self.runtime.metrics.refused("not_ready")
            raise NotReady(self.runtime.progress)
        self.request_id = request_id(request)
        self.headers = dict(reversed(request.headers.items()))
        self.columnar = wants_columns(self.headers.get("accept"))
        self.client = client_of(request.scope, self.runtime.client_header)
        self.received = request.scope.get(ARRIVED) or self.runtime.clock()

    async def turn(self) -> None:
        """Wait for its turn, unless it did before it came here.

        Raises:
            Overloaded: it would come too late.
        """
        if ADMITTED in self.request.scope:
            return
        try:
            await self.runtime.admission.gate.turn(self.client, self.received)
        except Overloaded:
            self.runtime.metrics.refused("waiting")
            raise

    def enter(self) -> Ticket:
        """Take a place, by how long it has waited.

        Raises:
            Overloaded: none is free.
        """
        return self.runtime.admission.enter(self.client, self.runtime.clock() - self.received)

    async def read(self, costing: Costing = ONE_REQUEST) -> bytearray:
        """The body, of a request that says that it is JSON, or says nothing about it.

        Args:
            costing: what it may cost to parse.

        Raises:
            ProblemError: 413 for a body that is too large, as soon as that can be told, or would cost too
                much to parse; 415 for another type or a compressed body; 408 when the client is too slow.
            ClientGone: it left before its body was complete.
        """
        headers, patience_s = self.headers, self.runtime.settings.limits.body_timeout_s
        length = headers.get("content-length", "")
        if length.isdigit():
            self._check_size(int(length))
        kind = headers.get("content-type")
        if kind is not None and not _JSON.fullmatch(kind.partition(";")[0].strip().lower()):
            raise ProblemError(415, "unsupported-media-type", "send it with Content-Type: application/json")
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise ProblemError(415, "unsupported-media-type", "send the body without a content encoding")
        try:
            body = await within(patience_s, self._body())
        except TimeoutError as error:
            raise ProblemError(408, "request-timeout", f"the body took over {patience_s:g} s") from error
        costing.check(body, self.runtime.settings.limits.request_bytes)
        return body

    async def _body(self) -> bytearray:
        body, more, waits, clock = bytearray(), True, False, self.runtime.clock
        since = clock()
        while more:
            message = await self.request.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            self._check_size(len(body))
            if more := message.get("more_body", False):
                waits = True
        if waits:
            self.received += clock() - since
        return body

    def _check_size(self, size: int) -> None:
        if size > (limit := self.runtime.settings.limits.body_bytes):
            raise ProblemError(413, "too-large", f"the body is over {limit} bytes")

    def deadline(self, timeout_ms: int | None) -> Deadline:
        """The deadline of the whole request."""
        milliseconds = timeout_ms or self.runtime.settings.deadline.default_ms
        return Deadline(self.received + milliseconds / 1000, self.runtime.clock)

    def own_deadline(self, timeout_ms: int | None) -> bool:
        """Whether the client gives the request less time than it has by default."""
        return timeout_ms is not None and timeout_ms < self.runtime.settings.deadline.default_ms

    def took_ms(self) -> float:
        """Milliseconds since it came."""
        return round((self.runtime.clock() - self.received) * 1000, 3)

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which is cancelled when the client closes the connection.

        Work that waits for nothing is not watched over: its client could not be heard meanwhile.

        Raises:
            ClientGone: it did.
        """
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        task = asyncio.current_task()
        assert task is not None
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (await self.request.receive())["type"] != "http.disconnect":
                pass
            gone = True
            task.cancel()

        watchers: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        timer = loop.call_later(WATCH_AFTER_S, lambda: watchers.append(loop.create_task(watch())))
        try:
            return await Begun(work, waits_for)
        except asyncio.CancelledError:
            if gone and task.uncancel() == 0:
                raise ClientGone from None
            raise
        finally:
            timer.cancel()
            for watcher in watchers:
                watcher.cancel()

    def answer(self, answer: Mapping[str, Any], applied: str | None = None, stages: Stages = ()) -> Response:
        """The answer in the form that the client chose.

        Args:
            answer: what it tells.
            applied: the arms that the client got.
            stages: what the time went to, for ``Server-Timing``.
        """
        headers = {"Vary": "Accept", "Server-Timing": server_timing(stages, answer["took_ms"])}
        if applied is not None:
            headers["X-Experiment-Applied"] = applied
        return json_response(answer, MEDIA_TYPE if self.columnar else DEFAULT_TYPE, 200, **headers)


def runtime_of(request: Request) -> Runtime:
    """The worker's parts, ready or not."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def parse(model: type[B], body: bytearray | bytes, *within: int | str) -> B:
    """The body, or what stands ``within`` it, as its schema has it.

    Raises:
        ProblemError: 400 where it is not JSON, 422 where a field cannot be used.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error, *within) from error


async def parse_entries(
    envelope: type[BaseModel], field: str, body: bytearray, parse_entry: Callable[[Any, int], T]
) -> list[T]:
    """What a body of many entries holds, in turns with other requests.

    Args:
        envelope: the schema of the body, whose entries may be anything.
        field: where in it they are.
        body: as it came.
        parse_entry: makes one of an entry and its place.

    Raises:
        ProblemError: 400 where it is not JSON, 422 where a field cannot be used.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed_json(str(error)) from error
    if isinstance(content, dict) and len(content) > _ENVELOPE_FIELDS:
        raise unusable(f"the body has {len(content)} fields; there is one, {field}")
    try:
        entries = getattr(envelope.model_validate(content), field)
    except ValidationError as error:
        raise invalid_request(error) from error
    turns = Turns()
    parsed: list[T] = []
    for place, entry in enumerate(entries):
        await turns.take()
        parsed.append(parse_entry(entry, place))
    return parsed
