"""What every endpoint that works needs: the runtime, the body in time, and notice of a client that left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from common.deadline import within
from service.http.problems import ProblemError
from service.runtime import Runtime

T = TypeVar("T")
_JSON = ("application/json",)
#: Work that is done sooner is not watched over: nobody can leave in time to save any of it.
WATCH_AFTER_S = 0.005


class ClientGone(Exception):  # noqa: N818 -- a state of the world
    """Nobody waits for the answer any more."""


def runtime_of(request: Request) -> Runtime:
    """The worker's parts, ready or not."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def ready_runtime(request: Request) -> Runtime:
    """The worker's parts, once it can answer.

    Raises:
        ProblemError: 503 while loading.
    """
    runtime = runtime_of(request)
    if not runtime.ready:
        runtime.metrics.refused("not_ready")
        raise not_ready(runtime)
    return runtime


def not_ready(runtime: Runtime) -> ProblemError:
    """The problem of a worker that is still loading; says what."""
    retry = {"Retry-After": str(runtime.settings.limits.retry_after_s)}
    return ProblemError(503, "not-ready", runtime.progress, headers=retry)


async def read_json(request: Request, timeout_s: float) -> bytes:
    """The body of a request that says that it is JSON, or says nothing about it.

    Raises:
        ProblemError: 415 for another type or a compressed body, 408 when the client is too slow.
        ClientGone: it left before its body was complete.
    """
    kind = request.headers.get("content-type")
    if kind is not None:
        essence = kind.partition(";")[0].strip().lower()
        if essence not in _JSON and not (essence.startswith("application/") and essence.endswith("+json")):
            raise ProblemError(415, "unsupported-media-type", "send it with Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ProblemError(415, "unsupported-media-type", "send the body without a content encoding")
    try:
        return await within(timeout_s, request.body())
    except TimeoutError as error:
        raise ProblemError(408, "request-timeout", f"the body took over {timeout_s:g} s") from error
    except ClientDisconnect as error:
        raise ClientGone from error


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client closes the connection.

    Raises:
        ClientGone: it did.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
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
