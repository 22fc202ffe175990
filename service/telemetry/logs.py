"""Structured logs: one JSON object a line."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

_BLANK = vars(logging.makeLogRecord({}))
_STANDARD = frozenset(_BLANK) | {"message", "asctime", "color_message"}


class Line(logging.LogRecord):
    """A record for what is logged with each request: made and written in half of the time.

    Args:
        logger: its name.
        message: what is said.
        fields: what the line has beside; none is called as an attribute of a record is.
    """

    def __init__(self, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        # Not the constructor of `LogRecord`, which looks up where the call stands, and in which thread.
        now = time.time()
        self.__dict__ = {
            **_BLANK,
            **fields,
            "name": logger,
            "msg": message,
            "levelno": logging.INFO,
            "levelname": "INFO",
            "created": now,
            "msecs": now % 1 * 1000,
        }
        self.fields = fields


class JsonFormatter(logging.Formatter):
    """A record and its ``extra`` as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        if isinstance(record, Line):  # the usual one, in three quarters of the time
            known = {
                "ts": when,
                "level": "info",
                "logger": record.name,
                "message": record.msg,
                "pid": os.getpid(),
                **record.fields,
            }
            return orjson.dumps(known, default=str).decode()
        line: dict[str, Any] = {
            "ts": when,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": os.getpid(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure(level: str) -> None:
    """Send the service's and the server's logs to standard error, from ``level`` up."""
    # No line tells these, so they are not looked up for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("mrse", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True  # our access log has ids, and no addresses
