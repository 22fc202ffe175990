"""What one system answered to the held-out requests, and what is known of each answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from common.arrays import F32, I64, Bool
from models.evaluation.heldout import HeldOut

#: Answers that a system gives, and the first of them whose grades are looked up.
DEPTH, GRADED = 500, 100


@dataclass(frozen=True)
class Answers:
    """What measures read.

    Attributes:
        system: name for the report.
        held_out: the requests.
        top: int64 ``[n, K]``, item rows best first, -1 for none; K is at most `DEPTH`.
        answered: bool ``[n]``, False for requests that the system cannot take.
        scores: what the system thinks of some items for the request at a place, ``[m]`` rows -> ``[m]``; None
            where it does not tell.
    """

    system: str
    held_out: HeldOut
    top: I64
    answered: Bool
    scores: Callable[[int, I64], F32] | None = None

    @cached_property
    def ranks(self) -> I64:
        """Rank from 1 of the clicked item, 0 where it is not among the answers: int64 ``[n]``."""
        return find_ranks(self.top, self.held_out.wanted)

    @cached_property
    def clicked(self) -> Bool:
        """Whether each answer was clicked for the same query in the split: bool ``[n, at most GRADED]``."""
        top = self.top[:, :GRADED]
        result = np.zeros(top.shape, dtype=np.bool_)
        for places in self.held_out.by_query:
            result[places] = np.isin(top[places], self.held_out.wanted[places])
        return result

    @cached_property
    def clicks(self) -> I64:
        """How many items were clicked for the same query in the split: int64 ``[n]``."""
        result = np.zeros(len(self.top), dtype=np.int64)
        for places in self.held_out.by_query:
            result[places] = len(np.unique(self.held_out.wanted[places]))
        return result

    @property
    def grades(self) -> F32:
        """Grade of each answer, 0 where there is none: float32 ``[n, at most GRADED]``.

        A row is NaN where no grade is known for the query, and for browsing, which asks for nothing.
        """
        return self._graded[0]

    @property
    def best_grades(self) -> F32:
        """The highest grades of the catalogue, in any order, and zeros: float32 ``[n, GRADED]``."""
        return self._graded[1]

    @cached_property
    def _graded(self) -> tuple[F32, F32]:
        top = self.top[:, :GRADED]
        got = np.full(top.shape, np.nan, dtype=np.float32)
        best = np.zeros((len(top), GRADED), dtype=np.float32)
        for places in self.held_out.by_query:
            known = self.held_out.known_grades(places[0])
            if known is not None:
                got[places] = np.where(top[places] >= 0, known[np.maximum(top[places], 0)], 0.0).clip(min=0.0)
                most = min(GRADED, len(known))
                best[places, :most] = np.partition(known, len(known) - most)[len(known) - most :]
        return got, best


def find_ranks(top: npt.NDArray[np.generic], wanted: npt.NDArray[np.generic]) -> I64:
    """Rank from 1 of ``wanted[i]`` in ``top[i]``, or 0: ``[n, K]`` and ``[n]`` -> int64 ``[n]``."""
    hits: Bool = top == wanted[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int64)
