"""What happens to a request between its last byte and its first work: it is begun, waits, or is refused.

A refusal here costs a small part of an answer: nothing is parsed, and no task, route or log line is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from service.admission import Admission
from service.admission.client import client_of
from service.http.middleware import request_id_of
from service.http.problems import MEDIA_TYPE, overloaded
from service.http.versions import unversioned
from service.scope import ARRIVED

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

#: In a request's scope: it has waited for its turn.
ADMITTED = "mrse.admitted"
#: In the state that the application's lifespan gives: what it needs for this.
DOOR = "mrse.door"
#: Bytes of a body that are read and thrown away, so that the connection can be kept.
_SMALL_BODY = 65_536
_SIMILAR = re.compile(r"/items/.+/similar")
#: Told of each refusal: the route's template, the method, and the seconds since the request came.
OnRefusal = Callable[[str, str, float], None]


class Door:
    """Begins the requests of one worker that cost work; others, such as probes, are begun at once.

    Args:
        admission: says when.
        client_header: see `client_of`.
        retry_after: seconds after which the next client that is refused may try again.
        on_refusal: told of each refusal.
        recognise: leaves the client of a request with a key in its scope.
    """

    def __init__(
        self,
        admission: Admission,
        client_header: bytes | None,
        retry_after: Callable[[], int],
        on_refusal: OnRefusal,
        recognise: Callable[[Any], None] = lambda scope: None,
    ) -> None:
        self._admission = admission
        self._header = client_header
        self._retry_after = retry_after
        self._on_refusal = on_refusal
        self._recognise = recognise

    def begin(
        self, cycle: RequestResponseCycle, arrived: float, start: Callable[[], None], done: Callable[[], None]
    ) -> None:
        """Begin a request whose bytes are all there, now or later, or refuse it.

        Args:
            cycle: uvicorn's; it tells whether the client has gone.
            arrived: when its first byte came.
            start: begins it.
            done: called when it was refused and the refusal is written.
        """
        scope: Any = cycle.scope
        route = _guarded(scope)
        if route is None:
            start()
            return
        lain_s = self._admission.pulse.lain_s(cycle.transport)
        if lain_s:
            arrived = min(arrived, self._admission.gate.clock() - lain_s)
            scope[ARRIVED] = arrived

        def begin() -> bool:
            if cycle.disconnected:
                return False
            scope[ADMITTED] = True
            start()
            return True

        def refuse() -> None:
            if not cycle.disconnected:
                self._refuse(cycle, route, self._admission.gate.clock() - arrived)
                done()

        self._recognise(scope)
        self._admission.gate.submit(client_of(scope, self._header), arrived, begin, refuse)

    def turn_away(self, cycle: RequestResponseCycle, arrived: float, done: Callable[[], None]) -> bool:
        """Refuse a request whose body is still to come, where it would wait too long as things are.

        One with a large body, or one whose size is not known, is left to the application, which ends the
        connection rather than read it.
        """
        scope: Any = cycle.scope
        route, gate = _guarded(scope), self._admission.gate
        if route is None or not gate.waiting:
            return False
        self._recognise(scope)
        now = gate.clock()
        hopeless = gate.hopeless(client_of(scope, self._header), now, arrived + gate.patience_s)
        if hopeless and _small(scope):
            self._refuse(cycle, route, now - arrived)
            done()
            return True
        return False

    def _refuse(self, cycle: RequestResponseCycle, route: str, seconds: float) -> None:
        """Write a 503 past the application, and keep the connection."""
        scope: Any = cycle.scope
        self._admission.refused("waiting")
        self._on_refusal(route, scope["method"], seconds)
        name = request_id_of(scope["headers"])
        problem = overloaded("it would wait too long")
        body = orjson.dumps(problem.body(name))
        close = "" if cycle.keep_alive else "connection: close\r\n"
        date = b"".join(b"%b: %b\r\n" % header for header in cycle.default_headers)
        head = (
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"retry-after: {self._retry_after()}\r\nx-request-id: {name}\r\n{close}\r\n"
        )
        cycle.transport.write(b"HTTP/1.1 503 Service Unavailable\r\n" + date + head.encode() + body)
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            cycle.transport.close()


def _small(scope: Any) -> bool:
    """Whether the rest of the body may be read and thrown away."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return (
        len(lengths) == 1 and lengths[0].isdigit() and len(lengths[0]) < 8 and int(lengths[0]) <= _SMALL_BODY
    )


def _guarded(scope: Any) -> str | None:
    """The template of the route of a request that costs work."""
    path = unversioned(scope["path"])
    if path in ("/recall", "/recall/batch"):
        return path if scope["method"] == "POST" else None
    # HEAD too would be answered by it; but a refusal has a body, and must not be sent for one.
    similar = scope["method"] == "GET" and _SIMILAR.fullmatch(path)
    return "/items/{item_id}/similar" if similar else None
