"""A queue that serves its clients in turn, whatever each of them puts in (start-time fair queueing)."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import Generic, TypeVar

J = TypeVar("J")

#: Clients whose turn is remembered though they have nothing waiting.
_REMEMBERED = 4096


class FairQueue(Generic[J]):
    """Jobs of clients; each client's in the order they came, the clients by turns.

    A client that has had more turns than others comes after them, until they have had as many. Turns that
    nobody else wanted are not held against it.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, deque[J]] = {}
        #: Of each client with jobs its next turn, once: (turn, order of coming, client).
        self._next: list[tuple[float, int, str]] = []
        #: The next turn of clients that had some.
        self._turns: dict[str, float] = {}
        self._now = 0.0
        self._order = itertools.count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, client: str, job: J) -> None:
        """Add a job."""
        jobs = self._jobs.get(client)
        if jobs is None:
            jobs = self._jobs[client] = deque()
            turn = max(self._now, self._turns.get(client, 0.0))
            heapq.heappush(self._next, (turn, next(self._order), client))
        jobs.append(job)
        self._size += 1

    def pop(self) -> J:
        """The next job.

        Raises:
            IndexError: there is none.
        """
        self._now, _, client = heapq.heappop(self._next)
        jobs = self._jobs[client]
        job = jobs.popleft()
        self._size -= 1
        self._turns[client] = turn = self._now + 1.0
        if jobs:
            heapq.heappush(self._next, (turn, next(self._order), client))
        else:
            del self._jobs[client]
            if len(self._turns) > _REMEMBERED:
                self._forget()
        return job

    def ahead(self, client: str) -> int:
        """At most so many jobs come before one that the client would put in now."""
        own = len(self._jobs.get(client, ()))
        others = len(self._jobs) - (own > 0)
        return min(self._size, own + others * (own + 1))

    def _forget(self) -> None:
        """Forget turns that have come, or all of clients that have nothing waiting if that is not enough."""
        kept = {client: turn for client, turn in self._turns.items() if turn > self._now}
        if len(kept) > _REMEMBERED // 2:
            kept = {client: turn for client, turn in kept.items() if client in self._jobs}
        self._turns = kept
