"""How workers share the connections of one listening socket: evenly, as far as they are quick to take them.

The kernel wakes all workers for a new connection, and the first takes it; of two that are idle that is mostly
the same one, and clients keep their connections. Of 512 one worker then has 344, say, and sheds load while
the other has time. So each worker tells how many it has, and one that has more than another leaves the next
connection to it for a moment; after that it takes it all the same, for the other may hang.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, MutableSequence

log = logging.getLogger("mrse.service")

#: How long a connection waits for a worker that has fewer of them.
PAUSE_S = 0.002
#: At most so many connections are taken at once from among those that nobody else took: first one, then
#: twice as many each time, so that those who come all at once do not wait long for a worker that hangs.
_LEFT = 64
#: So many more than the least, and a part of its own, a worker may have.
_SLACK, _PART = 1, 16
#: The worker does not listen.
_AWAY = -1
#: Where there is no descriptor or memory for another connection: until the next try.
_EXHAUSTED_S = 0.1
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Counts:
    """The connections of each worker; shared memory where they are processes.

    Args:
        row: one number for each worker, by its number; -1 where it does not listen.
        number: of this worker; one beyond the row tells nothing and waits for nobody.
    """

    def __init__(self, row: MutableSequence[int], number: int) -> None:
        self._row, self._number = row, number

    def tell(self, count: int) -> None:
        """How many connections this worker has."""
        if self._number < len(self._row):
            self._row[self._number] = count

    def leave(self) -> None:
        """This worker listens no more."""
        self.tell(_AWAY)

    def ahead(self, count: int) -> bool:
        """Whether a worker with so many connections leaves the next to another."""
        if self._number >= len(self._row):
            return False
        others = [each for number, each in enumerate(self._row) if each != _AWAY and number != self._number]
        return bool(others) and count > min(others) + _SLACK + count // _PART


def row_of(workers: int) -> list[int]:
    """A row for so many workers, their successors and those that are leaving; nobody listens yet."""
    return [_AWAY] * (4 * workers + 4)


class Taking:
    """Takes connections from a socket that other processes listen on too; for one event loop.

    Args:
        listener: bound; it listens from here on, and stays open when this ends.
        backlog: connections that may wait in the kernel.
        counts: see `Counts`.
        count: how many connections this worker has.
        take: given each new connection, which does not block.
    """

    def __init__(
        self,
        listener: socket.socket,
        backlog: int,
        counts: Counts,
        count: Callable[[], int],
        take: Callable[[socket.socket], None],
    ) -> None:
        self._listener, self._counts, self._count, self._take = listener, counts, count, take
        #: Tries in a row for which there was no descriptor or memory.
        self._exhausted = 0
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._left = 1
        listener.setblocking(False)
        listener.listen(backlog)
        counts.tell(count())
        self._wait()

    def end(self) -> None:
        """Take no more."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._counts.leave()

    def _wait(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._look)

    def _look(self) -> None:
        count = self._count()
        self._counts.tell(count)
        if self._counts.ahead(count):
            self._rest(PAUSE_S, self._take_left)
        else:
            self._left = 1
            self._accept(1)

    def _take_left(self) -> None:
        self._wait()
        self._accept(self._left)
        self._left = min(2 * self._left, _LEFT)

    def _rest(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(seconds, then)

    def _accept(self, most: int) -> None:
        for _ in range(most):
            try:
                connection, _peer = self._listener.accept()
            except (BlockingIOError, InterruptedError):  # another worker took it
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:  # it would wake this worker again at once
                    if not self._exhausted:  # a line for each time that it begins, not for each try
                        log.error("cannot take connections: %s", error.strerror)
                    self._exhausted += 1
                    self._rest(_EXHAUSTED_S, self._wait)
                    return
                continue  # the client has gone
            if self._exhausted:
                log.warning("connections are taken again", extra={"tries": self._exhausted})
                self._exhausted = 0
            connection.setblocking(False)
            self._take(connection)
            self._counts.tell(self._count())
