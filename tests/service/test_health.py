"""Whether a worker is ready, as several threads tell and ask."""

from __future__ import annotations

import logging
import threading

import pytest

from service.health import PARTS, Health, Part


def test_a_new_worker_loads_and_is_not_ready() -> None:
    health = Health()
    assert not health.ready
    assert health.reasons == ["starting"]
    health.mend("loading")
    assert health.ready
    assert health.reasons == []


def test_each_part_keeps_it_from_answering_until_it_is_mended() -> None:
    health = Health()
    health.mend("loading")
    health.fail("encoder", "it raises")
    health.fail("index", "it is away")
    health.fail("encoder", "it hangs")
    assert health.reasons == ["it hangs", "it is away"]
    assert [part for part in PARTS if health.failing(part)] == ["encoder", "index"]
    health.mend("encoder")
    assert not health.ready
    health.mend("index")
    health.mend("index")
    assert health.ready


def test_a_change_is_one_line_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    told: list[bool] = []
    health = Health(told.append)
    with caplog.at_level(logging.INFO, "mrse.service"):
        health.mend("loading")
        for _ in range(5):
            health.fail("fusion", "it raises")
        health.mend("fusion")
        health.fail("draining", "it is about to end")
    assert told == [True, False, True, False]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "ready"),
        ("WARNING", "not ready any more"),
        ("WARNING", "ready"),  # whoever read of the fault reads that it ended
        ("INFO", "not ready any more"),
    ]


def test_any_thread_may_tell() -> None:
    health = Health()
    health.mend("loading")

    def flap(part: Part) -> None:
        for _ in range(300):
            health.fail(part, "again")
            health.mend(part)

    threads = [threading.Thread(target=flap, args=(part,)) for part in PARTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.ready, "no thread undid what another said"
