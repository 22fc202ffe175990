"""Who puts items notes each call that failed, however it did."""

from __future__ import annotations

from benchmarks.put_items_calls import SIDE_BY_SIDE, Putting
from devtools.waiting import free_port


def test_a_service_that_is_away_is_no_silence() -> None:
    putting = Putting(f"http://127.0.0.1:{free_port()}", [b"{}"] * 10, again=False)
    putting.run()
    assert len(putting.failed) == SIDE_BY_SIDE
    assert putting.acknowledged == []
