"""Real pictures in real processes: slow ones, greedy ones, and processes that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artifacts.bundle.pictures import as_pixels, decode_picture
from artifacts.cache.keys import picture_digest
from artifacts.pictures.head import read_head
from artifacts.shop.pictures import read_pixels
from devtools.pictures import blank_png, encoded
from devtools.waiting import wait_for
from service.errors import FieldError, Overloaded, Unavailable
from service.query.decoder.decoder import PictureDecoder
from service.query.picture import QueryPicture
from service.settings import Encoder
from tests.support.processes import is_running

PIXELS = 20_000_000


def asked(data: bytes) -> QueryPicture:
    return QueryPicture(data, picture_digest(data), read_head(data).work)


def noise(kind: str = "JPEG", mode: str = "RGB", side: int = 40, seed: int = 0, **options: object) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 9, 4), dtype=np.uint8)
    return encoded(Image.fromarray(pixels, "RGBA").convert("RGB").convert(mode), kind, **options)


@asynccontextmanager
async def decoding(
    *, max_pixels: int = PIXELS, **knobs: int
) -> AsyncIterator[tuple[PictureDecoder, Counter[str]]]:
    counts: Counter[str] = Counter()
    knobs = {"picture_ms": 60_000, **knobs}  # but where time is the matter: the machine may be busy
    decoder = PictureDecoder(Encoder(**knobs), max_pixels, lambda outcome: counts.update([outcome]))
    try:
        yield decoder, counts
    finally:
        await asyncio.to_thread(decoder.close)


def lanes(decoder: PictureDecoder) -> list[int]:
    """Processes of the lanes that have said so."""
    return [slot.lane.process for slot in decoder._slots if slot.lane and slot.lane.process]


async def decoded(decoder: PictureDecoder, data: bytes) -> bytes:
    """The pixels; of another copy of the file where the machine was too busy for one."""
    for number in range(50):
        with suppress(Unavailable):
            return await decoder.rgb(asked(data + bytes([number])), 16)
    pytest.fail("never decoded")


async def refused(decoder: PictureDecoder, picture: QueryPicture) -> str:
    """Why a picture is refused; asked again where the machine is too busy to tell."""
    while True:
        try:
            await decoder.rgb(picture, 16)
        except FieldError as error:
            return str(error)
        except Unavailable:
            continue
        pytest.fail("the picture was decoded")


def kinds() -> Iterator[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("RGB", "L", "P", "1"):
        yield noise("PNG", mode)
    yield noise("JPEG", "CMYK")
    yield noise("JPEG", progressive=True, side=300)
    yield noise("JPEG", exif=exif)
    yield encoded(Image.fromarray(np.linspace(0, 65535, 900, dtype=np.uint16).reshape(30, 30)))
    yield encoded(Image.new("RGBA", (50, 20), (9, 200, 30, 99)))


async def test_training_and_serving_see_the_same_pixels(tmp_path: Path) -> None:
    async with decoding() as (decoder, _):
        for place, data in enumerate(kinds()):
            (tmp_path / f"{place}.img").write_bytes(data)
            served = as_pixels(await decoder.rgb(asked(data), 32), 32)
            assert np.array_equal(served, decode_picture(data, 32))
            assert np.array_equal(served, read_pixels(tmp_path, f"{place}.img", 32))


async def test_a_picture_that_takes_too_long_is_refused_and_remembered() -> None:
    slow, good = asked(blank_png(4472, 4472, 6, 16)), noise()
    async with decoding(picture_ms=200) as (decoder, counts):
        reason, pixels = await asyncio.gather(refused(decoder, slow), decoded(decoder, good))
        assert reason == "it takes over 0.2 s to decode"
        assert pixels == decode_picture(good, 16).tobytes()
        before = lanes(decoder)
        assert await refused(decoder, slow) == reason
        assert lanes(decoder) == before, "refused without being tried"
        assert counts["costly"] == counts["known"] == 1


async def test_a_picture_that_takes_too_much_memory_is_refused_and_remembered() -> None:
    greedy = asked(blank_png(4472, 4472))
    async with decoding(max_pixels=1) as (decoder, counts):
        assert await refused(decoder, greedy) == "it takes too much memory to decode"
        assert len(await decoder.rgb(asked(noise()), 16)) == 16 * 16 * 3
        assert await refused(decoder, greedy) == "it takes too much memory to decode"
        assert counts == {"costly": 1, "decoded": 1, "known": 1}


async def test_a_picture_that_would_not_be_decoded_in_time_is_refused_at_once() -> None:
    async with decoding(picture_lanes=1) as (decoder, counts):
        decoder._pace.took(50.0)  # 10 s each, which no machine is too slow for
        first = asyncio.create_task(decoder.rgb(asked(noise()), 16, within_s=0.001))  # nothing is before it
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await decoder.rgb(asked(noise(seed=1)), 16, within_s=1.0)
        await first
        assert counts == {"decoded": 1}


async def test_a_damaged_picture_costs_no_process() -> None:
    async with decoding(picture_lanes=1) as (decoder, counts):
        await decoder.rgb(asked(noise()), 16)
        before = lanes(decoder)
        with pytest.raises(FieldError, match="damaged JPEG"):
            await decoder.rgb(asked(noise()[:-400]), 16)
        await decoder.rgb(asked(noise()), 16)
        assert lanes(decoder) == before
        assert counts == {"decoded": 2, "damaged": 1}


async def test_pictures_of_much_work_never_hold_all_lanes() -> None:
    async with decoding(picture_lanes=3, picture_queue=64) as (decoder, _):
        heavy = [asked(blank_png(2500, 2000, 0, bits)) for bits in (1, 2, 4, 8)]
        running = [asyncio.create_task(decoder.rgb(picture, 16)) for picture in heavy * 4]
        for _ in range(3):
            await asyncio.sleep(0)
        assert not decoder._free.empty()
        await decoder.rgb(asked(noise()), 16)
        await asyncio.gather(*running)


async def test_a_full_queue_refuses_and_callers_who_leave_free_their_place() -> None:
    async with decoding(picture_lanes=1, picture_queue=2) as (decoder, counts):
        decoder.start()
        picture = asked(noise())
        first = asyncio.create_task(decoder.rgb(picture, 16))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(decoder.rgb(picture, 16)) for _ in range(2)]
        await asyncio.sleep(0)
        assert decoder.depth == 2
        with pytest.raises(Overloaded):
            await decoder.rgb(picture, 16)
        for task in (first, waiting[0]):  # the first is being decoded, and is to the end
            task.cancel()
        assert await waiting[1] == decode_picture(picture.data, 16).tobytes()
        assert decoder.depth == 0
        assert counts["decoded"] == 2


@pytest.mark.parametrize("wait", [True, False])
async def test_a_lane_that_was_killed_is_replaced_and_no_picture_blamed(*, wait: bool) -> None:
    async with decoding(picture_lanes=1) as (decoder, counts):
        picture = asked(noise())
        for _ in range(3):
            await decoder.rgb(picture, 16)
            (process,) = lanes(decoder)
            os.kill(process, signal.SIGKILL)
            if wait:
                await asyncio.to_thread(wait_for, lambda pid=process: not is_running(pid))
        await decoder.rgb(picture, 16)
        assert counts == {"decoded": 4}


async def test_a_picture_that_ends_two_lanes_is_to_blame() -> None:
    async with decoding(picture_lanes=1, max_pixels=2 * PIXELS) as (decoder, counts):
        deadly = asked(blank_png(6300, 6300, 6, 16))  # in place of one that finds a hole in a decoder
        task = asyncio.create_task(decoder.rgb(deadly, 16))
        seen: set[int] = set()
        while not task.done():
            for process in set(lanes(decoder)) - seen:
                await asyncio.sleep(0.05)  # it is at work
                os.kill(process, signal.SIGSEGV)
                seen.add(process)
            await asyncio.sleep(0.01)
        with pytest.raises(FieldError, match="it ends its decoder"):
            await task
        assert len(seen) == 2
        assert counts == {"costly": 1}


async def test_a_lane_that_is_held_up_is_no_fault_of_the_picture() -> None:
    async with decoding(picture_lanes=1, picture_ms=500) as (decoder, counts):
        await decoded(decoder, noise())
        (process,) = lanes(decoder)
        os.kill(process, signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await decoder.rgb(asked(noise(seed=1)), 16)
        assert not counts["costly"]


async def test_a_picture_that_is_too_slow_twice_is_refused_however_busy_the_machine() -> None:
    async with decoding(picture_lanes=1, picture_ms=50) as (decoder, counts):
        slow = asked(blank_png(4472, 4472, 6, 16))
        failed = 0
        while not counts["costly"]:
            with suppress(FieldError, Unavailable):
                await decoder.rgb(slow, 16)
            failed = counts["failed"]
        assert failed <= 1


async def test_the_parent_of_the_lanes_is_replaced() -> None:
    async with decoding() as (decoder, counts):
        picture = asked(noise())
        await decoder.rgb(picture, 16)
        lane = decoder._slots[0].lane or decoder._slots[1].lane
        assert lane is not None
        lane.parent.kill()
        for _ in range(100):
            try:
                await decoder.rgb(picture, 16)
                break
            except Unavailable:  # not at once: it might die again
                await asyncio.sleep(0.1)
        else:
            pytest.fail("never replaced")
        assert not counts["costly"]


async def test_signals_for_the_group_are_left_to_the_service() -> None:
    async with decoding(picture_lanes=1) as (decoder, _):
        picture = asked(noise())
        await decoder.rgb(picture, 16)
        (lane,) = lanes(decoder)
        for process in (lane, decoder._slots[0].lane.parent.pid):  # type: ignore[union-attr]
            for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(process, each)
        await decoder.rgb(picture, 16)
        assert lanes(decoder) == [lane]


async def test_nothing_runs_after_close() -> None:
    async with decoding() as (decoder, _):
        await decoder.rgb(asked(noise()), 16)
        left = lanes(decoder)
        assert left
    assert not any(map(is_running, left))
    with pytest.raises(Unavailable):
        await decoder.rgb(asked(noise()), 16)
