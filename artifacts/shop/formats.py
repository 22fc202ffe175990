"""Which file of a shop is which, and the table that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from artifacts.actions import either
from artifacts.shop.csv_table import CsvTable
from artifacts.shop.errors import DataError
from artifacts.shop.jsonl_table import JsonlTable
from artifacts.shop.parquet_table import ParquetTable
from artifacts.shop.shop_toml import OUTSIDE
from artifacts.shop.tables import Layout, Table
from common.files import OutsideError, inside

#: Endings that are read, in the order in which they are tried.
ENDINGS = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")


def find_file(folder: Path, stem: str, named: str | None, *, required: bool) -> Path | None:
    """The ``items`` or ``events`` file of a shop: as ``named`` in ``shop.toml``, else by trying the endings.

    Raises:
        DataError: the named file is not there, none is there though it must, or several could be meant.
    """
    if named is not None:
        path = _inside(folder, named)
        if not path.is_file():
            raise DataError(path, f"is no file, though shop.toml names it under [files] {stem}", "no-file")
        if not named.endswith(ENDINGS):
            message = f"has an ending that is not read, expected {either(ENDINGS)}"
            raise DataError(path, message, "unknown-format")
        return path
    found = [path for ending in ENDINGS if (path := folder / (stem + ending)).is_file()]
    for path in found:
        _inside(folder, path.name)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        message = f"may be any of {names}: name the one that is meant under [files] {stem} in shop.toml"
        raise DataError(folder / stem, message, "several-files")
    if not found and required:
        raise DataError(folder / stem, nothing_found(stem), "no-file")
    return found[0] if found else None


def _inside(folder: Path, relative: str) -> Path:
    try:
        return inside(folder, relative)
    except OutsideError as error:
        message = f"{error}, expected a file inside the shop's folder"
        raise DataError(folder / relative, message, OUTSIDE) from None


def nothing_found(stem: str) -> str:
    """A message: a file is missing, the names it could have, and where to give another name."""
    names = ", ".join(stem + ending for ending in ENDINGS)
    return f"no {stem} file: looked for {names}; name another under [files] {stem} in shop.toml"


def open_table(path: Path, layout: Layout[Any]) -> Table:
    """The rows of a file; its ending says which format it has.

    Raises:
        DataError: the file cannot be opened at all.
    """
    try:
        if path.name.endswith(".parquet"):
            return ParquetTable(path, layout)
        if path.name.endswith((".csv", ".csv.gz")):
            return CsvTable(path, layout)
        return JsonlTable(path, layout)
    except OSError as error:
        message = f"cannot be opened: {error.strerror or error}"
        raise DataError(path, message, "unreadable-file") from error
