"""A client that sends any bytes."""

from __future__ import annotations

import socket
from contextlib import suppress

from devtools.cost.requests import Request

#: Status of a request whose connection was closed without an answer.
CLOSED = 0
_PATIENCE_S = 120


class Client:
    """One connection to a server, opened again where it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: Request) -> int:
        """The status of the answer, which is read whole."""
        sent = _head(request) + request.body
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=_PATIENCE_S)
        with suppress(BrokenPipeError, ConnectionResetError):  # refused early; the answer may be there
            self._socket.sendall(sent)
        try:
            status, kept = _read(self._socket)
        except (ConnectionResetError, EOFError):
            status, kept = CLOSED, False
        if not kept:
            self.close()
        return status

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _head(request: Request) -> bytes:
    path = request.path.replace(b" ", b"%20").replace(b'"', b"%22").replace(b"\n", b"%0A")
    lines = [request.method.encode() + b" " + path + b" HTTP/1.1", b"host: localhost"]
    headers = {name.encode(): value for name, value in request.headers.items()}
    if request.method in ("POST", "PUT", "PATCH"):
        headers = {b"content-type": b"application/json"} | headers
        headers[b"content-length"] = str(len(request.body)).encode()
    lines += [name + b": " + value for name, value in headers.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _read(connection: socket.socket) -> tuple[int, bool]:
    """Status of an answer, and whether the connection goes on."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    head = bytes(data[:end]).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    left = length - (len(data) - end - 4)
    while left > 0:
        left -= len(_more(connection))
    return int(head.split(b" ", 2)[1]), b"connection: close" not in head


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 20)
    if not data:
        raise EOFError
    return data
