"""Micro-batching and the real graphs behind it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from artifacts.bundle import build_portraits
from artifacts.bundle.portrait import Behaviour
from artifacts.bundle.text import normalise
from artifacts.cache.keys import picture_digest
from service.errors import FieldError, Overloaded
from service.query.batcher import MicroBatcher
from service.query.encoder import QueryEncoder
from service.query.picture import QueryPicture, parse_picture
from service.settings import BundleSettings, Encoder
from tests.service.conftest import Demo
from tests.support import shop
from tests.support.bundle import DIM, D

LIMITS = {"max_bytes": 2**21, "max_pixels": 20_000_000}


@pytest.fixture
def encoder(demo: Demo) -> Iterator[QueryEncoder]:
    encoder = QueryEncoder(demo.bundle, BundleSettings(), Encoder())
    yield encoder
    encoder.close()


class Slow:
    """Work that notes its batches and waits to be let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.running = threading.Event()

    def __call__(self, jobs: list[int]) -> list[int]:
        self.batches.append(jobs)
        self.running.set()
        assert self.go.wait(30)
        if any(job < 0 for job in jobs):
            raise ValueError("poison")
        return [job * 10 for job in jobs]


async def first_running(work: Slow) -> None:
    assert await asyncio.to_thread(work.running.wait, 30)


async def test_what_queued_up_while_the_thread_was_busy_is_one_batch() -> None:
    work = Slow()
    batcher = MicroBatcher(work, max_batch=4, queue=100, name="test")
    first = asyncio.create_task(batcher.submit(0))
    await first_running(work)
    rest = [asyncio.create_task(batcher.submit(n)) for n in range(1, 8)]
    await asyncio.sleep(0)
    assert batcher.depth == 7
    work.go.set()
    assert await asyncio.gather(first, *rest) == [n * 10 for n in range(8)]
    assert work.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
    batcher.close()


async def test_a_poison_job_fails_alone() -> None:
    work = Slow()
    batcher = MicroBatcher(work, max_batch=8, queue=100, name="test")
    first = asyncio.create_task(batcher.submit(0))
    await first_running(work)
    rest = [asyncio.create_task(batcher.submit(n)) for n in (1, -1, 2)]
    await asyncio.sleep(0)
    work.go.set()
    results = await asyncio.gather(first, *rest, return_exceptions=True)
    assert results[:2] == [0, 10]
    assert isinstance(results[2], ValueError)
    assert results[3] == 20
    batcher.close()


