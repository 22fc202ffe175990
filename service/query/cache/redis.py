"""The shared cache in Redis. Without Redis an answer is slower, never an error.

Reads of one turn of the event loop travel in one MGET. Writes go to a bounded queue that a background
task empties; what does not fit is dropped and counted. A breaker keeps requests from waiting for a Redis
that does not answer.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeAlias, TypeVar, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeout

from artifacts.cache.forget import forget_user
from common.breaker import CircuitBreaker
from common.calling import redis_call, redis_span
from common.deadline import Deadline
from service.errors import Unavailable
from service.redis_errors import REDIS_AWAY
from service.settings import RedisSettings

log = logging.getLogger("mrse.cache")

_WRITE_BATCH = 64
#: Pauses before a Redis that did not answer is asked once more, where the answer matters.
_ASK_AGAIN_S = (0.05, 0.2, 0.5)

T = TypeVar("T")
#: What Redis said of a key, a value or None; empty where it said nothing.
_Answer: TypeAlias = tuple[bytes | None] | tuple[()]
Count = Callable[[str], None]


class RedisCache:
    """Bytes by key, shared by all workers. No method raises when Redis does not answer.

    Args:
        settings: address, timeouts, bounds.
        breaker: decides whether Redis is asked at all.
        count: told ``timeout``, ``error``, ``open`` (breaker), ``dropped`` and ``written``.
        traced: whether requests are traced; each wait for Redis is then a span.
    """

    def __init__(
        self, settings: RedisSettings, breaker: CircuitBreaker, count: Count, traced: bool = False
    ) -> None:
        if settings.url is None:
            raise ValueError("redis.url is not set")
        self._timeout = settings.timeout_ms / 1000
        self._ttl_ms = settings.ttl_s * 1000
        self._breaker = breaker
        self._count = count
        self._client: Redis = Redis.from_url(
            settings.url.get_secret_value(),
            socket_timeout=self._timeout,
            socket_connect_timeout=settings.connect_timeout_ms / 1000,
            # The library's default is to retry with a backoff: longer than a request may take.
            retry=Retry(NoBackoff(), 0),
        )
        self._traced = traced
        self._server = self._client.connection_pool.connection_kwargs
        self._wanted: dict[str, asyncio.Future[_Answer]] = {}
        self._reads: set[asyncio.Task[None]] = set()
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(settings.write_queue)
        self._writer: asyncio.Task[None] | None = None

    async def get(self, keys: Sequence[str], deadline: Deadline) -> dict[str, bytes | None]:
        """What Redis says within the deadline: a value, or None where there is none.

        A key that is missing from the answer was not answered: whether there is a value is not known.
        """
        if not keys:
            return {}
        waiting = [self._ask(key) for key in keys]
        timeout = min(self._timeout, deadline.remaining())
        span = redis_span("MGET", len(keys), self._server) if self._traced else None
        answers: dict[str, bytes | None] = {}
        try:
            done, _ = await asyncio.wait(waiting, timeout=timeout)
            answers = {
                key: answer[0]
                for key, future in zip(keys, waiting, strict=True)
                if future in done and (answer := future.result())
            }
        finally:
            if span is not None:
                span.end(
                    None if len(answers) == len(keys) else "open" if self._breaker.is_open else "timeout"
                )
        return answers

    def put(self, key: str, value: bytes) -> None:
        """Store a value some time soon, or drop it."""
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="redis-writer")
        try:
            self._queue.put_nowait((key, value))
        except asyncio.QueueFull:
            self._count("dropped")

    async def store(self, values: Mapping[str, bytes], ttl_s: float) -> None:
        """Store values; they are there when this returns.

        Raises:
            Unavailable: Redis does not answer; some may be there.
        """

        async def send(batch: Sequence[tuple[str, bytes]]) -> None:
            pipe = self._client.pipeline(transaction=False)
            for key, value in batch:
                pipe.set(key, value, px=int(ttl_s * 1000 * random.uniform(0.9, 1.1)))
            await pipe.execute()

        pairs = list(values.items())
        for batch in (pairs[i : i + _WRITE_BATCH] for i in range(0, len(pairs), _WRITE_BATCH)):
            otherwise = "the features of items may not be stored"
            await self._insisting("SET", len(batch), partial(send, batch), otherwise)

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove values.

        Raises:
            Unavailable: Redis does not answer; some may still be there.
        """
        if keys:
            otherwise = "the features of items may still be there"
            await self._insisting("UNLINK", len(keys), lambda: self._client.unlink(*keys), otherwise)

    async def forget(self, user_id: str, bundle_versions: Collection[str]) -> int:
        """Remove the portraits of a user; how many there were.

        Raises:
            Unavailable: it does not answer; they may still be there.
        """
        return await self._insisting(
            "UNLINK",
            len(bundle_versions),
            lambda: forget_user(self._client, user_id, bundle_versions),
            "the user's portrait may still be there",
        )

    async def close(self) -> None:
        """Write what is queued, for a moment, and release connections."""
        if self._writer is not None:
            if not self._breaker.is_open:
                await asyncio.wait([asyncio.ensure_future(self._queue.join())], timeout=2 * self._timeout)
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await asyncio.gather(*self._reads, return_exceptions=True)
        await self._client.aclose()

    def _ask(self, key: str) -> asyncio.Future[_Answer]:
        if key not in self._wanted:
            loop = asyncio.get_running_loop()
            if not self._wanted:
                loop.call_soon(self._send)
            self._wanted[key] = loop.create_future()
        return self._wanted[key]

    def _send(self) -> None:
        wanted, self._wanted = self._wanted, {}
        ticket = self._breaker.enter()
        if ticket is None:
            self._count("open")
            for future in wanted.values():
                future.set_result(())
            return
        task = asyncio.create_task(self._read(wanted, ticket))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _read(self, wanted: dict[str, asyncio.Future[_Answer]], ticket: int) -> None:
        answers: list[_Answer] = [()] * len(wanted)
        try:
            values = await self._guarded(
                cast("Awaitable[list[bytes | None]]", self._client.mget(list(wanted))), ticket
            )
            if values is not None and len(values) == len(wanted):
                answers = [(value if isinstance(value, bytes) else None,) for value in values]
        finally:  # nobody may wait for the whole of the timeout because of a bug
            for future, answer in zip(wanted.values(), answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _write(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _WRITE_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            if (ticket := self._breaker.enter()) is not None:
                pipe = self._client.pipeline(transaction=False)
                for key, value in batch:
                    # Jitter, so that what was written together does not expire together.
                    pipe.set(key, value, px=int(self._ttl_ms * random.uniform(0.9, 1.1)))
                written = await self._guarded(pipe.execute(), ticket)
                self._count("written" if written is not None else "dropped")
            else:
                self._count("dropped")
            for _ in batch:
                self._queue.task_done()

    async def _insisting(
        self, operation: str, keys: int, ask: Callable[[], Awaitable[T]], otherwise: str
    ) -> T:
        """What Redis says, asked whatever the breaker says, and again where it is slow: nobody else asks.

        Raises:
            Unavailable: it does not answer; ``otherwise`` says what is to be feared.
        """
        for pause_s in (*_ASK_AGAIN_S, None):
            try:
                with redis_call(operation, keys, self._server):
                    return await ask()
            except REDIS_AWAY as error:
                if pause_s is None:
                    raise Unavailable(f"redis does not answer; {otherwise}, try again") from error
                await asyncio.sleep(pause_s)
        raise AssertionError

    async def _guarded(self, call: Awaitable[T], ticket: int) -> T | None:
        try:
            result = await call
        except asyncio.CancelledError:
            self._breaker.inconclusive(ticket)
            raise
        except REDIS_AWAY as error:
            was_open = self._breaker.is_open
            self._breaker.failed(ticket)
            self._count("timeout" if isinstance(error, TimeoutError | RedisTimeout) else "error")
            if self._breaker.is_open and not was_open:
                log.warning("redis is away, going on without it", extra={"error": type(error).__name__})
            return None
        except Exception as error:  # a bug, but with the ticket kept nobody would ask again
            self._breaker.failed(ticket)
            self._count("error")
            log.exception("a call to redis failed", extra={"error": type(error).__name__})
            return None
        was_open = self._breaker.is_open
        self._breaker.succeeded(ticket)
        if was_open and not self._breaker.is_open:
            log.warning("redis answers again")
        return result
