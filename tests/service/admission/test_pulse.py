"""The loop's lag, what a request costs it, and how long bytes lay in a socket."""

from __future__ import annotations

import asyncio
import socket
import sys
import time

import pytest

from service.admission import Pulse


async def test_it_beats_and_tells_how_late_the_loop_was() -> None:
    pulse, beats = Pulse(), []
    pulse.also(lambda: beats.append(pulse.lag_s))
    pulse.start()
    while len(beats) < 3:  # noqa: ASYNC110 -- beats are no events
        await asyncio.sleep(0.005)
    time.sleep(0.2)  # what holds the loop  # noqa: ASYNC251
    await asyncio.sleep(0)
    seen = len(beats)
    while len(beats) == seen:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    pulse.stop()
    assert max(beats[3:]) > 0.1
    assert 0 < pulse.moved <= time.monotonic()


async def test_the_cost_of_a_request_is_processor_time() -> None:
    pulse = Pulse()
    pulse.start()
    for _ in range(60):
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        for _ in range(4):
            pulse.finished()
        await asyncio.sleep(0.0)
        pulse._beat(0.0)
    pulse.stop()
    assert 0.004 < pulse.cost_s < 0.012


class Transport(asyncio.BaseTransport):
    def __init__(self, connection: object) -> None:
        super().__init__({"socket": connection})


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked on Linux only")
def test_the_kernel_says_how_long_bytes_lay_in_a_socket() -> None:
    pulse = Pulse()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        connection, _ = listener.accept()
        with client, connection:
            client.sendall(b"GET")
            time.sleep(0.3)
            assert pulse.lain_s(Transport(connection)) == 0.0, "a loop on time reads at once"
            pulse.lag_s = 10.0
            assert 0.25 < pulse.lain_s(Transport(connection)) < 9.0
            pulse.lag_s = 0.1
            assert pulse.lain_s(Transport(connection)) <= 0.1 + 0.025


def test_where_nobody_can_say_it_is_as_likely_sooner_as_later() -> None:
    pulse = Pulse()
    pulse.lag_s = 1.0
    assert pulse.lain_s(Transport(None)) == 0.5
