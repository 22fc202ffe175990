"""Live searches that are asked again without the graph."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from common.arrays import F32
from common.deadline import Deadline
from devtools.vespa_fakes.fault_server import FaultServer, Request, answer
from index.filters import Filter
from index.port import IndexUnavailable, Neighbours
from index.vespa import errors
from index.vespa.client import VespaIndex
from index.vespa.settings import ShadowSettings
from index.vespa.shadow import Shadow, recall_of
from index.watching import CallOutcome
from tests.index.vespa.answers import HITS, hit, root, settings

E0 = np.eye(1, 8, dtype=np.float32)


@dataclass
class Watch:
    """Takes note of what it is told."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    circuits: list[tuple[str, bool]] = field(default_factory=list)
    recalls: list[float | None] = field(default_factory=list)

    def ended(self, server: str, outcome: CallOutcome) -> None:
        self.calls.append((server, outcome))

    def retried(self, server: str) -> None:
        self.retries.append(server)

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def circuit(self, server: str, is_open: bool) -> None:
        self.circuits.append((server, is_open))

    def shadowed(self, recall: float | None) -> None:
        self.recalls.append(recall)


def near(*scores: float, coverage: float = 1.0) -> Neighbours:
    return Neighbours([str(n) for n in range(len(scores))], np.array(scores, np.float32), coverage)


def test_ties_count_whichever_item_was_found() -> None:
    assert recall_of(near(0.9, 0.5), near(0.9, 0.5)) == 1.0
    assert recall_of(near(0.9, 0.4), near(0.9, 0.5)) == 0.5
    assert recall_of(near(0.9, 0.9, 0.9), near(0.9, 0.9)) == 1.0
    assert recall_of(near(), near()) == 1.0
    assert recall_of(near(), near(0.5)) == 0.0


async def test_the_recall_of_live_searches_is_told() -> None:
    """The graph misses one of three; the exact search has connections of its own."""
    told = asyncio.Event()

    async def act(request: Request, writer: asyncio.StreamWriter) -> None:
        exact = "approximate:false" in request.json["yql"]
        if exact:
            told.set()
        hits = HITS if exact else [HITS[0], HITS[2], hit("d", -0.9)]
        await answer(200, root(hits))(request, writer)

    watch = Watch()
    async with FaultServer([act]) as server:
        shadowed = replace(settings(server.url), shadow=ShadowSettings(share=1.0))
        async with VespaIndex(shadowed) as index:
            index.calls.listen(watch)
            (found,) = await index.search(E0, 3, None, Deadline.after(5))
            assert found.ids == ["a", "c", "d"]
            await told.wait()
            assert index.shadow is not None
            await index.shadow.ended()
        assert server.connections == 2
    assert watch.recalls == [pytest.approx(2 / 3)]
    assert [outcome for _, outcome in watch.calls] == ["ok"]


class Exact:
    """Counts exact searches, and answers when it is let."""

    def __init__(self, found: Neighbours | IndexUnavailable) -> None:
        self.found = found
        self.asked = 0
        self.may = asyncio.Event()

    async def __call__(self, vector: F32, k: int, filters: Filter | None, deadline: Deadline) -> Neighbours:
        self.asked += 1
        await self.may.wait()
        if isinstance(self.found, IndexUnavailable):
            raise self.found
        return self.found


async def test_one_at_a_time_after_a_pause_and_in_idle_time_only() -> None:
    exact, told = Exact(near(0.9)), list[float | None]()
    now, idle, drawn = [100.0], [True], [0.0]
    shadow = Shadow(
        ShadowSettings(share=0.1, every=10.0),
        exact,
        lambda: idle[0],
        told.append,
        clock=lambda: now[0],
        draw=lambda: drawn[0],
    )
    for seen in (near(0.9, coverage=0.5), replace(near(0.9), degraded=("timeout",))):
        shadow.offer(E0[0], 1, None, seen)
    idle[0] = False
    shadow.offer(E0[0], 1, None, near(0.9))
    idle[0], drawn[0] = True, 0.1
    shadow.offer(E0[0], 1, None, near(0.9))
    assert not shadow.busy
    drawn[0] = 0.05
    for _ in range(3):
        shadow.offer(E0[0], 1, None, near(0.9))
    await asyncio.sleep(0)
    assert exact.asked == 1
    exact.may.set()
    await shadow.ended()
    shadow.offer(E0[0], 1, None, near(0.9))
    assert not shadow.busy
    now[0] += 10.0
    exact.found = errors.TimedOut("too slow")
    shadow.offer(E0[0], 1, None, near(0.9))
    await shadow.ended()
    now[0] += 10.0
    exact.found = near(0.9, coverage=0.9)
    shadow.offer(E0[0], 1, None, near(0.9))
    await shadow.ended()
    assert told == [1.0, None, None]


async def test_closing_gives_up_what_is_under_way() -> None:
    exact = Exact(near(0.9))
    shadow = Shadow(ShadowSettings(share=1.0), exact, lambda: True, lambda recall: None)
    shadow.offer(E0[0], 1, None, near(0.9))
    await asyncio.sleep(0)
    await shadow.close()
    assert not shadow.busy
