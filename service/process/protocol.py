"""HTTP/1.1 on one connection: uvicorn's protocol, with the bounds that it lacks."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.door import ARRIVED, DOOR, Door


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._door: Door | None = self.app_state.get(DOOR)
        #: The request that the parser is in, until it is begun.
        self._unbegun: tuple[RequestResponseCycle, ASGI3Application] | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes; a request whose body is still to come is begun, and waits for it itself."""
        super().data_received(data)
        if self._unbegun is not None:
            (cycle, app), self._unbegun = self._unbegun, None
            arrived: float = cycle.scope[ARRIVED]  # type: ignore[literal-required]  # our own key
            if self._door is None or not self._door.turn_away(cycle, arrived, self.on_response_complete):
                super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        """Note when the first byte of a request's head came."""
        super().on_message_begin()
        self.scope[ARRIVED] = time.monotonic()  # type: ignore[literal-required]  # our own key

    def on_message_complete(self) -> None:
        """Begin a request that is all there, when it is its turn."""
        super().on_message_complete()
        if self._unbegun is not None:
            (cycle, app), self._unbegun = self._unbegun, None
            self._begin(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._door is None:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body and cycle is self.cycle:  # its body may be in the bytes at hand
            self._unbegun = cycle, app
        else:
            self._begin(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._door is None:
            super()._start_asgi_task(cycle, app)
            return
        arrived: float = cycle.scope[ARRIVED]  # type: ignore[literal-required]  # our own key
        start = partial(super()._start_asgi_task, cycle, app)
        self._door.begin(cycle, arrived, start, self.on_response_complete)
