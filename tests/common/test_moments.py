from __future__ import annotations

from datetime import UTC, datetime

from common.moments import iso


def test_a_moment_is_told_as_datetime_tells_it() -> None:
    for seconds in (0.0, 1.5e9, 1.5e9 + 0.25, 1.5e9 + 59.9995, 1_764_223_200.123):
        told = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
        assert iso(seconds) == told
