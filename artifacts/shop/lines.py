"""Lines of a text file, plain or gzip, in bounded memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from artifacts.shop.errors import Fault

#: A longer line is a fault: no row comes near it, and a file without line ends must not fill memory.
MAX_LINE_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class LineError(Exception):
    """A line cannot be read; ``fatal`` where nothing after it can be read either."""

    def __init__(self, fault: Fault, *, fatal: bool) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.fatal = fatal


class Lines:
    """Iterates over a file's lines as bytes, line ends included; ``number``, from 1, is that of the last one.

    Raises:
        LineError: from ``next``; where it is not fatal, ``next`` goes on after the line.
    """

    def __init__(self, path: Path) -> None:
        self.number = 0
        self._file = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
        self._again: list[bytes] = []
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._again:
            self.number += 1
            return self._again.pop()
        try:
            line = b"" if self._ended else self._file.readline(MAX_LINE_BYTES)
            if not line:
                self._ended = True
                self._file.close()
                raise StopIteration
            self.number += 1
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                while not line.endswith(b"\n") and line:
                    line = self._file.readline(MAX_LINE_BYTES)
                message = f"the line is over {MAX_LINE_BYTES} bytes, expected one record a line"
                raise LineError(Fault(self.number, None, "line-too-long", message), fatal=False)
        except (OSError, EOFError, zlib.error) as error:
            # the codes differ (BadGzipFile, a stream that ends early, damaged deflate), the cure does not
            message = f"cannot be read any further: {error}; expected a whole file"
            raise LineError(Fault(self.number + 1, None, "unreadable-file", message), fatal=True) from None
        return line.removeprefix(_BOM) if self.number == 1 else line

    def put_back(self, lines: list[bytes]) -> None:
        """Put the last lines back: they are read once more."""
        self._again.extend(reversed(lines))
        self.number -= len(lines)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
