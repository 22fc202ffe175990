"""A file of rows, whatever its format: which columns it has and the raw values of each row.

Reading goes on after a broken record, which becomes a `BadRow` in its place: the checker reports it, the
strict reader raises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from artifacts.attributes import AttributeKind
from artifacts.shop.errors import Fault

T = TypeVar("T")

#: What a column's values are, for formats whose columns have a type of their own.
Kind: TypeAlias = AttributeKind | Literal["time"]

#: Rows between two calls of a progress, so that it costs nothing beside the rows.
STEP = 1000


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is read.

    ``parse`` takes a raw value, and of a number, bool or list also whether it is written as text; ``default``
    stands for a missing or invalid value; ``declared`` are the attributes of ``shop.toml``.
    """

    name: str
    kind: Kind
    parse: Callable[..., object]
    default: object = None
    required: bool = False
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """The columns that are read, in order, and the record that their values make.

    A file must have one of the columns ``one_of`` at least, and every row a value in one of them; ``empty``
    is the code and message of a row that has none.
    """

    columns: tuple[Column, ...]
    record: Callable[[Sequence[Any]], T]
    one_of: tuple[str, ...]
    empty: tuple[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that could not be read; ``key`` is the value of its first column where that could be read."""

    fault: Fault
    key: str | None = None


#: The first line of a record (from 1) and the raw values of the layout's columns; None = missing.
Row: TypeAlias = tuple[int, Sequence[object]] | BadRow


class Table(ABC):
    """An open file of rows; `rows` may be called once.

    Attributes:
        textual: whether values are text (CSV) and not typed.
        faults: what is wrong with the file as a whole and was not taken yet; reading rows may add to it.
        faulty: the columns that these faults were of; they are not reported again row by row.
    """

    textual = False

    def __init__(self, layout: Layout[Any]) -> None:
        self.faults: list[Fault] = []
        self.faulty: set[str] = set()
        self._layout = layout

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Every record in file order."""

    def count(self) -> int | None:
        """Number of rows where the file tells it without being read."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Close the file; more than once does no harm."""

    def take_faults(self) -> list[Fault]:
        """The faults of the file since the last call."""
        taken, self.faults = self.faults, []
        return taken

    def _tell(self, line: int | None, column: str | None, code: str, message: str) -> None:
        self.faults.append(Fault(line, column, code, message))
        if column is not None:
            self.faulty.add(column)

    def _tell_unknown(self, name: str, line: int | None) -> None:
        columns = f"neither a column of the schema ({', '.join(self._layout.names)})"
        self._tell(line, name, "unknown-column", f"is {columns} nor declared under [attributes]")

    def _known_columns(self, present: Sequence[str], line: int | None) -> Iterator[tuple[int, str]]:
        """Place and name of the columns to read, of those that a file has; tells what is wrong with these."""
        found = "the file has " + (", ".join(present) or "none")
        for column in self._layout.columns:
            if (column.required or column.declared) and column.name not in present:
                what = "a required column that is not there"
                if column.declared:
                    what = "declared in shop.toml but is no column"
                self._tell(line, column.name, "missing-column", f"is {what}; {found}")
        one_of = self._layout.one_of
        if not any(name in present for name in one_of):
            wanted = " or ".join(one_of)
            self._tell(line, one_of[0], "missing-column", f"is no column, expected {wanted}; {found}")
        where = "file" if line is None else "header"
        for place, name in enumerate(present):
            if name in present[:place]:
                self._tell(line, name, "duplicate-column", f"stands twice in the {where}, expected it once")
            elif name not in self._layout.names:
                self._tell_unknown(name, line)
            else:
                yield place, name
