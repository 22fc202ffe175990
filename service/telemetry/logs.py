"""Structured logs: one JSON object a line."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import orjson

from common.moments import iso

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
        when = iso(record.created)
        if isinstance(record, Line):
            return _line(when, record.name, record.msg, record.fields)
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


def _line(when: str, logger: str, message: str, fields: Mapping[str, Any]) -> str:
    known = {
        "ts": when,
        "level": "info",
        "logger": logger,
        "message": message,
        "pid": os.getpid(),
        **fields,
    }
    return orjson.dumps(known, default=str).decode()


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to standard error; a line of `tell` without a record, in a third of the time."""

    def tell(self, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        try:
            line = _line(iso(time.time()), logger, message, fields) + self.terminator
            with self.lock:  # type: ignore[union-attr]  # a handler always has one
                self.stream.write(line)
                self.flush()
        except Exception:
            self.handleError(Line(logger, message, fields))


def tell(logger: logging.Logger, message: str, fields: Mapping[str, Any]) -> None:
    """Say something at level info, with fields, as is done for each request.

    As `logging.Logger.info` with ``extra``: where anybody else wants records too, they get a `Line`.

    Args:
        logger: who says it; it is known to be enabled.
        message: what is said.
        fields: what the line has beside; none is called as an attribute of a record is.
    """
    above = logger.parent
    if above is not None and not logger.handlers and not logger.filters and logger.propagate:
        its = above.handlers
        if len(its) == 1 and type(own := its[0]) is _Handler and not own.filters and not above.propagate:
            own.tell(logger.name, message, fields)
            return
    logger.handle(Line(logger.name, message, fields))


def configure(level: str) -> None:
    """Send the service's and the server's logs to standard error, from ``level`` up."""
    # No line tells these, so they are not looked up for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("mrse", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True  # our access log has ids, and no addresses
