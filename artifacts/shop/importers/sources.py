"""What the importers share: tables and pictures of a data set, its layout, the summary."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from artifacts.shop.errors import DataError
from artifacts.shop.pictures import MAX_PICTURE_BYTES
from artifacts.shop.values import shown
from common.files import OutsideError, inside, read_bounded, refuse_irregular

#: Where a data set has no times, events are one minute apart from here. *Inferred*.
FIRST_TIME = datetime(2021, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ImportSummary:
    """What an import wrote; ``skipped`` counts what was left out, by reason."""

    items: int
    events: int
    pictures: int
    skipped: Mapping[str, int] = field(default_factory=dict)


def made_up_time(number: int) -> datetime:
    """Time of the event ``number`` (from 0) of a data set without times."""
    return FIRST_TIME + timedelta(minutes=number)


def stable_share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, the same on every machine and in every run."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def has(folder: Path, *names: str) -> bool:
    """Whether all of these are in the folder.

    Raises:
        DataError: one is a link that leads out of it.
    """
    return all(within(folder, name).exists() for name in names)


def within(folder: Path, name: str) -> Path:
    """The path of a name that the data set gives, which must lie in its folder.

    Raises:
        DataError: it leads out.
    """
    try:
        return inside(folder, name)
    except OutsideError as error:
        message = f"names {shown(name)}, which {error}, expected a file inside the data set's folder"
        raise DataError(folder, message, "outside-source") from None


def unknown_layout(folder: Path, *layouts: str) -> DataError:
    """The error for a folder in none of the layouts that can be imported."""
    expected = "; or ".join(layouts)
    return DataError(folder, f"has no layout that can be imported, expected {expected}", "layout")


def csv_rows(path: Path, *columns: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells of each row of a CSV file with a header, plain or gzip, UTF-8 or else Latin-1.

    Raises:
        DataError: a column is not there, or a row is no CSV.
    """
    with _open_text(path) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                found = ", ".join(reader.fieldnames or ("nothing",))
                message = f"is no column of the file, which has {found}"
                raise DataError(path, message, "missing-column", 1, ", ".join(sorted(missing)))
            for row in reader:
                if None in row or None in row.values():
                    message = "has another number of cells than the header"
                    raise DataError(path, message, line=reader.line_num)
                yield reader.line_num, row
        except (csv.Error, OSError, EOFError) as error:
            raise DataError(path, f"cannot be read: {error}", "bad-csv", reader.line_num) from error


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    def raw() -> IO[bytes]:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]

    encoding = "utf-8-sig"
    try:
        refuse_irregular(path)
        with raw() as file:
            for line in file:
                line.decode()
    except UnicodeDecodeError:
        # the exports of UCI's Online Retail in circulation are Latin-1
        encoding = "latin-1"
    except (OSError, EOFError) as error:
        raise DataError(path, f"cannot be read: {error}", "unreadable-file") from error
    with raw() as file, io.TextIOWrapper(file, encoding=encoding, newline="") as text:
        yield text


@contextmanager
def open_pictures(source: Path) -> Iterator[Callable[[str], bytes | None]]:
    """The bytes of a picture by name, of a folder or a zip; None where it is not there, damaged or too large.

    Raises:
        DataError: the zip is none; from what is given, that a name leads out of the folder.
    """
    if not source.is_file():
        yield lambda name: _from_folder(source, name)
        return
    with ExitStack() as files:
        try:
            archive = files.enter_context(zipfile.ZipFile(source))
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(source, f"is no zip: {error}", "unreadable-file") from error
        yield lambda name: _from_zip(archive, name)


def _from_folder(source: Path, name: str) -> bytes | None:
    path = within(source, name)
    try:
        return read_bounded(path, MAX_PICTURE_BYTES)
    except OSError:
        return None


def _from_zip(archive: zipfile.ZipFile, name: str) -> bytes | None:
    try:
        entry = archive.getinfo(name)
        return None if entry.file_size > MAX_PICTURE_BYTES else archive.read(entry)
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        return None  # NotImplementedError: packed in a way that is not read; RuntimeError: with a password
