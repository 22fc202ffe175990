"""What the units of an experiment did: clicks, carts, orders and revenue, from a file of the shop."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from artifacts.exposures import client_id
from common.arrays import F64, I64
from common.errors import MrseError
from models.experiment.exposures import Exposures

#: What actions are called, in the shop's events and in UBI's.
ACTIONS = {
    "click": "click", "click_through": "click",
    "cart": "cart", "add_to_cart": "cart",
    "order": "order", "purchase": "order", "buy": "order",
}  # fmt: skip
KINDS = ("click", "cart", "order")
#: Columns, and what else they may be called. The first two join: by the answer, else by the unit.
_NAMES = {
    "query_id": ("query_id", "request_id"),
    "client_id": ("client_id",),
    "user": ("user", "user_id"),
    "action": ("action_name", "action"),
    "at": ("timestamp", "ts"),
    "value": ("value", "revenue"),
    "item": ("item", "item_id", "object_id"),
}


class OutcomesError(MrseError, ValueError):
    """The outcomes cannot be used; the message says why."""


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of units of the experiment, ``m`` of them, in no order.

    Attributes:
        client: ``[m]``, the unit.
        kind: ``[m]``, number in `KINDS`.
        at: ``[m]``, seconds since 1970.
        value: ``[m]``, revenue; 0 where none is told.
        skipped: rows that take no part, by why.
        request, item: ``[m]``, the ``query_id`` and the item that the row names, or None; both are empty
            where no answer was drafted by teams.
    """

    client: I64
    kind: I64
    at: F64
    value: F64
    skipped: Mapping[str, int]
    request: Sequence[str | None] = ()
    item: Sequence[str | None] = ()


def read_outcomes(path: Path, exposures: Exposures, key: str = "") -> Outcomes:
    """The outcomes of the units that were exposed.

    Args:
        path: JSON lines, CSV or Parquet, with a time, an action, and one of ``query_id``, ``client_id``,
            ``user``; ``value`` is the revenue of an order, ``item`` what was chosen.
        exposures: whose.
        key: ``exposures.key`` of the service, for the join by user.

    Raises:
        OutcomesError: it cannot be read, or no row joins.
    """
    skipped = {"another action": 0, "of nobody who was exposed": 0, "damaged": 0}
    rows: list[tuple[int, int, float, float]] = []
    hashes: dict[str, str] = {}
    request: list[str | None] = []
    item: list[str | None] = []
    for row in _rows(path):
        kind = ACTIONS.get(str(_get(row, "action")))
        if kind is None:
            skipped["another action"] += 1
            continue
        client = _client(row, exposures, key, hashes)
        if client is None:
            skipped["of nobody who was exposed"] += 1
            continue
        try:
            rows.append(
                (client, KINDS.index(kind), _seconds(_get(row, "at")), float(_get(row, "value") or 0))
            )
        except (TypeError, ValueError):
            skipped["damaged"] += 1
            continue
        if exposures.drafted:
            request.append(_name(_get(row, "query_id")))
            item.append(_name(_item(row)))
    if not rows:
        told = ", ".join(f"{many} {why}" for why, many in skipped.items() if many) or "it is empty"
        raise OutcomesError(f"{path} has no outcome of a unit that was exposed: {told}")
    client_of, kinds, at, value = zip(*rows, strict=True)
    return Outcomes(
        np.array(client_of, np.int64), np.array(kinds, np.int64), np.array(at), np.array(value),
        {why: many for why, many in skipped.items() if many}, request, item,
    )  # fmt: skip


def _client(row: Mapping[str, Any], exposures: Exposures, key: str, hashes: dict[str, str]) -> int | None:
    query = _get(row, "query_id")
    if query is not None and (found := exposures.requests.get(str(query))) is not None:
        return found
    client = _get(row, "client_id")
    if client is None and (user := _get(row, "user")) is not None:
        client = hashes.get(str(user))
        if client is None:
            client = hashes[str(user)] = client_id(str(user), key)
    return None if client is None else exposures.clients.get(str(client))


def _item(row: Mapping[str, Any]) -> Any:
    """What the row is about; UBI has it as ``event_attributes.object.object_id``."""
    found = _get(row, "item")
    if found is None and isinstance(attributes := row.get("event_attributes"), Mapping):
        its = attributes.get("object")
        found = its.get("object_id") if isinstance(its, Mapping) else None
    return found


def _name(value: Any) -> str | None:
    return None if value is None else sys.intern(str(value))


def _get(row: Mapping[str, Any], column: str) -> Any:
    for name in _NAMES[column]:
        if (value := row.get(name)) not in (None, ""):
            return value
    return None


def _seconds(value: Any) -> float:
    if isinstance(value, int | float):
        return float(value)
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).timestamp()


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".jsonl":
        with path.open("rb") as lines:
            for place, line in enumerate(lines, start=1):
                try:
                    row = orjson.loads(line)
                except ValueError as error:
                    raise OutcomesError(f"{path}:{place}: not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise OutcomesError(f"{path}:{place}: not an object")
                yield row
        return
    from pyarrow import ArrowException, csv, parquet

    try:
        if path.suffix == ".parquet":
            batches = parquet.ParquetFile(path).iter_batches(16_384)
        elif path.suffix == ".csv":
            batches = iter(csv.open_csv(path))
        else:
            raise OutcomesError(f"{path}: expected .jsonl, .csv or .parquet")
        for batch in batches:
            yield from batch.to_pylist()
    except ArrowException as error:
        raise OutcomesError(f"{path}: {error}") from error
