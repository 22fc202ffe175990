"""Whoever tries many keys waits, in bounded memory and with few lines in the log."""

from __future__ import annotations

import pytest

from service.access.guesses import ADDRESSES, BURST, Guesses
from service.admission.client import network


def test_an_address_that_guesses_waits_and_others_do_not(caplog: pytest.LogCaptureFixture) -> None:
    now = [1000.0]
    guesses = Guesses(lambda: now[0])
    assert guesses.waits("10.0.0.1") == 0
    slowed = sum(guesses.wrong("10.0.0.1") > 0 for _ in range(300))
    assert slowed == 300 - BURST
    assert guesses.waits("10.0.0.1") > 0
    assert guesses.waits("10.0.0.2") == 0
    assert len(caplog.records) == 1
    now[0] += 11
    assert guesses.waits("10.0.0.1") == 0
    guesses.wrong("10.0.0.1")
    assert [record.__dict__["since_last_line"] for record in caplog.records] == [1, 300]


def test_a_network_of_64_bits_is_one_address() -> None:
    guesses = Guesses(lambda: 0.0)
    for host in range(20):
        guesses.wrong(network(f"2001:db8::{host:x}"))
        guesses.wrong(network(f"::ffff:10.0.0.{host}"))
    assert guesses.waits(network("2001:db8::ffff")) > 0
    assert guesses.waits(network("2001:db8:0:1::1")) == 0
    assert guesses.waits(network("10.0.0.3")) == 0
    assert len(guesses) == 21


def test_addresses_without_end_are_not_kept() -> None:
    guesses = Guesses(lambda: 0.0)
    for host in range(2 * ADDRESSES):
        guesses.wrong(f"10.{host >> 16}.{host >> 8 & 255}.{host & 255}")
    guesses.wrong("x" * 100_000)
    assert len(guesses) == ADDRESSES
