"""A file of rows, whatever its format: which columns it has and the raw values of each row.

Reading goes on after a broken record, which becomes a `BadRow` in its place: the checker reports it, the
strict reader raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

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

    def missing(self, present: Sequence[str], line: int | None) -> list[Fault]:
        """Faults for the columns that a file with a fixed set of columns lacks."""
        found = "the file has " + (", ".join(present) if present else "none")
        faults = []
        for column in self.columns:
            if (column.required or column.declared) and column.name not in present:
                what = (
                    "declared in shop.toml but is no column"
                    if column.declared
                    else "a required column that is not there"
                )
                faults.append(Fault(line, column.name, "missing-column", f"is {what}; {found}"))
        if not any(name in present for name in self.one_of):
            wanted = " or ".join(self.one_of)
            faults.append(
                Fault(line, self.one_of[0], "missing-column", f"is no column, expected {wanted}; {found}")
            )
        return faults

    def unknown(self, name: str, line: int | None) -> Fault:
        """The fault of a column that is neither known nor declared; reported once a file."""
        return Fault(
            line,
            name,
            "unknown-column",
            f"is neither a column of the schema ({', '.join(self.names)}) nor declared under [attributes]",
        )


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that could not be read; ``key`` is the value of its first column where that could be read."""

    fault: Fault
    key: str | None = None


#: The first line of a record (from 1) and the raw values of the layout's columns; None = missing.
Row: TypeAlias = tuple[int, Sequence[object]] | BadRow


@dataclass(slots=True)
class FileFaults:
    """What is wrong with a file as a whole, filled while it is read; ``new`` holds what nobody took yet."""

    new: list[Fault] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)

    def add(self, fault: Fault) -> None:
        """Note a fault of the file; its column is not reported again row by row."""
        self.new.append(fault)
        if fault.column is not None:
            self.columns.add(fault.column)

    def take(self) -> list[Fault]:
        """The faults since the last call."""
        taken, self.new = self.new, []
        return taken


class Table(Protocol):
    """An open file of rows; `rows` may be called once."""

    #: Values are text (CSV) and not typed.
    textual: bool
    faults: FileFaults

    def rows(self) -> Iterator[Row]:
        """Every record in file order; file-wide faults found on the way are added to ``faults``."""
        ...

    def count(self) -> int | None:
        """Number of rows where the file tells it without being read."""
        ...

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        ...
