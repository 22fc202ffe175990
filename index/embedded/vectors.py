"""fp16 vectors in inverted lists and exact inner products. While serving, only this module uses faiss.

Rows are numbered list by list, so that a list is a range of rows and all codes are one array:
``codes [rows, dim] float16``, then each list's row numbers (int64, padded), which faiss wants beside it.
faiss maps the file and reads from the page cache, shared by every process that serves the index.
faiss scores plain IEEE halves against a float32 query, so nothing is lost against the fp16 embeddings.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from math import lcm
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np
import numpy.typing as npt

from common.arrays import F16, F32, I64, U8, Ints

#: Rows that are copied out and scored at a time: with 128 fp16 values each, 1 MB, which stays in cache.
BLOCK = 4096
_HALF = 2
#: Of a thread that gives way to all others.
_LEAST = 19
_ROW_NUMBER = 8
#: What each thread has of its own.
_local = threading.local()


def limit_threads() -> None:
    """Keep faiss to the calling thread: requests run side by side, a search does not."""
    if not _local.__dict__.get("limited"):
        faiss.omp_set_num_threads(1)
        _local.limited = True


def in_background() -> None:
    """As `limit_threads`, on a thread that gives way to all others."""
    limit_threads()
    with suppress(OSError, AttributeError):  # where threads have no priority of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LEAST)


def write_vectors(path: Path, dim: int, starts: I64, chunks: Iterable[F16]) -> None:
    """Write a vectors file of ``chunks`` float16 ``[n, dim]``, all rows in order.

    List ``l`` is the rows ``starts[l]`` to ``starts[l + 1]``.
    """
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype=np.float16).tobytes())
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            _pad(file, dim)
            file.write(np.arange(start, end, dtype=np.int64).tobytes())
        _pad(file, dim)


def _pad(file: BinaryIO, dim: int) -> None:
    file.write(bytes(-file.tell() % _align(dim)))


def _align(dim: int) -> int:
    """What the offset of row numbers is a multiple of: faiss counts it in whole codes."""
    return lcm(dim * _HALF, _ROW_NUMBER)


def _layout(dim: int, starts: I64) -> tuple[npt.NDArray[np.uint64], int]:
    """What faiss needs to know of each list (size, capacity, offset in bytes), and the file's size."""
    align, code = _align(dim), dim * _HALF
    sizes = np.diff(starts)
    blocks = -(-sizes * _ROW_NUMBER // align) * align
    first = -(-int(starts[-1]) * code // align) * align
    numbers = first + np.cumsum(blocks) - blocks
    offsets = starts[:-1] * code
    # faiss reads a list's row numbers at offset + capacity x code size: the "capacity" points there.
    table = np.stack([sizes, (numbers - offsets) // code, offsets], axis=1).astype(np.uint64)
    return np.ascontiguousarray(table), first + int(blocks.sum())


class Vectors:
    """Vectors ``[rows, dim]`` in lists, searched as a whole or by some lists. For any thread."""

    def __init__(self, codes: F16, starts: I64, index: Any, lists: Any) -> None:
        self.codes = codes
        self.starts = starts
        self.rows, self.dim = codes.shape
        self._index = index
        self._lists = lists  # kept alive here: the index holds a bare pointer to it
        every = np.arange(len(starts) - 1, dtype=np.int64)
        self._every = every, np.zeros(len(every), dtype=np.float32)  # kept alive: faiss gets pointers
        #: All lists, and what faiss would know of how near they are, as every search of all takes them.
        self._all = tuple(faiss.swig_ptr(each) for each in self._every)

    @classmethod
    def open(cls, path: Path, dim: int, starts: I64) -> Vectors:
        """Map a vectors file; pages are read when touched and shared between processes.

        Raises:
            ValueError: the file is not laid out as the lists ask for.
        """
        table, size = _layout(dim, starts)
        if path.stat().st_size != size:
            raise ValueError(f"has {path.stat().st_size} bytes, its lists ask for {size}")
        rows = int(starts[-1])
        codes = np.memmap(path, dtype=np.float16, mode="r", shape=(rows, dim))
        # faiss's stubs know neither its vectors' methods nor what the Python wrappers hide.
        lists: Any = faiss.OnDiskInvertedLists()
        lists.nlist, lists.code_size = len(table), dim * _HALF
        lists.lists.resize(len(table))
        faiss.memcpy(lists.lists.data(), faiss.swig_ptr(table), table.nbytes)
        lists.filename, lists.totsize, lists.read_only = str(path), size, True
        lists.prefetch_nthread = 0  # else faiss starts threads in every search
        lists.do_mmap()
        last = len(table) - 1
        ends = lists.get_single_id(0, 0), lists.get_single_id(last, int(table[last, 0]) - 1)
        if ends != (0, rows - 1):
            raise ValueError(f"its row numbers go from {ends[0]} to {ends[1]}, expected 0 to {rows - 1}")
        index: Any = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim),
            dim,
            len(table),
            faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        index.replace_invlists(lists, False)
        index.is_trained, index.ntotal = True, rows
        return cls(np.asarray(codes), starts, index, lists)

    def search(self, query: F32, k: int, bits: U8 | None = None) -> tuple[I64, F32]:
        """The ``k`` best rows of ``query`` float32 ``[dim]`` and their inner products, best first; exact.

        ``k`` is at least 1, and fewer are given where fewer rows may be found: bit ``i`` of ``bits``
        (little-endian within a byte) says whether row ``i`` may be. The order of equal scores is undefined.
        """
        query = np.ascontiguousarray(query, dtype=np.float32)
        scores, rows = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.int64)
        arrays = (faiss.swig_ptr(each) for each in (scores, rows))
        params = _parameters(len(self._every[0]), bits)
        # The Python wrapper of search_preassigned takes no parameters, the C++ one does.
        self._index.search_preassigned_c(1, faiss.swig_ptr(query), k, *self._all, *arrays, False, params)
        if rows[-1] < 0:  # the places that were not filled are the last
            count = int((rows >= 0).sum())
            return rows[:count], scores[:count]
        return rows, scores

    def search_above(self, query: F32, floor: float, bits: U8 | None, lists: I64) -> tuple[I64, F32]:
        """The rows of some lists that score above ``floor``, and their inner products, in no order.

        Faster than `search` with a ``k`` of hundreds over a few thousand rows, since no heap is kept, and the
        more so the higher the floor. Arguments are as of `search`.
        """
        if len(lists) == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        query, lists = np.ascontiguousarray(query, dtype=np.float32), np.ascontiguousarray(lists, np.int64)
        unused = np.zeros(len(lists), dtype=np.float32)
        arrays = (faiss.swig_ptr(each) for each in (lists, unused))
        # The stubs want an allocator that Python cannot make.
        found: Any = faiss.RangeSearchResult(1)
        params = _parameters(len(lists), bits)
        self._index.range_search_preassigned_c(1, faiss.swig_ptr(query), floor, *arrays, found, False, params)
        count = int(faiss.rev_swig_ptr(found.lims, 2)[1])
        rows, scores = (faiss.rev_swig_ptr(each, count).copy() for each in (found.labels, found.distances))
        return rows, scores

    def search_rows(self, query: F32, k: int, rows: Ints) -> tuple[I64, F32]:
        """As `search`, over some rows alone, in blocks; scores are the same to the bit."""
        best_rows, best = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        query, scratch = np.ascontiguousarray(query, dtype=np.float32), _scratch(self.dim)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            places, scores = scratch.search(self.codes, block, query, min(k, len(block)))
            best_rows, best = (
                np.concatenate([best_rows, block[places].astype(np.int64)]),
                np.concatenate([best, scores]),
            )
            if len(best) > 4 * k:
                kept = np.argpartition(best, -k)[-k:]
                best_rows, best = best_rows[kept], best[kept]
        order = np.argsort(-best, kind="stable")[:k]
        return best_rows[order], best[order]

    def decode(self, rows: I64) -> F32:
        """The vectors of some rows: float32 ``[len(rows), dim]``."""
        return self.codes.take(rows, axis=0).astype(np.float32)


def _parameters(lists: int, bits: U8 | None) -> Any:
    if bits is None:
        return _unfiltered(lists)
    # faiss types the C++ constructors, not the Python ones that wrap them.
    selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
    return faiss.SearchParametersIVF(nprobe=lists, sel=selector)  # type: ignore[call-arg]


@lru_cache(maxsize=1024)
def _unfiltered(lists: int) -> Any:
    """Parameters of a search of so many lists; making them takes as long as a short search."""
    return faiss.SearchParametersIVF(nprobe=lists)  # type: ignore[call-arg]


def inner_products(query: F32, vectors: F32) -> F32:
    """``vectors @ query`` for C-contiguous ``[n, dim]``, on this thread alone, unlike BLAS."""
    products = np.empty(len(vectors), dtype=np.float32)
    query = np.ascontiguousarray(query, dtype=np.float32)
    arrays = (faiss.swig_ptr(each) for each in (products, query, vectors))
    faiss.fvec_inner_products_ny(*arrays, vectors.shape[1], len(vectors))  # type: ignore[attr-defined]
    return products


class _Scratch:
    """A block of memory into which scattered rows are copied, to be scored there by faiss.

    Each thread keeps one (see `_scratch`): making it takes as long as scoring a block.
    """

    def __init__(self, dim: int) -> None:
        # faiss's stubs know neither the vector's methods nor the searches that take pointers.
        self._index: Any = faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        size = BLOCK * dim * _HALF
        self._index.codes.resize(size)
        memory = faiss.rev_swig_ptr(self._index.codes.data(), size)
        self._codes: F16 = memory.view(np.float16).reshape(BLOCK, dim)

    def search(self, codes: F16, rows: Ints, query: F32, k: int) -> tuple[I64, F32]:
        """The ``k`` best places in ``rows`` (``k`` to `BLOCK` of them), and their inner products; exact."""
        # `take` is several times as fast as ``codes[rows]``, and with clipped indices it needs no buffer.
        codes.take(rows, axis=0, out=self._codes[: len(rows)], mode="clip")
        self._index.ntotal = len(rows)
        scores, places = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.int64)
        arrays = (faiss.swig_ptr(each) for each in (scores, places))
        self._index.search_c(1, faiss.swig_ptr(query), k, *arrays)
        return places, scores


def _scratch(dim: int) -> _Scratch:
    """The calling thread's scratch memory for vectors of so many values."""
    held: dict[int, _Scratch] = _local.__dict__.setdefault("scratch", {})
    if dim not in held:
        held[dim] = _Scratch(dim)
    return held[dim]
