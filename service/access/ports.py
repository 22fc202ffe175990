"""Which port a call is answered on, where calls that change something have one of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.errors import NotHere
from service.settings import Scope

#: What a key must be good for, for the calls that are answered on ``server.admin_port`` alone.
APART: frozenset[Scope] = frozenset(("write", "metrics"))


class Ports:
    """Keeps calls to their port: a network can then let some callers reach one of them alone.

    Args:
        admin_port: ``server.admin_port``; 0: every call is answered on the one port that there is.
    """

    def __init__(self, admin_port: int) -> None:
        self._admin_port = admin_port
        #: Whether there are two ports.
        self.apart = admin_port != 0

    def check(self, scope: Mapping[str, Any], needs: Scope) -> None:
        """Refuse a call that came to the other port.

        Args:
            scope: of the request, with ``server`` as ASGI has it.
            needs: what its caller's key must be good for.

        Raises:
            NotHere: it did.
        """
        here = scope["server"][1] == self._admin_port
        if here and needs not in APART:
            raise NotHere("this is the port of changes and metrics (server.admin_port); ask at server.port")
        if not here and needs in APART:
            raise NotHere("changes and metrics have a port of their own (server.admin_port)")
