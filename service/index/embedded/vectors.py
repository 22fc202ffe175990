"""fp16 vectors in faiss, exact inner product. The only module that knows faiss.

faiss's scalar quantizer keeps plain IEEE halves and scores them against a float32 query, so the file
is half the size of float32 and nothing is lost against the fp16 embeddings that went in.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from service.index.port import F32

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


def limit_threads() -> None:
    """Keep faiss to the calling thread: parallelism is across requests, not within one."""
    faiss.omp_set_num_threads(1)


def write_vectors(path: Path, dim: int, chunks: Iterable[F32]) -> int:
    """Write a vectors file from chunks ``[n, dim]``; returns the rows written."""
    index = _empty(dim)
    for chunk in chunks:
        index.add(np.ascontiguousarray(chunk, dtype=np.float32))
    faiss.write_index(index, str(path))
    return int(index.ntotal)


class FlatVectors:
    """Vectors ``[rows, dim]`` that are searched one by one."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self.rows = int(index.ntotal)
        self.dim = int(index.d)
        codes = faiss.rev_swig_ptr(index.codes.data(), self.rows * index.code_size)
        self._codes: U8 = codes.reshape(self.rows, index.code_size)

    @classmethod
    def open(cls, path: Path) -> FlatVectors:
        """Map a vectors file; pages are read when touched and shared between processes.

        Raises:
            ValueError: the file holds something else.
        """
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise ValueError(f"faiss cannot read it: {error}") from error
        expected = faiss.ScalarQuantizer.QT_fp16
        if not isinstance(index, faiss.IndexScalarQuantizer) or index.sq.qtype != expected:
            raise ValueError("it is no flat fp16 index")
        return cls(index)

    def search(self, query: F32, k: int, bits: U8 | None = None) -> tuple[I64, F32]:
        """The ``k`` best rows of ``query`` ``[dim]`` and their inner products, best first.

        Args:
            query: float32 ``[dim]``.
            k: at most the number of rows that may be found.
            bits: bit ``i`` (little-endian within a byte) says whether row ``i`` may be found.

        Returns:
            Fewer than ``k`` where fewer rows may be found. The order of equal scores is undefined.
        """
        params = None
        if bits is not None:
            # faiss types the C++ constructors, not the Python ones that wrap them.
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
            params = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        scores, rows = self._index.search(query.reshape(1, -1), k, params=params)
        found = rows[0] >= 0
        return rows[0][found], scores[0][found]

    def subset(self, rows: I64) -> FlatVectors:
        """A copy of some rows, renumbered from 0: scores the same to the bit."""
        index = _empty(self.dim)
        index.add_sa_codes(self._codes[rows])
        return FlatVectors(index)

    def decode(self, rows: I64) -> F32:
        """The vectors of some rows: float32 ``[len(rows), dim]``."""
        return self._codes[rows].view(np.float16).astype(np.float32)


def _empty(dim: int) -> Any:
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
