"""HTTP/1.1 on one connection: uvicorn's protocol, with the bounds that it lacks."""

from __future__ import annotations

import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: In a request's scope: when the first byte of its head came, in seconds on ``time.monotonic``.
ARRIVED = "mrse.arrived"


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    def on_message_begin(self) -> None:
        """Note when the first byte of a request's head came."""
        super().on_message_begin()
        self.scope[ARRIVED] = time.monotonic()  # type: ignore[literal-required]  # our own key
