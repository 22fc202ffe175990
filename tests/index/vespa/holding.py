"""A document server that lets a removal arrive late."""

from __future__ import annotations

import asyncio

from devtools.vespa_fakes.document_server import DocumentServer
from devtools.vespa_fakes.fault_server import Request


class Holding(DocumentServer):
    """Holds the next removal after `hold` back until ``let_go`` is set; ``held`` says when it is there."""

    holds = False

    def hold(self) -> None:
        self.holds, self.held, self.let_go = True, asyncio.Event(), asyncio.Event()

    async def _serve_one(self, item: str, request: Request, writer: asyncio.StreamWriter) -> None:
        if self.holds and request.method == "DELETE":
            self.holds = False
            self.held.set()
            await self.let_go.wait()
        await super()._serve_one(item, request, writer)
