"""A record is one line of JSON."""

from __future__ import annotations

import json
import logging

from service.telemetry.logs import JsonFormatter, Line


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


def test_the_line_of_a_request_is_as_that_of_any_record() -> None:
    fields = {"request_id": "r1", "status": 200, "arms": {"towers": "control"}, "degraded": ()}
    logger = logging.getLogger("mrse.x")
    usual = logger.makeRecord("mrse.x", logging.INFO, __file__, 1, "request", (), None, extra=fields)
    line = Line("mrse.x", "request", fields)
    as_json = [json.loads(JsonFormatter().format(record)) for record in (usual, line)]
    for each in as_json:
        del each["ts"]
    assert as_json[0] == as_json[1]
    text = logging.Formatter("%(asctime)s %(name)s %(levelname)s %(lineno)d %(message)s")
    assert text.format(line).endswith("mrse.x INFO 0 request")
    assert line.request_id == "r1"  # type: ignore[attr-defined]  # for who looks at the record
