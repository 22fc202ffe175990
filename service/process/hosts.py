"""Which names of the service a request may have in ``Host``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

#: Names of the loopback address, to which no name of a stranger's can be made to point.
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
#: Values of ``Host`` that were found good and are known by heart.
_KNOWN = 256


class AllowedHosts:
    """An allow-list for ``Host``.

    A page of a stranger whose name is made to point at 127.0.0.1 (DNS rebinding) can read whatever a service
    on the same machine answers; its requests have the stranger's name in ``Host``.

    Args:
        names: the names, without port; ``*.`` in front allows any name below; none: see ``listens_on``.
        listens_on: the address that the service listens on. Without names, a service that listens on the
            loopback address alone is asked by that address's names alone, and any other by any name.
    """

    def __init__(self, names: Iterable[str], listens_on: str) -> None:
        self._names = frozenset(name.lower() for name in names) or (
            frozenset(_LOOPBACK_NAMES) if _is_loopback(listens_on) else frozenset()
        )
        self._known: set[bytes] = set()

    def allows(self, host: bytes) -> bool:
        """Whether a request may have this ``Host``, with its port or without."""
        if not self._names or host in self._known:
            return True
        name = _without_port(host.decode("latin-1")).lower().rstrip(".")
        found = name in self._names or any(_below(name, allowed) for allowed in self._names)
        if found and len(self._known) < _KNOWN:
            self._known.add(host)
        return found


def _below(name: str, allowed: str) -> bool:
    return allowed.startswith("*.") and name.endswith(allowed[1:])


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
