"""Requests and grades that tests make by hand."""

from datetime import UTC, datetime

import numpy as np

from artifacts.shop.schema import Event
from models.evaluation.heldout import Request

ROWS = {name: row for row, name in enumerate("abcd")}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Graded:
    """Item a answers "red" wholly, b half; nothing is known of "blue"."""

    source = "judge"

    def catalogue_grades(self, query: str, picture: str | None) -> np.ndarray | None:
        return np.array([1.0, 0.5, 0.1, 0.0], dtype=np.float32) if query == "red" else None


def request(query: str, item: str, user: str | None = None, kind: str = "text") -> Request:
    return Request(kind, Event(NOW, item, "click", query, user), ())  # type: ignore[arg-type]
