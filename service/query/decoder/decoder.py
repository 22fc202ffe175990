"""`PictureDecoder`: pictures to pixels in lanes that are killed when a picture takes too much."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal

from common.lru import Lru
from service.errors import FieldError, Overloaded, Unavailable
from service.query.decoder.processes import DecoderProcesses, Ending, Lane
from service.query.decoder.wire import DAMAGED, HELLO, MEMORY, REPLY, REQUEST
from service.query.pace import Pace
from service.query.picture import QueryPicture
from service.settings import Encoder

log = logging.getLogger("mrse.pictures")

#: What became of a picture. A costly one took too much time or memory, or ended its lane; a known one did so
#: before.
Outcome = Literal["decoded", "damaged", "costly", "known", "failed"]
#: Memory that a picture may take: of each pixel, as laid on white beside itself, and to begin with.
_BYTES_PER_PIXEL = 10
_BYTES_AT_LEAST = 64 << 20
#: Pictures that took too much are remembered, and for how long they are refused at once.
_REMEMBERED = 4096
_REMEMBERED_S = 600.0
#: Share of the time for one picture that must have been CPU time, for the picture to be blamed at once: on a
#: machine that is too busy any picture may take too long. One that does so twice is blamed all the same.
_BLAMED_FROM = 0.5
#: Longest wait for a new lane, on a busy machine.
_START_S = 10.0
#: Pictures of more work than this are kept off one of the lanes, so that they never hold all of them.
_EASY_WORK = 4_000_000


class _LaneEnded(Exception):  # noqa: N818 -- what happened, an error or not
    """The lane closed its socket."""


class _OutOfMemoryError(Exception):
    """The picture takes more memory than it may."""


class _Slot:
    """A place for a lane, which comes and goes."""

    __slots__ = ("lane",)

    def __init__(self) -> None:
        self.lane: Lane | None = None


class PictureDecoder:
    """Decodes pictures for one event loop, each in a lane of its own, some at once.

    Args:
        knobs: how many lanes, how many pictures may wait, how long one may take.
        max_pixels: of a picture, by which its memory is bounded.
        count: told what became of each picture.
        patience_s: no picture may wait longer for a lane, by how long those before it take.
    """

    def __init__(
        self,
        knobs: Encoder,
        max_pixels: int,
        count: Callable[[Outcome], None] = lambda outcome: None,
        patience_s: float = float("inf"),
    ) -> None:
        self._limit = knobs.picture_queue
        self._pace = Pace(patience_s, knobs.picture_lanes)
        self._timeout_s = knobs.picture_ms / 1000
        self._count = count
        memory = _BYTES_AT_LEAST + _BYTES_PER_PIXEL * max_pixels
        self._processes = DecoderProcesses(memory, self._timeout_s)
        self._slots = [_Slot() for _ in range(knobs.picture_lanes)]
        self._free: asyncio.Queue[_Slot] = asyncio.Queue()
        for slot in self._slots:
            self._free.put_nowait(slot)
        self._heavy = asyncio.Semaphore(max(1, len(self._slots) - 1))
        self._costly: Lru[bytes, str] = Lru(_REMEMBERED, _REMEMBERED_S)
        self._slow: Lru[bytes, bool] = Lru(_REMEMBERED, _REMEMBERED_S)
        self._jobs: set[asyncio.Task[bytes]] = set()
        self._closed = False
        #: Pictures that wait for a lane.
        self.depth = 0

    def start(self) -> None:
        """Start the lanes ahead of the first picture, which else does. Takes milliseconds.

        Raises:
            OSError: no process can be started.
        """
        for slot in self._slots:
            if slot.lane is None:
                slot.lane = self._processes.open()

    async def rgb(self, picture: QueryPicture, side: int, within_s: float = float("inf")) -> bytes:
        """The pixels of a picture, as `artifacts.pictures.decode.decode_rgb` gives them.

        Cancelling the call drops the work if it has not started.

        Args:
            picture: see there.
            side: of the square, in pixels.
            within_s: seconds in which it is to be done, or not at all.

        Raises:
            FieldError: the picture is damaged, or takes too much time or memory.
            Overloaded: too many pictures wait, or for too long.
            Unavailable: it could not be decoded now, through no fault of its own.
        """
        if reason := self._costly.get(picture.digest):
            self._count("known")
            raise FieldError("picture", reason)
        if self._closed:
            raise Unavailable("the picture processes are closed")
        ahead = self.depth + len(self._jobs) if self._free.empty() else 0
        if self.depth >= self._limit or self._pace.too_long(ahead, within_s):
            raise Overloaded("too many pictures wait to be decoded")
        heavy = picture.work > _EASY_WORK
        self.depth += 1
        try:
            if heavy:
                await self._heavy.acquire()
            try:
                slot = await self._free.get()
            except BaseException:
                if heavy:
                    self._heavy.release()
                raise
        finally:
            self.depth -= 1
        # A task, for a lane in the middle of a picture must be waited for even when the caller has left.
        job = asyncio.create_task(self._decode(slot, picture, side, heavy=heavy), name="picture")
        self._jobs.add(job)
        job.add_done_callback(self._done)
        return await asyncio.shield(job)

    def processes(self) -> list[int]:
        """Ids of the lanes that have started and of their parent."""
        lanes = [slot.lane for slot in self._slots if slot.lane is not None]
        return sorted({lane.process for lane in lanes if lane.process} | {lane.parent.pid for lane in lanes})

    def close(self) -> None:
        """End the lanes; blocks until they have ended. Pictures in the middle of it fail."""
        self._closed = True
        self._processes.close()
        while not self._free.empty():
            lane = self._free.get_nowait().lane
            if lane is not None:
                lane.socket.close()

    def _done(self, job: asyncio.Task[bytes]) -> None:
        self._jobs.discard(job)
        if not job.cancelled():
            job.exception()  # seen, where the caller has left

    async def _decode(self, slot: _Slot, picture: QueryPicture, side: int, *, heavy: bool) -> bytes:
        began = time.perf_counter()
        try:
            pixels = await self._tried(slot, picture, side)
        except FieldError:
            raise
        except Exception:
            self._count("failed")
            raise
        else:
            self._count("decoded")
            return pixels
        finally:
            self._pace.took(time.perf_counter() - began)
            self._free.put_nowait(slot)
            if heavy:
                self._heavy.release()

    async def _tried(self, slot: _Slot, picture: QueryPicture, side: int) -> bytes:
        for last in (False, True):
            asked = False
            try:
                lane = await self._ready(slot)
                asked = True
                return await self._asked(lane, picture, side)
            except (TimeoutError, _LaneEnded, OSError) as error:
                reason = await self._judge(slot, picture.digest, error, asked=asked, again=last)
                if reason is not None:
                    raise self._blamed(picture, reason) from error
                if last or isinstance(error, TimeoutError):
                    raise Unavailable("the picture could not be decoded now") from error
            except _OutOfMemoryError as error:
                await asyncio.to_thread(self._end, slot)
                raise self._blamed(picture, "it takes too much memory to decode") from error
        raise AssertionError("unreachable")

    async def _ready(self, slot: _Slot) -> Lane:
        """The slot's lane, started and known."""
        if slot.lane is None:
            slot.lane = await asyncio.to_thread(self._processes.open)
        lane = slot.lane
        if lane.process is None:
            async with asyncio.timeout(_START_S):
                (lane.process,) = HELLO.unpack(await _receive(lane, HELLO.size))
        elif lane.ended:
            raise _LaneEnded
        return lane

    async def _asked(self, lane: Lane, picture: QueryPicture, side: int) -> bytes:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            await loop.sock_sendall(lane.socket, REQUEST.pack(side, len(picture.data)) + picture.data)
            answer, lane.cpu_s, length = REPLY.unpack(await _receive(lane, REPLY.size))
            content = await _receive(lane, length)
        if answer == MEMORY:
            raise _OutOfMemoryError
        if answer == DAMAGED:
            self._count("damaged")
            raise FieldError("picture", content.decode(errors="replace"))
        return content

    async def _judge(
        self, slot: _Slot, digest: bytes, error: Exception, *, asked: bool, again: bool
    ) -> str | None:
        """End the lane; what the picture is to be blamed for, None where something else is."""
        lane = slot.lane
        ended = await asyncio.to_thread(self._end, slot)
        if self._closed:
            return None
        if lane is None or ended is None or not asked:
            log.warning("a picture process was ended or does not start: %r", error)
            return None
        if isinstance(error, TimeoutError):
            busy = ended.cpu_s - lane.cpu_s < _BLAMED_FROM * self._timeout_s
            if busy and not self._slow.get(digest):
                self._slow.put(digest, True)
                log.warning("a picture was not decoded in time, for the machine is too busy")
                return None
            return f"it takes over {self._timeout_s:g} s to decode"
        # Once may have been anybody: an operator, or the kernel that wanted memory back.
        return "it ends its decoder" if ended.signal and again else None

    def _blamed(self, picture: QueryPicture, reason: str) -> FieldError:
        self._count("costly")
        self._costly.put(picture.digest, reason)
        log.warning("a picture was refused: %s", reason, extra={"picture_bytes": len(picture.data)})
        return FieldError("picture", reason)

    def _end(self, slot: _Slot) -> Ending | None:
        lane, slot.lane = slot.lane, None
        return None if lane is None else self._processes.end(lane)


async def _receive(lane: Lane, size: int) -> bytes:
    """That many bytes.

    Raises:
        _LaneEnded: the lane closed its socket before.
    """
    loop = asyncio.get_running_loop()
    found = b""
    while len(found) < size:
        more = await loop.sock_recv(lane.socket, size - len(found))
        if not more:
            raise _LaneEnded
        found += more
    return found
