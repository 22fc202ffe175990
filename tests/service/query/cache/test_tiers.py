"""Codec, keys, single-flight: the parts of the cache that need no Redis."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from artifacts.bundle.text import NormalText, normalise
from artifacts.cache.codec import FeatureCodec
from artifacts.cache.keys import item_key, query_key
from common.arrays import F16
from common.deadline import Deadline
from common.lru import Lru
from service.query.cache.tiers import ExpertCache
from service.query.singleflight import SingleFlight

CODEC = FeatureCodec(3, 4)


finite = st.floats(width=16, allow_nan=False, allow_infinity=False)


@given(nps.arrays(np.float16, (3, 4), elements=finite))
def test_what_was_encoded_is_decoded_bit_by_bit(value: np.ndarray) -> None:
    data = CODEC.encode(value)
    assert len(data) == 28
    decoded = CODEC.decode(data)
    assert decoded is not None
    assert decoded.tobytes() == value.tobytes()


@given(st.binary(max_size=64))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    decoded = CODEC.decode(data)
    if len(data) != 28:
        assert decoded is None
    elif decoded is not None:
        assert decoded.shape == (3, 4)
        assert np.isfinite(decoded).all()


def test_the_bytes_are_little_endian_and_row_major() -> None:
    value = np.zeros((3, 4), dtype=">f2")
    value[0, 1] = 1.0
    assert CODEC.encode(value)[:4] == b"\x00\x00\x00\x3c"


def test_numbers_that_are_not_finite_are_a_miss() -> None:
    assert CODEC.decode(np.full((3, 4), np.nan, np.float16).tobytes()) is None
    assert CODEC.decode(None) is None


def test_another_shape_is_an_error_to_encode() -> None:
    with pytest.raises(ValueError, match="expected"):
        CODEC.encode(np.zeros((4, 3), np.float16))


@given(st.text(), st.text(), st.binary(max_size=16), st.binary(max_size=16))
def test_keys_meet_only_for_one_normal_form_and_one_picture(a: str, b: str, p: bytes, q: bytes) -> None:
    same = normalise(a) == normalise(b) and p == q
    picture_a, picture_b = (p.ljust(16, b"."), q.ljust(16, b"."))
    if p != q and picture_a == picture_b:
        return
    keys = query_key("v", normalise(a), picture_a), query_key("v", normalise(b), picture_b)
    assert (keys[0] == keys[1]) == same


@pytest.mark.parametrize("first", [0, 16, 17])
def test_a_text_cannot_imitate_a_pair_with_a_picture(first: int) -> None:
    digest = bytes([first]) + b"digest of 16 by"
    for text in (digest[1:].decode() + "\0red", digest.decode() + "\0red", digest.decode() + "red"):
        assert query_key("v", NormalText(text)) != query_key("v", NormalText("red"), digest)


def test_keys_carry_the_bundle_and_never_the_query() -> None:
    key = query_key("demo-1a2b3c4d", normalise("secret wishes"))
    assert key.startswith("mrse:demo-1a2b3c4d:q:")
    assert "secret" not in key
    assert query_key("a", normalise("x")) != query_key("b", normalise("x"))
    assert item_key("demo-1", "i7") == "mrse:demo-1:i:i7"


# -- single-flight ----------------------------------------------------------------------------------------


class Work:
    """Work that waits until it is let go, and counts."""

    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.started += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return self.started


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_work_is_done_once_for_all_who_ask() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    callers = [asyncio.create_task(flights.run("k", work)) for _ in range(10)]
    await settle()
    work.go.set()
    assert await asyncio.gather(*callers) == [1] * 10
    assert len(flights) == 0
    assert await flights.run("k", work) == 2


async def test_a_leader_that_is_cancelled_fails_no_follower() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    leader = asyncio.create_task(flights.run("k", work))
    await settle()
    follower = asyncio.create_task(flights.run("k", work))
    await settle()
    leader.cancel()
    await settle()
    assert leader.cancelled()
    work.go.set()
    assert await follower == 1
    assert work.cancelled == 0


async def test_when_everybody_has_left_the_work_is_cancelled_and_a_newcomer_starts_afresh() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    callers = [asyncio.create_task(flights.run("k", work)) for _ in range(3)]
    await settle()
    for caller in callers:
        caller.cancel()
    late = asyncio.create_task(flights.run("k", work))
    await settle()
    work.go.set()
    assert await late in (1, 2)
    await settle()
    assert len(flights) == 0


async def test_an_error_reaches_all_and_is_not_kept() -> None:
    flights: SingleFlight[int] = SingleFlight()
    work = Work()
    work.error = ValueError("broken")
    callers = [asyncio.create_task(flights.run("k", work)) for _ in range(3)]
    await settle()
    work.go.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(result, ValueError) for result in results)
    work.error = None
    assert await flights.run("k", work) == 2


async def test_keys_do_not_wait_for_each_other() -> None:
    flights: SingleFlight[int] = SingleFlight()
    slow, fast = Work(), Work()
    fast.go.set()
    waiting = asyncio.create_task(flights.run("slow", slow))
    assert await flights.run("fast", fast) == 1
    slow.go.set()
    assert await waiting == 1


# -- the cache in process -----------------------------------------------------------------------------------


async def test_what_is_kept_keeps_nothing_else() -> None:
    batch = np.ones((32, 3, 4), np.float16)
    local: Lru[str, F16] = Lru(10)
    cache = ExpertCache(CODEC, local, None, lambda tier: None)

    async def row() -> F16:
        value: F16 = batch[7]
        return value

    value, tier = await cache.get("k", row, Deadline.after(10))
    assert (value.tolist(), tier) == (batch[7].tolist(), "miss")
    kept = local.get("k")
    assert kept is not None
    assert kept.base is None
