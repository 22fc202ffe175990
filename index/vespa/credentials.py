"""Certificates and token, read again when their files change, so that they are renewed without a restart."""

from __future__ import annotations

import logging
import ssl
import time
from pathlib import Path
from typing import Final

from common.deadline import Clock
from index.vespa.settings import EndpointError, EndpointSettings

log = logging.getLogger("mrse.vespa")

#: Seconds between two looks at the files.
_LOOK_EVERY: Final = 10.0
#: What tells that a file is another one: inode, time of change in nanoseconds, bytes.
_Stamp = tuple[int, int, int]


class Credentials:
    """What new connections and requests show. Connections that are open keep what they were made with.

    Files that cannot be used, as half of a renewed pair, change nothing; they are looked at again.

    Raises:
        OSError, ssl.SSLError: a file cannot be read, or key and certificate do not belong together.
        EndpointError: the token's file holds no token.
    """

    def __init__(self, settings: EndpointSettings, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._https = any(url.startswith("https:") for url in settings.urls)
        files = (settings.ca, settings.certificate, settings.key, settings.token_file)
        self._files = [file for file in files if file is not None]
        self._look_at = clock() + _LOOK_EVERY
        self._seen = self._stamps()
        self._tls, self._token = self._read()

    def current(self) -> tuple[ssl.SSLContext | None, str | None]:
        """The TLS context, where an endpoint is https, and the token, where there is one."""
        if self._files and self._clock() >= self._look_at:
            self._look_at = self._clock() + _LOOK_EVERY
            self._look()
        return self._tls, self._token

    def _look(self) -> None:
        try:
            seen = self._stamps()
            if seen == self._seen:
                return
            self._tls, self._token = self._read()
        except (OSError, EndpointError) as error:  # an SSLError is an OSError
            log.warning("vespa: changed certificates or token cannot be used", extra={"error": str(error)})
        else:
            self._seen = seen
            log.info("vespa: certificates and token were read again")

    def _stamps(self) -> list[_Stamp]:
        stats = [file.stat() for file in self._files]
        return [(each.st_ino, each.st_mtime_ns, each.st_size) for each in stats]

    def _read(self) -> tuple[ssl.SSLContext | None, str | None]:
        settings = self._settings
        token = settings.token
        if settings.token_file is not None:
            token = _token(settings.token_file)
        return (_tls_context(settings) if self._https else None), token


def _token(file: Path) -> str:
    token = file.read_text(encoding="utf-8", errors="replace").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise EndpointError(f"{file} holds no token")
    return token


def _tls_context(settings: EndpointSettings) -> ssl.SSLContext:
    """The TLS context: TLS 1.2 or newer, trusting ``ca``, with our certificate where one is given."""
    context = ssl.create_default_context(cafile=settings.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = settings.check_hostname
    if settings.certificate is not None:
        context.load_cert_chain(settings.certificate, settings.key)
    return context
