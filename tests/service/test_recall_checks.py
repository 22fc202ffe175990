"""Live searches of the embedded index are asked again exactly, and their recall is told by filter."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest

from artifacts.bundle import Bundle
from common.deadline import Deadline
from devtools.waiting import wait_for
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.port import ExactAnswer, IndexUnavailable, Neighbours
from service.recall_checks import RecallChecks, accepted_of, recall_of
from tests.service.conftest import Demo
from tests.service.http.test_health import value
from tests.support import shop
from tests.support.serving import make_settings, serving


def f32(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32)


def test_recall_counts_by_score_so_that_of_equal_items_any_counts() -> None:
    assert recall_of([0.9, 0.8, 0.7], f32(0.9, 0.8, 0.7)) == 1.0
    assert recall_of([0.9, 0.7, 0.6], f32(0.9, 0.8, 0.7)) == pytest.approx(2 / 3)
    assert recall_of([], f32(0.9)) == 0.0
    assert recall_of([], f32()) == 1.0
    assert recall_of([0.70001, 0.7], f32(0.700012, 0.700004)) == 1.0  # scores come with five digits
    assert [accepted_of(share) for share in (1.0, 0.5, 0.02, 0.001)] == ["all", "tenth", "hundredth", "fewer"]


class Fake:
    """An index that answers exactly as it is told; a fake of the clockwork alone."""

    def __init__(self, answer: ExactAnswer | Exception, revisions: list[object]) -> None:
        self.answer = answer
        self.revisions = revisions
        self.asked = 0

    @property
    def revision(self) -> object:
        return self.revisions.pop(0) if len(self.revisions) > 1 else self.revisions[0]

    async def search_exact(self, *given: object) -> ExactAnswer:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


EXACT = ExactAnswer(Neighbours(["a", "b"], f32(0.9, 0.8)), 0.5)


@pytest.mark.parametrize(
    ("answer", "revisions", "counted"),
    [
        (EXACT, [1], "compared"),
        (EXACT, [1, 2], "changed"),
        (EXACT, [None], "changed"),
        (IndexUnavailable("timeout"), [1], "failed"),
        (RuntimeError("a bug"), [1], "failed"),
    ],
)
async def test_what_comes_of_a_check_is_counted_and_the_next_comes_after_a_pause(
    answer: ExactAnswer | Exception, revisions: list[object], counted: str
) -> None:
    now, idle, counts, told = [100.0], [True], [], []
    checks = RecallChecks(10, lambda: idle[0], lambda *each: told.append(each), counts.append, lambda: now[0])
    assert not checks.due
    now[0] = 110.0
    idle[0] = False
    assert not checks.due, "never while anything waits"
    idle[0] = True
    assert checks.due
    index = Fake(answer, revisions)
    checks.offer(index, index, f32(1, 0), 2, None, [0.9, 0.7])  # type: ignore[arg-type]
    assert not checks.due
    await checks.ended()
    assert counts == [counted]
    assert told == ([("tenth", 0.5)] if counted == "compared" else [])
    assert not checks.due
    now[0] = 120.0
    assert checks.due
    await checks.close()
    assert not checks.due


async def test_none_is_ever_due_where_they_are_turned_off() -> None:
    checks = RecallChecks(0, lambda: True, lambda *each: None, lambda each: None, lambda: 1e9)
    assert not checks.due


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index by lists, whose usual search leaves some out."""
    root = tmp_path_factory.mktemp("clustered")
    bundle: Bundle = shop.bundle(root / "bundle", 1)
    shop.write_embeddings(bundle, root / "embeddings")
    build_index(root / "embeddings", root / "index", cluster_rows=1)
    return root / "index"


async def test_the_exact_search_finds_what_a_scan_finds_with_filters_and_changes(clustered: Path) -> None:
    index = EmbeddedIndex.open(clustered)
    try:
        assert index.manifest.kind == "ivf_fp16"
        deadline = Deadline.after(30)
        stored = await index.vectors([item["id"] for item in shop.items()], deadline)
        vector = stored.vectors[3]
        scores = np.sort(stored.vectors @ vector)[::-1]
        answer = await index.search_exact(vector, 20, None, deadline)
        np.testing.assert_allclose(answer.near.scores, scores[:20], atol=1e-3)
        assert answer.accepted == 1.0
        await index.remove([answer.near.ids[0]], deadline)
        fewer = await index.search_exact(vector, 19, None, deadline)
        assert fewer.near.ids == answer.near.ids[1:]
    finally:
        await index.close()
    with pytest.raises(IndexUnavailable):
        await index.search_exact(vector, 1, None, Deadline.after(1))


def test_the_recall_of_live_searches_is_told(demo: Demo) -> None:
    settings = make_settings(demo.bundle.path, demo.index, server={"recall_check_every_s": 0.01})
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:

        def checked() -> float:
            client.post("/recall", json={"query": "red shoes", "k": 10}).raise_for_status()
            return value(client, "mrse_index_recall_checks_total", result="compared")

        wait_for(lambda: checked() >= 3)
        assert value(client, "mrse_index_recall_ratio", accepted="all") == 1.0
        assert value(client, "mrse_index_recall_checks_total", result="failed") == 0
        assert value(client, "mrse_index_items") == 60
        assert value(client, "mrse_index_built_timestamp_seconds") > 1e9
        assert value(client, "mrse_index_pending_changes") == 0
