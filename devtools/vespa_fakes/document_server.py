"""document/v1 at the socket: keeps documents, honours conditions, and misbehaves as told."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devtools.vespa_fakes.fault_server import FaultServer, Request, answer, hang, hang_up, no_http, reset

_PATH = re.compile(r"/document/v1/mrse/(item_\w+)/docid/(.+)", re.DOTALL)
_CONDITION = re.compile(r"(item_\w+)\.feed_ver (<=?) ([0-9]+)")
_IGNORED = {"X-Vespa-Ignored-Fields": "true"}


@dataclass
class Chaos:
    """Shares of requests that meet each fault, and blocked stretches: (from request, requests)."""

    seed: int = 0
    busy: float = 0.0
    unavailable: float = 0.0
    internal: float = 0.0
    timeout: float = 0.0
    #: The connection is reset before, or after the operation was carried out.
    reset_before: float = 0.0
    reset_after: float = 0.0
    closed: float = 0.0
    garbage: float = 0.0
    #: No answer at all, before or after: the client's time-out has to end it.
    silent_before: float = 0.0
    silent_after: float = 0.0
    blocked: tuple[tuple[int, int], ...] = ()
    #: Answers late by up to this many seconds, so that requests overtake one another.
    jitter: float = 0.0


@dataclass
class DocumentServer(FaultServer):
    """The fields of each document by item id, and in ``history`` all versions that were ever stored.

    With ``by_type`` they are known by document type and item id, as ``item_demo_0123abcd/a1``.
    """

    script: Any = ()
    chaos: Chaos = field(default_factory=Chaos)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Feed versions in the order stored, by item: must only rise.
    history: dict[str, list[int]] = field(default_factory=dict)
    by_type: bool = False
    faults: Counter[str] = field(default_factory=Counter)
    served: int = 0
    #: Operations under way of one id at once: more than one breaks the order.
    at_once: Counter[str] = field(default_factory=Counter)
    overlapped: bool = False
    under_way: int = 0
    most_under_way: int = 0

    def __post_init__(self) -> None:
        self.script = (self._act,)
        self._random = random.Random(self.chaos.seed)
        self.keep_requests = False
        self._more = asyncio.Event()

    async def has_served(self, count: int) -> None:
        """Wait until that many requests were there."""
        while self.served < count:
            self._more.clear()
            await self._more.wait()

    async def _act(self, request: Request, writer: asyncio.StreamWriter) -> None:
        match = _PATH.fullmatch(request.path)
        assert match, request.path
        item = f"{match[1]}/{match[2]}" if self.by_type else match[2]
        self.at_once[item] += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.overlapped |= self.at_once[item] > 1
        try:
            await self._serve_one(item, request, writer)
        finally:
            self.at_once[item] -= 1
            self.under_way -= 1

    async def _serve_one(self, item: str, request: Request, writer: asyncio.StreamWriter) -> None:
        self.served += 1
        self._more.set()
        chaos = self.chaos
        if chaos.jitter:
            await asyncio.sleep(self._random.random() * chaos.jitter)
        if any(start <= self.served < start + length for start, length in chaos.blocked):
            return await self._fault("507", answer(507, {"message": "feed blocked"}), request, writer)
        fault = self._draw()
        before = {
            "busy": answer(429, {"message": "queue full"}),
            "unavailable": answer(503, {"message": "no node"}),
            "internal": answer(500, {"message": "oops"}),
            "timeout": answer(504, {"message": "timeout"}),
            "reset_before": reset,
            "closed": hang_up,
            "garbage": no_http,
            "silent_before": hang,
        }
        if fault in before:
            return await self._fault(fault, before[fault], request, writer)
        status, headers = self.store(item, request)
        after = {"reset_after": reset, "silent_after": hang}
        if fault in after:
            return await self._fault(fault, after[fault], request, writer)
        return await answer(status, {"id": item}, headers)(request, writer)

    async def _fault(self, name: str, act: Any, request: Request, writer: asyncio.StreamWriter) -> None:
        self.faults[name] += 1
        await act(request, writer)

    def _draw(self) -> str | None:
        drawn = self._random.random()
        for name in (
            "busy",
            "unavailable",
            "internal",
            "timeout",
            "reset_before",
            "reset_after",
            "closed",
            "garbage",
            "silent_before",
            "silent_after",
        ):
            drawn -= getattr(self.chaos, name)
            if drawn < 0:
                return name
        return None

    def store(self, item: str, request: Request) -> tuple[int, Mapping[str, str]]:
        """Carry an operation out; the status and headers that Vespa would answer."""
        condition = _CONDITION.fullmatch(request.parameters["condition"])
        assert condition, request.parameters
        version, again = int(condition[3]), condition[2] == "<="
        known = self.documents.get(item)
        if known is not None and not known["feed_ver"] < version + again:
            return 412, {}
        if known is None and request.parameters.get("create") != "true":
            return 412, {}
        if request.method == "DELETE":
            del self.documents[item]
            return 200, {}
        fields = request.json["fields"]
        if request.method == "POST":
            self.documents[item] = fields
        else:
            for name, change in fields.items():
                _apply(self.documents[item], name, change)
        assert self.documents[item]["feed_ver"] == version
        self.history.setdefault(item, []).append(version)
        return 200, _IGNORED if "unknown" in fields else {}


def _apply(document: dict[str, Any], name: str, change: Mapping[str, Any]) -> None:
    if "assign" in change:
        if change["assign"] is None:
            document.pop(name, None)
        else:
            document[name] = change["assign"]
    entries = document.setdefault(name, {}) if {"add", "remove"} & change.keys() else {}
    entries.update(change.get("add", {}))
    for entry in change.get("remove", {}):
        entries.pop(entry, None)
