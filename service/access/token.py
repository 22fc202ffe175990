"""The admin token. Where it stands in a file, what changes there counts within seconds."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable

from common.files import file_stamp
from common.secret_files import SecretFileError, read_secret
from service.access.following import follow
from service.errors import StartError
from service.settings import Server

log = logging.getLogger("mrse.service")


class AdminToken:
    """The token of ``server.admin_token`` or ``server.admin_token_file``, or none.

    A file that cannot be used any more changes nothing, so that a slip locks nobody out. To withdraw a token,
    put another in its place.

    Args:
        settings: the group ``server``.
        count: told ``read`` or ``failed`` when a file that changed was read again.

    Raises:
        StartError: the file cannot be used.
    """

    def __init__(self, settings: Server, count: Callable[[str], None] = lambda _: None) -> None:
        self._path = settings.admin_token_file
        self._count = count
        self._seen = file_stamp(self._path)
        given = settings.admin_token
        self._token = None if given is None else given.get_secret_value().encode()
        if self._path is not None:
            try:
                self._token = read_secret(self._path).encode()
            except SecretFileError as error:
                raise StartError(f"server.admin_token_file: {error}") from error

    def is_(self, shown: bytes) -> bool:
        """Whether a caller showed it; takes as long whatever was shown."""
        return self._token is not None and hmac.compare_digest(shown, self._token)

    def refresh(self) -> bool:
        """Read the file again where it changed; whether it did. May run on a thread."""
        if self._path is None or (now := file_stamp(self._path)) == self._seen:
            return False
        self._seen = now
        try:
            self._token = read_secret(self._path).encode()
        except SecretFileError as error:
            self._count("failed")
            log.error("the admin token stays as it was: %s", error)
            return False
        self._count("read")
        log.info("admin token read again")
        return True

    async def follow(self) -> None:
        """`refresh` for as long as the service runs."""
        if self._path is not None:
            await follow(self.refresh, lambda: None, lambda: self._count("failed"))
