"""Whose a request is, and whether it may go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, NamedTuple

from common.deadline import Clock
from service.access.guesses import Guesses
from service.access.keyfile import Key
from service.access.keyring import KeyRing
from service.access.ports import Ports
from service.access.quotas import Quotas
from service.access.rates import Rates
from service.access.token import AdminToken
from service.admission.client import CLIENT, client_of
from service.errors import Forbidden, TooManyRequests, Unauthorized
from service.settings import Scope, Settings

#: Where the caller stands in a request's scope. The client that fair shares go by, `CLIENT`, is the key's
#: name; who shows no key has no client there, and is known by address alone.
CALLER = "mrse.caller"
#: The name under which changes by the admin token are audited.
ADMIN_TOKEN = "admin-token"
_ALL: frozenset[Scope] = frozenset(("read", "write", "events", "metrics", "experiments"))
_BEARER = b"bearer "


class Caller(NamedTuple):
    """Who makes a request. ``name`` is of the key, and None for who shows none."""

    name: str | None
    scopes: frozenset[Scope]
    key: Key | None = None


class Guard:
    """Lets requests through, by port, key and rate.

    Args:
        settings: the groups ``access`` and ``server``.
        refused: told why a request was refused.
        reread: told ``read`` or ``failed`` when the file of keys, or that of the admin token, changed.
        clock: seconds, by which rates count.
        wall: seconds since 1970, by which quotas do.

    Raises:
        StartError: the file of keys or that of the admin token cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        refused: Callable[[str], None] = lambda _: None,
        reread: Callable[[str], None] = lambda _: None,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        access = settings.access
        self._ring = KeyRing(access.keys, reread)
        self._has_keys = access.keys is not None
        self._ports = Ports(settings.server.admin_port)
        self._token = AdminToken(settings.server, reread)
        self._anonymous = Caller(None, frozenset(access.without_key))
        self._rates = Rates(1 / settings.server.workers, clock)
        self._quotas = Quotas(1 / settings.server.workers, wall)
        self._guesses = Guesses(clock)
        self._refused = refused
        header = settings.limits.client_header
        self._client_header = None if header is None else header.lower().encode()

    def recognise(self, scope: MutableMapping[str, Any]) -> None:
        """Leave the client in the scope of a request whose key is good; says nothing of any other."""
        if self._has_keys and (shown := _bearer(scope["headers"])) is not None:
            key, good = self._ring.find(shown)
            if key is not None and good:
                scope[CLIENT] = key.name

    def enter(self, scope: MutableMapping[str, Any], needs: Scope) -> None:
        """Let a request through: leaves its caller and client in its scope, and takes it from the rate.

        Raises:
            NotHere: it came to the wrong port.
            Unauthorized: it shows no key, or a wrong one.
            Forbidden: its key is not for this.
            TooManyRequests: its key has used up its rate or quota, or its address has shown too many wrong
                keys.
        """
        if self._ports.apart:
            self._ports.check(scope, needs)
        caller = scope[CALLER] = self.caller(scope, needs)
        if needs not in caller.scopes:
            if caller.name is None:
                self._refused("missing")
                raise Unauthorized("a key is needed: Authorization: Bearer <key>")
            self._refused("forbidden")
            raise Forbidden(f"the key {caller.name} is not for this; it has no scope {needs!r}")
        if caller.name is not None:
            scope[CLIENT] = caller.name
            self._take(caller, 1.0)

    def caller(self, scope: MutableMapping[str, Any], needs: Scope | None = None) -> Caller:
        """Who makes a request, where that matters for what it needs.

        Raises:
            Unauthorized: it shows a wrong key.
            TooManyRequests: its address has shown too many of them.
        """
        # Without a file of keys, what stands in the header may be meant for a proxy. The token is not looked
        # at either where nothing needs it, or else any endpoint could be used to guess it.
        if not self._has_keys and (needs is None or needs in self._anonymous.scopes):
            return self._anonymous
        shown = _bearer(scope["headers"])
        if shown is None:
            return self._anonymous
        key, good = self._ring.find(shown)
        if key is not None and good:
            return Caller(key.name, key.scopes, key)
        if key is not None:
            self._refused("expired")
            raise Unauthorized(f"the key {key.name} has expired")
        # A key of the file is never kept waiting: nobody finds it by trying, and whoever shares an address
        # with its owner, behind a proxy, must not lock the owner out. A token that somebody chose might be
        # found, so it is not even looked at while its address has to wait.
        address = client_of(scope, self._client_header)
        wait_s = self._guesses.waits(address)
        if wait_s == 0 and self._token.is_(shown):
            return Caller(ADMIN_TOKEN, _ALL)
        if wait_s > 0 or (wait_s := self._guesses.wrong(address)) > 0:
            self._refused("slowed")
            raise TooManyRequests("too many wrong keys from this address", wait_s)
        self._refused("unknown")
        raise Unauthorized("the key is wrong")

    def charge(self, scope: MutableMapping[str, Any], cost: float) -> None:
        """Take more from the rate of a request that was let through, such as for the entries of a batch.

        Raises:
            TooManyRequests: its key has used up its rate or quota.
        """
        if cost > 0:
            self._take(scope[CALLER], cost)

    async def follow(self) -> None:
        """Follow the files of keys and of the admin token for as long as the service runs."""
        await asyncio.gather(self._ring.follow(self._forget), self._token.follow())

    def _forget(self) -> None:
        names = self._ring.names()
        self._rates.keep(names)
        self._quotas.keep(names)

    def _take(self, caller: Caller, cost: float) -> None:
        key = caller.key
        if key is None:
            return
        if key.rate is not None:
            self._take_rate(key, key.rate, cost)
        if key.quota is not None and (wait_s := self._quotas.wait(key.name, key.quota, cost)) > 0:
            self._refused("quota")
            raise TooManyRequests(
                f"the key {key.name} has used up its {key.quota:,} requests of a day", wait_s
            )

    def _take_rate(self, key: Key, rate: float, cost: float) -> None:
        wait_s = self._rates.wait(key.name, rate, key.burst, cost)
        if wait_s > 0:
            self._refused("rate")
            raise TooManyRequests(f"the key {key.name} has used up its {rate:g} requests a second", wait_s)


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """What stands behind ``Bearer``; None without it, and no key at all where it stands twice."""
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        return None
    if len(found) > 1:
        return b""
    return found[0][len(_BEARER) :] if found[0][: len(_BEARER)].lower() == _BEARER else None
