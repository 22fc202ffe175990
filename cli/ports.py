"""Whether a port can be listened on, found out before any work."""

from __future__ import annotations

import socket

from cli.console import fail


def refuse_taken(host: str, port: int, example: str) -> None:
    """Fail where nobody can listen: somebody does already, or the address is not this machine's.

    Args:
        host: the address.
        port: the port; 0 is any.
        example: a command that names another port.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fail(f"cannot listen on {host}:{port}: {error.strerror}; try another port, as in `{example}`")
