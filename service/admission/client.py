"""Whose a request is, for fair shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, IPv6Network
from typing import Any

#: In a request's scope: the name of the key that it came with, where it came with one.
CLIENT = "mrse.client"
_LONGEST_NAME = 256
#: Of an IPv6 address: a home or a machine has at least as many addresses as these bits tell apart.
_HOST_BITS = 64


def client_of(scope: Mapping[str, Any], header: bytes | None) -> str:
    """The client's name: of its key, else what the trusted proxy says, else its address.

    Args:
        scope: of the request.
        header: name, in lower case, of the header in which a proxy tells the client's address; of several
            values the last counts, which is the proxy's own.
    """
    name: str | None = scope.get(CLIENT)
    if name is None and header is not None:
        name = _told(scope["headers"], header)
    if name is None:
        address = scope.get("client")
        name = "" if address is None else network(address[0])
    return name


def network(address: str) -> str:
    """An address without what its owner may choose."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed) >> _HOST_BITS << _HOST_BITS, 128 - _HOST_BITS)))


def _told(headers: Iterable[tuple[bytes, bytes]], header: bytes) -> str | None:
    told = None
    for name, value in headers:
        if name == header:
            told = value
    if not told:
        return None
    return network(told.rpartition(b",")[2].strip().decode("latin-1")[:_LONGEST_NAME])