async def test_a_job_whose_caller_left_is_dropped() -> None:
    work = Slow()
    batcher = MicroBatcher(work, max_batch=8, queue=100, name="test")
    first = asyncio.create_task(batcher.submit(0))
    await first_running(work)
    gone, stays = (asyncio.create_task(batcher.submit(n)) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    work.go.set()
    assert await asyncio.gather(first, stays) == [0, 20]
    assert work.batches == [[0], [2]]
    batcher.close()


async def test_a_full_queue_refuses_at_once() -> None:
    work = Slow()
    batcher = MicroBatcher(work, max_batch=8, queue=2, name="test")
    tasks = [asyncio.create_task(batcher.submit(0))]
    await first_running(work)
    tasks += [asyncio.create_task(batcher.submit(n)) for n in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await batcher.submit(3)
    work.go.set()
    assert await asyncio.gather(*tasks) == [0, 10, 20]
    batcher.close()
    with pytest.raises(Overloaded):
        await batcher.submit(4)


async def test_a_job_waits_for_what_is_being_run_too() -> None:
    work = Slow()
    batcher = MicroBatcher(work, max_batch=8, queue=100, patience_s=0.1, name="test")
    batcher._pace.took(50.0)  # seconds each, which no machine is too slow for
    first = asyncio.create_task(batcher.submit(0))
    await first_running(work)
    assert batcher.depth == 0
    with pytest.raises(Overloaded):
        await batcher.submit(1)
    work.go.set()
    assert await first == 0
    batcher.close()


async def test_a_job_that_would_not_be_done_in_time_is_refused_at_once() -> None:
    work = Slow()
    batcher = MicroBatcher(work, max_batch=8, queue=100, name="test")
    batcher._pace.took(50.0)
    first = asyncio.create_task(batcher.submit(0, within_s=1.0))  # nothing is before it
    await first_running(work)
    with pytest.raises(Overloaded):
        await batcher.submit(1, within_s=1.0)
    second = asyncio.create_task(batcher.submit(2, within_s=1000.0))
    await asyncio.sleep(0)
    work.go.set()
    assert await asyncio.gather(first, second) == [0, 20]
    batcher.close()


async def test_a_batch_gives_what_each_query_gives_alone(encoder: QueryEncoder) -> None:
    queries = ["red shoes", "a much longer query about running shoes and hats", "", "tea", "ünïcode ☕"]
    alone = [await encoder.experts(query, None) for query in queries]
    together = await asyncio.gather(*(encoder.experts(query, None) for query in queries))
    for one, many in zip(alone, together, strict=True):
        assert one.shape == (3, D)
        assert one.dtype == np.float16
        np.testing.assert_allclose(one.astype(np.float32), many.astype(np.float32), atol=2e-3)


async def test_a_picture_moves_the_visual_expert_alone(encoder: QueryEncoder) -> None:
    picture = parse_picture(shop.picture_base64("red"), **LIMITS)
    plain = await encoder.experts("shoes", None)
    seen = await encoder.experts("shoes", picture)
    assert not np.allclose(plain[0], seen[0])
    assert np.array_equal(plain[1:], seen[1:])


async def test_a_damaged_picture_fails_and_the_next_works(encoder: QueryEncoder) -> None:
    data = shop.picture("red", 64, "JPEG")[:-300]
    with pytest.raises(FieldError):
        await encoder.experts("shoes", QueryPicture(data, picture_digest(data)))
    good = parse_picture(shop.picture_base64("red", kind="JPEG"), **LIMITS)
    assert (await encoder.experts("shoes", good)).shape == (3, D)


async def test_a_picture_of_a_wrong_width_poisons_only_itself(encoder: QueryEncoder) -> None:
    """A job that breaks the batch inside numpy or onnxruntime leaves its companions whole."""
    good = [encoder.texts.submit((normalise(f"query {n}"), None)) for n in range(5)]
    bad = encoder.texts.submit((normalise("shoes"), np.zeros(999, np.float32)))
    results = await asyncio.gather(*good, bad, return_exceptions=True)
    assert all(isinstance(result, np.ndarray) for result in results[:5])
    assert isinstance(results[5], ValueError)


async def test_fusion_is_of_unit_length_and_feels_the_history(encoder: QueryEncoder) -> None:
    experts = await encoder.experts("shoes", None)
    empty = build_portraits([[]], [np.zeros((0, 3, D), np.float16)], [None], experts=3, expert_dim=D)  # type: ignore[list-item]
    history = [Behaviour("i1", "order")]
    features = np.random.default_rng(0).normal(size=(1, 3, D)).astype(np.float16)
    full = build_portraits([history], [features], [None], experts=3, expert_dim=D)  # type: ignore[list-item]
    plain, personal = encoder.fuse(experts, empty), encoder.fuse(experts, full)
    for fused in (plain, personal):
        assert fused.embedding.shape == (DIM,)
        assert np.linalg.norm(fused.embedding) == pytest.approx(1.0, abs=1e-4)
        assert fused.gate.sum() == pytest.approx(1.0, abs=1e-4)
    assert not np.allclose(plain.embedding, personal.embedding)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%%%", "not base64"),
        ("data:image/png;base64,AAAA", "not base64"),
        ("aGVsbG8=", "not a JPEG or PNG"),
        ("A" * 3_000_000, "2250000 bytes is over 2097152"),
        ("\u00e9" * 8, "not base64"),
    ],
)
def test_a_picture_that_cannot_be_used_says_why(text: str, reason: str) -> None:
    with pytest.raises(FieldError, match=reason):
        parse_picture(text, **LIMITS)


def test_a_picture_of_too_many_pixels_is_refused_by_its_head() -> None:
    with pytest.raises(FieldError, match="24 x 24 pixels is over 100"):
        parse_picture(shop.picture_base64(), max_bytes=2**21, max_pixels=100)
