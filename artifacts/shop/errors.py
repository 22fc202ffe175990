"""What can be wrong with a shop's files, as a value (for the checker) and as an exception (for readers)."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from common.errors import MrseError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in one file.

    ``line`` is the first line of the record, counted from 1 (in Parquet the row, counted from 1), and None
    where the fault is the file's; ``code`` is stable and for machines, ``message`` says what was found and
    what was expected.
    """

    line: int | None
    column: str | None
    code: str
    message: str


def located(file: str, line: int | None, column: str | None, message: str) -> str:
    """``file:line: column message``: the one form in which a fault and its place are told."""
    place = file if line is None else f"{file}:{line}"
    return f"{place}: {message}" if column is None else f"{place}: {column} {message}"


class DataError(MrseError, ValueError):
    """A shop's file cannot be used: the fault of ``file``, see `Fault`, which `mrse check` reports alike."""

    def __init__(
        self,
        file: PathLike[str],
        message: str,
        code: str = "data",
        line: int | None = None,
        column: str | None = None,
    ) -> None:
        self.file = str(file)
        self.line = line
        self.column = column
        self.message = message
        self.code = code
        super().__init__(located(self.file, line, column, message))

    @classmethod
    def from_fault(cls, file: PathLike[str], fault: Fault) -> DataError:
        """The exception for a fault in ``file``."""
        return cls(file, fault.message, fault.code, fault.line, fault.column)
