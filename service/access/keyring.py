"""The keys that are good now. They follow their file: what changes there counts within seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from common.deadline import Clock
from common.files import file_stamp
from service.access.following import follow
from service.access.keyfile import LOOKS_LIKE, Key, digest, read_keys
from service.errors import StartError

log = logging.getLogger("mrse.service")


class KeyRing:
    """The keys of a file.

    A file that cannot be read any more, or has become invalid, changes nothing: the keys stay as they were,
    so that a slip of an editor locks nobody out. To withdraw a key, take it out of a file that is valid.

    Args:
        path: the file; without it there are no keys.
        count: told ``read`` or ``failed`` when a file that changed was read again.
        clock: seconds since 1970.

    Raises:
        StartError: the file cannot be used.
    """

    def __init__(
        self, path: Path | None, count: Callable[[str], None] = lambda _: None, clock: Clock = time.time
    ) -> None:
        self._path = path
        self._count = count
        self._clock = clock
        self._seen = file_stamp(path)
        self._keys: Mapping[bytes, Key] = {} if path is None else read_keys(path)

    def __len__(self) -> int:
        return len(self._keys)

    def names(self) -> set[str]:
        """The names of all keys."""
        return {key.name for key in self._keys.values()}

    def find(self, key: bytes) -> tuple[Key | None, bool]:
        """The key whose secret this is, and whether it is still good.

        It is looked up by its digest. How long that takes says something of the digest, from which nobody
        comes to the key.
        """
        if not LOOKS_LIKE.fullmatch(key):
            return None, False
        known = self._keys.get(digest(key))
        return known, known is not None and self._clock() < known.expires_at

    def refresh(self) -> bool:
        """Read the file again where it changed; whether it did. May run on a thread."""
        if self._path is None or (now := file_stamp(self._path)) == self._seen:
            return False
        self._seen = now
        try:
            keys = read_keys(self._path)
        except StartError as error:
            self._count("failed")
            log.error("the keys stay as they were: %s", error)
            return False
        self._keys = keys  # in one step: requests look while this runs
        self._count("read")
        log.info("keys read again", extra={"keys": len(keys)})
        return True

    async def follow(self, refreshed: Callable[[], object] = lambda: None) -> None:
        """`refresh` for as long as the service runs."""
        if self._path is not None:
            await follow(self.refresh, refreshed, lambda: self._count("failed"))
