"""How a call is made: within its deadline, once more where that is safe; without doing the sending.

`exchange` is a generator: it gives `Send` and `Sleep` to whoever can do them, the synchronous or the
asynchronous client, and is told what came of it. So both behave alike.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import httpx

from mrse_client.calls import Call
from mrse_client.errors import ConnectionFailed, DeadlinePassed, MrseError, UnexpectedAnswer, problem_of

#: The longest that the service waits for anything that it is asked for, in milliseconds.
LONGEST_MS = 10_000
#: Kept back of the caller's time for the way there and back, in milliseconds; inferred, not measured.
WAY_MS = 5.0
#: Seconds until a refused connection is tried again, and as much again by chance.
_PAUSE_S = 0.02
_CHARACTERS_SHOWN = 200


@dataclass(frozen=True)
class Send:
    """Send this request; every wait of it within ``timeout_s``."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes | None
    params: dict[str, str]
    timeout_s: float


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Received:
    """What came back."""

    status: int
    headers: httpx.Headers
    content: bytes


Exchange = Generator[Send | Sleep, Received | httpx.TransportError | None, Any]


def exchange(call: Call, clock: Callable[[], float]) -> Exchange:
    """Make a call; returns what its JSON says.

    Raises:
        MrseError: each of the ways in which it can fail, in `mrse_client.errors`.
    """
    until = clock() + call.timeout_ms / 1000
    again = True
    while True:
        left_s = until - clock()
        told_ms = min(int(left_s * 1000 - WAY_MS), LONGEST_MS) if call.passes else int(left_s * 1000)
        if told_ms < 1:
            raise DeadlinePassed(f"{call.timeout_ms:g} ms have passed")
        content, params = call.told(told_ms)
        headers = {"Accept": call.accept}
        if content is not None:
            headers["Content-Type"] = "application/json"
        got = yield Send(call.method, call.path, headers, content, params, left_s)
        error, pause_s = _judge(call, got, until - clock())
        if error is None:
            assert isinstance(got, Received)
            return _json(got)
        if pause_s is None or not again or pause_s >= until - clock():
            raise error
        again = False
        yield Sleep(pause_s)


def _judge(
    call: Call, got: Received | httpx.TransportError | None, left_s: float
) -> tuple[MrseError | None, float | None]:
    """What went wrong, if anything, and after how many seconds it may be tried again; None for never."""
    if isinstance(got, httpx.TimeoutException) or (left_s <= 0 and isinstance(got, httpx.TransportError)):
        return DeadlinePassed(f"no answer within {call.timeout_ms:g} ms"), None
    if isinstance(got, httpx.ConnectError):  # nothing was sent
        return ConnectionFailed(str(got) or "no connection"), _PAUSE_S * (1 + random.random())
    if not isinstance(got, Received):
        return ConnectionFailed(str(got) or type(got).__name__), None
    if got.status < 300:
        return None, None
    retry_after_s = _seconds(got.headers.get("retry-after"))
    kind = got.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/problem+json":
        error: MrseError = problem_of(got.status, _json(got), retry_after_s)
    else:
        shown = got.content[:_CHARACTERS_SHOWN].decode("utf-8", "replace")
        error = UnexpectedAnswer(f"{got.status} {kind or 'without a type'}: {shown}")
    return error, retry_after_s if got.status == 503 and call.repeatable else None


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None


def _json(got: Received) -> Any:
    try:
        value = json.loads(got.content)
    except ValueError as error:
        raise UnexpectedAnswer(f"{got.status}, and no JSON: {error}") from error
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"{got.status}, and JSON that is no object")
    return value
