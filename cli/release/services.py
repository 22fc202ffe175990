"""The services that run by the configuration: have them read it again, and see what they have loaded."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx

from cli.release.exposition import Told, differing, read_exposition
from cli.release.plan import Services
from cli.release.towers import TOWERS
from common.errors import MrseError

#: Seconds for one answer of a service.
_ANSWER_S = 10.0
_AGAIN_S = 0.5
#: Services asked side by side.
_AT_ONCE = 32
#: Seconds for the command that has services read their configuration.
_RELOAD_S = 300.0


class ServicesError(MrseError):
    """Services do not answer, or do not take what the configuration says."""


class Fleet:
    """All of them.

    Args:
        wanted: where they are.
        key: shown to services that want one.
    """

    def __init__(self, wanted: Services, key: str | None = None) -> None:
        self._wanted = wanted
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(timeout=_ANSWER_S, headers=headers)
        self._askers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="services")

    def __bool__(self) -> bool:
        return bool(self._wanted.urls)

    def look(self) -> tuple[dict[str, Told], dict[str, str]]:
        """What each service tells, by its address, and why those that do not answer do not.

        They are asked side by side: those that are gone cost the time of one.
        """
        told: dict[str, Told] = {}
        away: dict[str, str] = {}
        addresses: list[str] = []
        for url in self._wanted.urls:
            try:
                addresses += _addresses(url) if self._wanted.resolve else [url]
            except OSError as error:
                away[url] = str(error)
        for address, found in zip(addresses, self._askers.map(self._ask, addresses), strict=True):
            if isinstance(found, Told):
                told[address] = found
            else:
                away[address] = found
        return told, away

    def _ask(self, address: str) -> Told | str:
        """What one service tells, or why it does not answer."""
        try:
            answer = self._client.get(f"{address.rstrip('/')}/metrics")
            if answer.status_code != 200:
                return f"/metrics answers {answer.status_code}"
            return read_exposition(answer.text)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
            return str(error) or type(error).__name__

    def told(self) -> dict[str, Told]:
        """What each service tells.

        Raises:
            ServicesError: one does not answer.
        """
        told, away = self.look()
        for address, why in away.items():
            raise ServicesError(f"{address}: {why}")
        return told

    def reload(self) -> None:
        """Have them read their configuration, by the plan's command; without one they watch it.

        Raises:
            ServicesError: the command failed.
        """
        if not self._wanted.reload:
            return
        said = " ".join(self._wanted.reload)
        try:
            done = subprocess.run(
                self._wanted.reload, capture_output=True, text=True, timeout=_RELOAD_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServicesError(f"`{said}`: {error}") from error
        if done.returncode:
            raise ServicesError(f"`{said}` ended with {done.returncode}: {done.stderr.strip()[-500:]}")

    def take(
        self,
        wanted: Mapping[str, tuple[str, str | None]],
        tell: Callable[[str], None] = lambda _: None,
        *,
        change: Callable[[bool], None],
    ) -> None:
        """Change their configuration, have them read it, and wait until all have loaded what it names.

        One that refused the same configuration before is asked again.

        Args:
            wanted: bundle and index of each arm; an index of None may be any.
            tell: told what is waited for.
            change: writes the configuration; told whether it has to be written even where it says so already,
                for services which watch it look at it again only then.

        Raises:
            ServicesError: one refused it, or did not take it in time.
        """
        if not self:
            change(False)
            self.reload()
            return
        # Before the change: one that watches its configuration may refuse it at once.
        told, away = self.look()
        refused = {address: its.refused for address, its in told.items()}
        change(not self._wanted.reload and bool(away or differing(told.values(), wanted)))
        self.reload()
        end = time.monotonic() + self._wanted.within_s
        while True:
            told, away = self.look()
            for address, its in told.items():
                if its.refused > refused.get(address, its.refused):
                    raise ServicesError(f"{address} refused to reload; its log says why")
            missing = [*away.values(), *differing(told.values(), wanted)]
            missing += [f"{address} is not ready" for address, its in told.items() if not its.ready]
            if not missing and told:
                return
            if time.monotonic() > end:
                why = missing[0] if missing else "no service answers"
                raise ServicesError(f"not taken within {self._wanted.within_s:g} s: {why}")
            tell(missing[0] if missing else "no service answers")
            time.sleep(_AGAIN_S)

    def switch(self, *, on: bool) -> bool:
        """Throw the switch of ``towers``: off, all are answered by the control within a second.

        Returns:
            whether it was thrown; without ``services.admin`` there is none.

        Raises:
            ServicesError: it cannot be thrown.
        """
        if self._wanted.admin is None:
            return False
        change: Any = {"experiments": {TOWERS: {"on": on}}}
        url = f"{self._wanted.admin.rstrip('/')}/admin/experiments"
        try:
            answer = self._client.post(url, json=change)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServicesError(f"{url}: {error}") from error
        if answer.status_code != 200:
            raise ServicesError(f"{url} answers {answer.status_code}: {answer.text[:300]}")
        return True

    def close(self) -> None:
        """Close its connections."""
        self._askers.shutdown()
        self._client.close()


def _addresses(url: str) -> list[str]:
    """A URL for each address that its name has."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    hosts = sorted({str(address[0]) for *_, address in found})
    return [f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}{parts.path}" for host in hosts]
