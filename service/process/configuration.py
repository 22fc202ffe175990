"""How uvicorn is configured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import uvicorn

from service.process.handshake import Handshake
from service.process.protocol import Protocol
from service.process.tls import tls_context
from service.settings import Server, Settings


def protocol_of(server: Server) -> Callable[..., asyncio.Protocol]:
    """What a new connection speaks: HTTP, or first the handshake of TLS.

    Raises:
        StartError: a file of the settings' TLS cannot be used.
    """
    context = tls_context(server)
    return Protocol if context is None else partial(Handshake, context)


def server_config(settings: Settings, app: object) -> uvicorn.Config:
    """uvicorn's configuration for an application; uvicorn itself knows nothing of TLS.

    Raises:
        StartError: a file of the settings' TLS cannot be used.
    """
    server = settings.server
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=server.host,
        port=server.port,
        backlog=server.backlog,
        timeout_keep_alive=server.keep_alive_s,
        timeout_graceful_shutdown=server.drain_s,
        http=protocol_of(server),  # type: ignore[arg-type]  # a maker of protocols will do
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # An address is the peer's; what proxies say of it counts where `limits.client_header` names one.
        proxy_headers=False,
    )
