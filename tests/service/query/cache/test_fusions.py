"""What is kept of queries without a history changes no answer, and is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from artifacts.bundle import Behaviour, PortraitBatch, build_portraits
from common.deadline import Deadline
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from service.query.cache.fusions import FusionCache
from service.query.encoder import Fused
from service.query.portrait import RequestPortrait
from tests.service.conftest import Demo
from tests.service.http.test_health import value
from tests.support import shop
from tests.support.serving import make_settings, serving

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class _Encoder:
    """Counts its fusions; what it gives depends on experts and portrait."""

    def __init__(self) -> None:
        self.calls = 0

    async def experts(self, query: str, picture: Any) -> Any:
        raise NotImplementedError

    def fuse(self, experts: Any, portrait: PortraitBatch) -> Fused:
        self.calls += 1
        return Fused((experts.sum(0) + portrait.features.sum()).astype(np.float32), np.ones(3, np.float32))


def portrait(*items: str) -> RequestPortrait:
    history = [Behaviour(item, "click", NOW) for item in items]
    batch = build_portraits(
        [history], [np.ones((len(items), 3, 4), np.float16)], [NOW], experts=3, expert_dim=4
    )
    return RequestPortrait(batch, history, items)


def test_only_queries_without_a_history_are_fused_once() -> None:
    encoder, counted = _Encoder(), Counter[bool]()
    known = FusionCache(encoder, 2, lambda hit: counted.update([hit]))
    queries = [np.full((3, 4), n, np.float16) for n in range(3)]
    for number in (0, 0, 1, 0, 2, 0, 1):  # 1 is the least recently used when 2 comes
        fused = known.fuse(queries[number].copy(), portrait())
        np.testing.assert_array_equal(fused.embedding, np.full(4, 3 * number))
        assert not fused.embedding.flags.writeable
    assert encoder.calls == 4
    assert counted == {True: 3, False: 4}
    for _ in range(2):
        assert known.fuse(queries[0], portrait("a")).embedding[0] == 12
    assert encoder.calls == 6
    assert sum(counted.values()) == 7


def test_none_are_kept_where_none_are_to_be() -> None:
    encoder = _Encoder()
    known = FusionCache(encoder, 0, lambda hit: None)
    for _ in range(3):
        known.fuse(np.ones((3, 4), np.float16), portrait())
    assert encoder.calls == 3


def test_answers_are_those_of_a_service_that_keeps_nothing(demo: Demo) -> None:
    history = [{"item_id": "i6", "action": "order"}]
    bodies: list[dict[str, Any]] = [
        {"query": "green tea cup", "k": 5},
        {"query": "green tea cup", "k": 9},
        {"query": "green tea cup", "k": 5, "history": history},
        {"query": "green tea cup", "k": 5, "history": [{"item_id": "unknown", "action": "order"}]},
        {"query": "green tea cup", "k": 5, "filters": {"in_stock": True}},
        {"query": "", "k": 5, "history": history},
        {"query": "red shoes", "k": 5},
    ]
    kept, none = [], []
    for queries, answers in ((64, kept), (0, none)):
        settings = make_settings(
            demo.bundle.path, demo.index, cache={"queries": queries, "neighbours": queries}
        )
        with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
            for _ in range(3):
                for body in bodies:
                    answer = client.post("/recall", json=body).json()
                    answers.append((answer["items"], answer["degraded"], answer["index_version"]))
            hits = [
                value(client, f"mrse_{name}_lookups_total", result="hit") for name in ("fusion", "search")
            ]
    assert kept == none
    assert hits == [0, 0]


def test_what_is_kept_is_counted_and_forgotten_when_the_index_changes(demo: Demo, tmp_path: Path) -> None:
    shop.write_embeddings(demo.bundle, tmp_path / "e")
    build_index(tmp_path / "e", tmp_path / "index")
    settings = make_settings(demo.bundle.path, tmp_path / "index")
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:

        def hits() -> tuple[float, float]:
            one, other = (
                value(client, f"mrse_{name}_lookups_total", result="hit") for name in ("fusion", "search")
            )
            return one, other

        def asked(**more: Any) -> list[str]:
            answer = client.post("/recall", json={"query": "red running shoes", "k": 3} | more).json()
            return [item["item_id"] for item in answer["items"]]

        before = asked()
        assert asked() == before
        assert hits() == (1, 1)
        asked(history=[{"item_id": "i12", "action": "click"}])
        assert hits() == (1, 1)
        asked(filters={"in_stock": True})
        assert hits() == (2, 1)
        _remove(tmp_path / "index", before[0])
        assert before[0] not in asked()
        assert hits() == (3, 1)


def _remove(index: Path, item_id: str) -> None:
    """As another process does."""

    async def work() -> None:
        opened = EmbeddedIndex.open(index, verify=False)
        await opened.remove([item_id], Deadline.after(60))
        await opened.close()

    asyncio.run(work())
