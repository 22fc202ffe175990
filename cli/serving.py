"""What ``mrse serve`` and ``mrse demo`` share: whether a port is free."""

from __future__ import annotations

import errno
import socket

from cli.console import fail


def refuse_taken(host: str, port: int, example: str) -> None:
    """Fail where nobody can listen: somebody does already, or the address is not this machine's.

    Args:
        host: the address.
        port: the port; 0 is any.
        example: a command that names another port.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # as the server does
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as error:
        of_the_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = (
            f"try another port, as in `{example}`" if of_the_port else "is it an address of this machine?"
        )
        fail(f"cannot listen on {host}:{port}: {error.strerror}; {remedy}")
