"""How uvicorn is configured."""

from __future__ import annotations

import uvicorn

from service.process.protocol import Protocol
from service.process.tls import tls_options
from service.settings import Settings


def server_config(settings: Settings, app: object) -> uvicorn.Config:
    """uvicorn's configuration for an application."""
    server = settings.server
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=server.host,
        port=server.port,
        backlog=server.backlog,
        timeout_keep_alive=server.keep_alive_s,
        timeout_graceful_shutdown=server.drain_s,
        http=Protocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # An address is the peer's; what proxies say of it counts where `limits.client_header` names one.
        proxy_headers=False,
        **tls_options(server),
    )
