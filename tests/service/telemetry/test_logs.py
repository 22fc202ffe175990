"""A record is one line of JSON."""

from __future__ import annotations

import json
import logging

from service.telemetry.logs import JsonFormatter


def test_an_exception_is_one_line_of_json() -> None:
    try:
        raise ValueError("broken\nin two lines")
    except ValueError:
        record = logging.getLogger("mrse.x").makeRecord(
            "mrse.x", logging.ERROR, __file__, 1, "it %s", ("failed",), __import__("sys").exc_info()
        )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    parsed = json.loads(line)
    assert parsed["message"] == "it failed"
    assert "ValueError: broken" in parsed["exception"]
