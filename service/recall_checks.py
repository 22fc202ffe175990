"""Asks live searches of the index again, exactly, when nothing else waits: the recall that users get.

The first search after a pause is the one that is asked again. It has a thread of least priority, one is under
way at a time, and nothing that becomes of it touches a request. Vespa watches itself
(`index/vespa/shadow.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import numpy as np

from common.arrays import F32
from common.deadline import Clock, Deadline
from index.filters import Filter
from index.port import ExactIndex, IndexUnavailable, ItemIndex
from service.telemetry.labels import Accepted, RecallCheck

log = logging.getLogger("mrse.service")

#: Seconds that an exact search may take.
_PATIENCE_S = 5.0
#: Scores come rounded to five digits.
_ROUNDED = 1.1e-5


def recall_of(scores: Sequence[float], exact: F32) -> float:
    """Share of an exact answer that was found, by score, so that of equal items any counts.

    Args:
        scores: of what was found.
        exact: float32 ``[n]``, best first, of what there is.
    """
    if not len(exact):
        return 1.0
    found = int((np.asarray(scores, dtype=np.float32) >= exact[-1] - _ROUNDED).sum())
    return min(found, len(exact)) / len(exact)


def accepted_of(share: float) -> Accepted:
    """The label of a share of all items."""
    if share >= 1.0:
        return "all"
    return "tenth" if share >= 0.1 else "hundredth" if share >= 0.01 else "fewer"


class RecallChecks:
    """Is told of searches that went well, and asks one of them again now and then.

    Args:
        every_s: least seconds between two; 0 for none.
        is_idle: whether nothing waits.
        compared: gets the share of items that the filter accepts, and the recall.
        count: counts what came of it.
        clock: seconds.
    """

    def __init__(
        self,
        every_s: float,
        is_idle: Callable[[], bool],
        compared: Callable[[Accepted, float], None],
        count: Callable[[RecallCheck], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self._every_s = every_s
        self._is_idle = is_idle
        self._compared = compared
        self._count = count
        self._clock = clock
        self._next_at = clock() + every_s if every_s else float("inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def due(self) -> bool:
        """Whether the next search should be offered; costs a look at the clock."""
        return self._clock() >= self._next_at and self._task is None and self._is_idle()

    def offer(
        self,
        index: ItemIndex,
        exact: ExactIndex,
        vector: F32,
        k: int,
        filters: Filter | None,
        scores: Sequence[float],
    ) -> None:
        """A search for ``vector`` ``[dim]`` was answered with items of these scores."""
        self._next_at = self._clock() + self._every_s
        work = self._compare(index, exact, vector.copy(), k, filters, scores)
        self._task = asyncio.create_task(work, name="recall check")

    async def ended(self) -> None:
        """Wait for what is under way."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def close(self) -> None:
        """Give up what is under way."""
        self._next_at = float("inf")
        if self._task is not None:
            self._task.cancel()
        await self.ended()

    async def _compare(
        self,
        index: ItemIndex,
        exact: ExactIndex,
        vector: F32,
        k: int,
        filters: Filter | None,
        scores: Sequence[float],
    ) -> None:
        revision = index.revision
        try:
            deadline = Deadline.after(_PATIENCE_S, self._clock)
            answer = await exact.search_exact(vector, k, filters, deadline)
            if revision is None or revision != index.revision:
                self._count("changed")
                return
            self._compared(accepted_of(answer.accepted), recall_of(scores, answer.near.scores))
            self._count("compared")
        except IndexUnavailable:
            self._count("failed")
        except Exception:  # nothing of it may touch a request, but somebody has to know
            log.exception("a search could not be asked again")
            self._count("failed")
        finally:
            self._next_at = self._clock() + self._every_s
            self._task = None
