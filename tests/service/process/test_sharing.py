"""Connections that several listeners share: evenly, and none waits for one that hangs."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import uvloop

from service.process.sharing import Counts, Taking, row_of


class Worker:
    """One that takes connections and keeps them."""

    def __init__(self, row: list[int], number: int, listener: socket.socket) -> None:
        self.taken: list[socket.socket] = []
        self.taking = Taking(listener, 100, Counts(row, number), lambda: len(self.taken), self.taken.append)


async def _all_taken(workers: list[Worker], count: int) -> None:
    async with asyncio.timeout(30):
        while sum(len(each.taken) for each in workers) < count:  # noqa: ASYNC110 -- they are lists
            await asyncio.sleep(0.001)


def _with_listeners(
    count: int, test: Callable[[list[socket.socket], ExitStack], asyncio.Future[None] | object]
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listeners = [first, *(stack.enter_context(first.dup()) for _ in range(count - 1))]
        uvloop.run(test(listeners, stack))  # type: ignore[arg-type]


def test_three_workers_have_about_as_many_connections_however_quick_one_is() -> None:
    async def shared(listeners: list[socket.socket], stack: ExitStack) -> None:
        row = row_of(3)
        workers = [Worker(row, number, each) for number, each in enumerate(listeners)]
        for count in range(1, 151):
            stack.enter_context(socket.create_connection(listeners[0].getsockname()))
            await _all_taken(workers, count)
        for each in workers:
            assert 44 <= len(each.taken) <= 56, [len(each.taken) for each in workers]
            for connection in each.taken:
                stack.enter_context(connection)
            each.taking.end()
        assert set(row) == {-1}

    _with_listeners(3, shared)


def test_nobody_waits_for_ever_for_a_worker_that_hangs_nor_at_all_for_one_that_has_ended() -> None:
    async def alone(listeners: list[socket.socket], stack: ExitStack) -> None:
        row = row_of(2)
        row[1] = 0  # it listens, says its row, and takes none
        worker = Worker(row, 0, listeners[0])
        for _ in range(40):
            stack.enter_context(socket.create_connection(listeners[0].getsockname()))
        await _all_taken([worker], 40)
        assert Counts(row, 0).ahead(40)
        Counts(row, 1).leave()
        assert not Counts(row, 0).ahead(40)
        worker.taking.end()
        for connection in worker.taken:
            connection.close()

    _with_listeners(2, alone)


def test_where_descriptors_are_short_the_worker_tries_again_later(caplog: pytest.LogCaptureFixture) -> None:
    class Short(socket.socket):
        left = 2

        def accept(self) -> tuple[socket.socket, object]:
            if self.left:
                self.left -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def short(listeners: list[socket.socket], stack: ExitStack) -> None:
        listener = stack.enter_context(Short(fileno=listeners[0].dup().detach()))
        worker = Worker(row_of(1), 0, listener)
        stack.enter_context(socket.create_connection(listener.getsockname()))
        await _all_taken([worker], 1)
        worker.taking.end()
        stack.enter_context(worker.taken[0])
        began, ended = caplog.records  # not a line for each try, of which there may be ten a second
        assert began.getMessage() == "cannot take connections: Too many open files"
        assert (ended.getMessage(), vars(ended)["tries"]) == ("connections are taken again", 2)

    _with_listeners(1, short)


def test_a_worker_beyond_the_row_takes_what_comes() -> None:
    row = [5, 0]
    counts = Counts(row, 2)
    counts.tell(7)
    assert row == [5, 0]
    assert not counts.ahead(1000)
