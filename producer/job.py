"""What `fill` does: rows in a fixed order, each of which becomes a key and a value."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from artifacts.cache.codec import FeatureCodec
from common.arrays import F16
from producer.features import finite_rows


@dataclass(frozen=True, slots=True)
class Entries:
    """Keys and values of some rows. ``skipped`` rows have no value worth storing."""

    keys: Sequence[str]
    values: Sequence[bytes]
    skipped: int = 0


class Job(ABC):
    """Each slice of rows passes three steps: `prepare`, then `run` on a thread, then `entries`.

    A job that has nothing to prepare writes `run` alone, from the first and last row to the entries.
    """

    #: Part of the key of the job's journal.
    name: str
    #: The namespace of the keys.
    bundle_version: str
    #: Calls of `run` side by side.
    workers: int = 1
    #: Whether `reconcile` is asked about a value that is stored already; without it, the new one replaces it.
    reconciles: bool = False

    @property
    @abstractmethod
    def source(self) -> str:
        """Digest of all rows, in order."""

    @abstractmethod
    def __len__(self) -> int:
        """Rows in all."""

    def prepare(self, start: int, end: int) -> Any:
        """The input of `run` for the rows from ``start`` up to ``end``."""
        return start, end

    @abstractmethod
    def run(self, prepared: Any) -> Any:
        """The long part; called on threads."""

    def entries(self, start: int, end: int, ran: Any) -> Entries:
        """Keys and values of the rows, from what `run` gave."""
        entries: Entries = ran
        return entries

    def reconcile(self, stored: bytes, value: bytes) -> bytes:
        """The value to keep where another is stored already."""
        return value


def feature_entries(
    names: Sequence[str], rows: F16, key: Callable[[str], str], codec: FeatureCodec
) -> Entries:
    """Entries of features ``[n, E, d]``; a row that is not finite has none."""
    finite = finite_rows(rows).tolist()
    keys = [key(name) for name, ok in zip(names, finite, strict=True) if ok]
    values = [codec.encode(row) for row, ok in zip(rows, finite, strict=True) if ok]
    return Entries(keys, values, len(names) - len(keys))


def digest_of(names: Iterable[str], arrays: Iterable[bytes] = ()) -> str:
    """Digest of names and of arrays' bytes, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
    for array in arrays:
        digest.update(array)
    return digest.hexdigest()
