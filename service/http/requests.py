"""A request on its way: its body in time and within bounds, and notice of a client that left."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from common.deadline import Deadline, within
from service.admission import Ticket
from service.errors import NotReady, RecallError
from service.http.columnar import DEFAULT_TYPE, MEDIA_TYPE, json_response, wants_columns
from service.http.problems import ProblemError, invalid_request
from service.http.scope import request_id
from service.runtime import Runtime
from service.settings import Limits

T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)
#: Work that is done sooner is not watched over: nobody can leave in time to save any of it.
WATCH_AFTER_S = 0.005
_JSON = re.compile(r"application/(.*\+)?json")


class ClientGone(RecallError):  # noqa: N818 -- a state of the world
    """Nobody waits for the answer any more."""


class Call:
    """One request to the recall API, as every step of its answer needs it.

    Attributes:
        runtime: the worker's parts, loaded.
        request_id: its id, which the answer carries.
        experiment: what the client sent as ``X-Experiment``.
        columnar: whether the client wants the items as columns.
        received: when its last byte came, in seconds on the runtime's clock; its time counts from there.
    """

    __slots__ = ("_request", "columnar", "experiment", "received", "request_id", "runtime")

    def __init__(self, request: Request) -> None:
        """Begin.

        Raises:
            NotReady: the worker is still loading.
        """
        self._request = request
        self.runtime = ready_runtime(request)
        self.request_id = request_id(request)
        self.experiment = request.headers.get("x-experiment")
        self.columnar = wants_columns(request)
        self.received = self.runtime.clock()

    async def read(self) -> bytes:
        """The body; raises as `read_json` does."""
        body = await read_json(self._request, self.runtime.settings.limits)
        self.received = self.runtime.clock()
        return body

    def admitted(self) -> Ticket:
        """A place among the requests that are worked on.

        Raises:
            Overloaded: none is free.
        """
        return self.runtime.admission.enter()

    def deadline(self, timeout_ms: int | None) -> Deadline:
        """Of the whole request."""
        return self.runtime.deadline(timeout_ms, self.received)

    def took_s(self) -> float:
        """Seconds since the last byte came."""
        return self.runtime.clock() - self.received

    def answer(self, answer: Mapping[str, Any], applied: str | None = None) -> Response:
        """The answer in the form that the client chose; ``applied`` tells the arms that it got."""
        headers = {"Vary": "Accept"} | ({} if applied is None else {"X-Experiment-Applied": applied})
        return json_response(answer, MEDIA_TYPE if self.columnar else DEFAULT_TYPE, **headers)

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which is cancelled when the client closes the connection.

        Raises:
            ClientGone: it did.
        """
        task = asyncio.current_task()
        assert task is not None
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (await self._request.receive())["type"] != "http.disconnect":
                pass
            gone = True
            task.cancel()

        watchers: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        timer = loop.call_later(WATCH_AFTER_S, lambda: watchers.append(loop.create_task(watch())))
        try:
            return await work
        except asyncio.CancelledError:
            if gone and task.uncancel() == 0:
                raise ClientGone from None
            raise
        finally:
            timer.cancel()
            for watcher in watchers:
                watcher.cancel()


def runtime_of(request: Request) -> Runtime:
    """The worker's parts, ready or not."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def ready_runtime(request: Request) -> Runtime:
    """The worker's parts, once it can answer.

    Raises:
        NotReady: it is still loading; the message says what.
    """
    runtime = runtime_of(request)
    if not runtime.ready:
        runtime.metrics.refused("not_ready")
        raise NotReady(runtime.progress)
    return runtime


def parse(model: type[B], body: bytes) -> B:
    """The body as its schema has it.

    Raises:
        ProblemError: 400 where it is not JSON, 422 where a field cannot be used.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error) from error


async def read_json(request: Request, limits: Limits) -> bytes:
    """The body of a request that says that it is JSON, or says nothing about it.

    Raises:
        ProblemError: 413 for a body that is too large, as soon as that can be told; 415 for another type or
            a compressed body; 408 when the client is too slow.
        ClientGone: it left before its body was complete.
    """
    length = request.headers.get("content-length")
    if length is not None and length.isdigit() and int(length) > limits.body_bytes:
        raise _too_large(limits)
    kind = request.headers.get("content-type")
    if kind is not None:
        essence = kind.partition(";")[0].strip().lower()
        if not _JSON.fullmatch(essence):
            raise ProblemError(415, "unsupported-media-type", "send it with Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ProblemError(415, "unsupported-media-type", "send the body without a content encoding")
    try:
        return await within(limits.body_timeout_s, _read(request, limits))
    except TimeoutError as error:
        detail = f"the body took over {limits.body_timeout_s:g} s"
        raise ProblemError(408, "request-timeout", detail) from error
    except ClientDisconnect as error:
        raise ClientGone from error


async def _read(request: Request, limits: Limits) -> bytes:
    chunks, seen = [], 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > limits.body_bytes:
            raise _too_large(limits)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limits: Limits) -> ProblemError:
    return ProblemError(413, "too-large", f"the body is over {limits.body_bytes} bytes")
