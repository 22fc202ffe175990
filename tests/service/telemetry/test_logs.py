"""A record is one line of JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from service.telemetry import logs
from service.telemetry.logs import JsonFormatter, Line, tell


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


@pytest.fixture
def configured() -> Iterator[logging.Logger]:
    """The service's loggers as `configure` leaves them, and as they were afterwards."""
    loggers = [logging.getLogger(name) for name in ("mrse", "uvicorn", "uvicorn.access")]
    before = [(each, each.handlers[:], each.propagate, each.level, each.disabled) for each in loggers]
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    logs.configure("info")
    yield loggers[0]
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags
    for each, handlers, propagate, level, disabled in before:
        each.handlers[:], each.propagate, each.level, each.disabled = handlers, propagate, level, disabled
    logging.getLogger("mrse.access").manager._clear_cache()  # type: ignore[attr-defined]  # of levels


def test_what_is_told_is_written_as_a_record_is_and_others_get_records(
    configured: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("mrse.access")
    configured.handlers[0].setStream(sys.stderr)  # type: ignore[attr-defined]
    fields = {"request_id": "r1", "arms": {"towers": "control"}, "degraded": (), "took_ms": 1.5}
    tell(logger, "request", fields)
    records: list[logging.LogRecord] = []
    listening = logging.Handler()
    listening.emit = records.append  # type: ignore[method-assign]
    configured.addHandler(listening)
    tell(logger, "request", fields)
    quick, usual = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    whens = [quick.pop("ts"), usual.pop("ts")]
    assert all(datetime.fromisoformat(when).tzinfo == UTC for when in whens)
    assert quick == usual
    assert [record.request_id for record in records] == ["r1"]  # type: ignore[attr-defined]
