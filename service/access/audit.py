"""Who changed what: a line in a file that is only appended to, before the change and after it.

A change is written down before it begins, and how it ended before the caller is answered; each line is on
disk (fdatasync) before that goes on. So no change that was acknowledged is missing, whatever ends the process
or the machine; one that has begun and no end may have been made. Item ids are no personal data: a line has
the first of them, and of all of them the number and the SHA-256 of the ids with a line feed between. Of a
user who is forgotten it has the SHA-256 alone.

The file is opened again where another stands at its path, so that logrotate may move it away at any time.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.errors import StartError, Unavailable

log = logging.getLogger("mrse.audit")

#: Ids, and characters of each, that a line has; a line stays below 8 kB.
_SHOWN_IDS, _SHOWN_CHARACTERS = 20, 128
#: A disk that takes longer for a line has failed.
_PATIENCE_S = 5.0


class Audit:
    """The file of changes, of one worker; workers share the file.

    Args:
        path: the file; without it changes are told in the log alone.
        required: whether a change is refused when its line cannot be written.
        failed: told of each line that could not be written.

    Raises:
        StartError: lines are required and the file cannot be opened.
    """

    def __init__(self, path: Path | None, required: bool, failed: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._required = required
        self._failed = failed
        self._file = -1
        self._torn = False
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        try:
            self._open()
        except OSError as error:
            if required:
                raise StartError(f"audit {path}: {error.strerror or error}") from error
            self._note_failure(error)

    @asynccontextmanager
    async def change(
        self, who: str | None, what: str, ids: Sequence[str], *, shown: bool = True, **more: Any
    ) -> AsyncIterator[None]:
        """Write down a change that is made inside the block, before it and when it has ended.

        Args:
            who: name of the key.
            what: the change, such as ``remove``.
            ids: of what is changed.
            shown: whether the ids themselves may be written.
            more: what else is known, such as the request's id.

        Raises:
            Unavailable: the line is required and cannot be written; nothing was changed.
        """
        text = "\n".join(ids).encode("utf-8", "surrogatepass")
        line = {"who": who, "what": what, "ids": len(ids), "sha256": hashlib.sha256(text).hexdigest(), **more}
        if shown:
            line["first"] = [item[:_SHOWN_CHARACTERS] for item in ids[:_SHOWN_IDS]]
        try:
            await self._write(line, "begun")
        except OSError as error:
            if self._required:
                raise Unavailable("changes are refused while they cannot be audited") from error
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            log.info("change", extra={**line, "outcome": outcome})
            with suppress(OSError):  # it was counted and logged; the change itself stands
                await asyncio.shield(self._write(line, outcome))

    async def close(self) -> None:
        """Write what waits and close the file."""
        if self._writing is not None:
            await self._writing
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    async def _write(self, line: dict[str, Any], outcome: str) -> None:
        """Append a line; it is on disk when this returns, or an OSError is raised.

        Lines that come while others are written go together, so that many changes at once wait for the disk
        as often as one does.
        """
        if self._path is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = json.dumps({"at": now, "outcome": outcome, **line}).encode() + b"\n"
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_waiting(), name="audit")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await written
        except TimeoutError as error:
            self._note_failure(error)
            raise

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._append, b"".join(text for text, _ in batch))
                error: Exception | None = None
            except Exception as raised:  # nobody may wait for ever
                error = raised
                self._note_failure(raised)
            for _, written in batch:
                if written.done():
                    continue  # its change was given up
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)
        self._writing = None

    def _append(self, text: bytes) -> None:
        """Append lines and wait until they are on disk."""
        self._open()
        # Whatever a full disk left of a line gets an end of its own.
        text, self._torn = b"\n" * self._torn + text, True
        if os.write(self._file, text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(self._file)
        self._torn = False

    def _open(self) -> None:
        """Have the file at the path open; for its owner's eyes where it is made."""
        if self._path is None:
            return
        try:
            there: os.stat_result | None = self._path.stat()
        except FileNotFoundError:
            there = None
        if self._file >= 0 and there is not None and os.path.samestat(there, os.fstat(self._file)):
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        opened = os.open(self._path, flags, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file = opened

    def _note_failure(self, error: Exception) -> None:
        self._failed()
        log.error("a change cannot be audited", extra={"path": str(self._path), "error": repr(error)})
