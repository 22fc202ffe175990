"""fastText vectors: a ``.vec`` text file, or a ``.bin`` model with its own subwords."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from common.arrays import F32
from models.training.pretrained.folder import PretrainedError

_MAGIC, _VERSIONS = 793712314, (11, 12)
_ARGS = struct.Struct("<12id")
_COUNTS = struct.Struct("<3i2q")
_FNV_OFFSET, _FNV_PRIME, _MASK32 = 0x811C9DC5, 0x01000193, 0xFFFFFFFF


class FastText:
    """Vectors of words. ``dim`` is their width."""

    dim: int

    def vectors(self, words: Iterable[str]) -> dict[str, F32]:
        """The words that there is a vector for, float32 ``[dim]`` each."""
        raise NotImplementedError

    @staticmethod
    def open(path: Path) -> FastText:
        """A ``.bin`` model, or else a text file of vectors.

        Raises:
            PretrainedError: it is neither, or a model that is quantised.
        """
        try:
            with path.open("rb") as file:
                binary = file.read(4) == struct.pack("<i", _MAGIC)
            return _Model(path) if binary else _Text(path)
        except (OSError, struct.error, UnicodeDecodeError) as error:
            raise PretrainedError(f"{path}: cannot be read: {error}") from error


class _Text(FastText):
    """A ``.vec`` file: a line with the number of words and the width, then a word and its numbers a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open(encoding="utf-8", errors="replace") as file:
            head = file.readline().split()
        if len(head) != 2 or not all(part.isdigit() for part in head):
            raise PretrainedError(f"{path}: does not begin with the number of words and the width of vectors")
        self.dim = int(head[1])

    def vectors(self, words: Iterable[str]) -> dict[str, F32]:
        wanted, found = set(words), {}
        # Lines end in \n alone: words may hold other characters that Python takes for the end of a line.
        with self._path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            next(file)
            for number, line in enumerate(file, start=2):
                word, _, numbers = line.partition(" ")
                if word not in wanted or word in found:
                    continue
                where = f"{self._path}, line {number}"
                try:
                    found[word] = np.array(numbers.split(), dtype=np.float32)
                except ValueError as error:
                    raise PretrainedError(f"{where}: {error}") from error
                if (size := len(found[word])) != self.dim:
                    raise PretrainedError(f"{where}: has {size} numbers, expected {self.dim}")
        return found


class _Model(FastText):
    """A ``.bin`` model: a word is the mean of its own row and of those of its hashed character n-grams."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            version = struct.unpack("<2i", file.read(8))[1]
            if version not in _VERSIONS:
                raise PretrainedError(f"{path}: is of version {version}, known are 11 and 12")
            args = _ARGS.unpack(file.read(_ARGS.size))
            self.dim, self._buckets, self._min, self._max = args[0], args[8], args[9], args[10]
            if version == 11 and args[7] == 3:
                self._max = 0  # supervised models of that version have no n-grams of characters
            size, self._words, _, _, pruned = _COUNTS.unpack(file.read(_COUNTS.size))
            self._rows: dict[str, int] = {}
            for row in range(size):
                word = _until_zero(file)
                file.read(9)  # how often it was seen, and whether it is a word
                if row < self._words:
                    self._rows[word.decode("utf-8", errors="replace")] = row
            quantised = struct.unpack("<?", file.read(1))[0]
            if pruned > 0 or quantised:
                raise PretrainedError(f"{path}: is quantised; give the model as it was before")
            rows, width = struct.unpack("<2q", file.read(16))
            if width != self.dim:
                raise PretrainedError(f"{path}: is damaged: vectors of width {width}, expected {self.dim}")
            start = file.tell()
        if path.stat().st_size < start + rows * width * 4:
            raise PretrainedError(f"{path}: is cut off")
        self._matrix: F32 = np.memmap(path, np.float32, "r", start, (rows, width))

    def vectors(self, words: Iterable[str]) -> dict[str, F32]:
        found = {}
        for word in words:
            rows = [self._words + h % self._buckets for h in self._hashes(word)] if self._buckets else []
            if word in self._rows:
                rows.insert(0, self._rows[word])
            if rows:
                found[word] = np.asarray(self._matrix[rows]).mean(axis=0)
        return found

    def _hashes(self, word: str) -> Iterator[int]:
        framed = f"<{word}>"
        for start in range(len(framed)):
            for n in range(self._min, self._max + 1):
                gram = framed[start : start + n]
                if len(gram) == n and not (n == 1 and start in (0, len(framed) - 1)):
                    yield _hash(gram.encode())


def _hash(data: bytes) -> int:
    """FNV-1a with fastText's slip: bytes are taken as signed."""
    value = _FNV_OFFSET
    for byte in data:
        signed = byte if byte < 128 else byte | 0xFFFFFF00
        value = ((value ^ signed) * _FNV_PRIME) & _MASK32
    return value


def _until_zero(file: object) -> bytes:
    read = file.read  # type: ignore[attr-defined]
    result = bytearray()
    while (byte := read(1)) != b"\0":
        if not byte:
            raise struct.error("the dictionary is cut off")
        result += byte
    return bytes(result)
