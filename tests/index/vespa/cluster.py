"""Content nodes behind one socket, as far as searches of ours go: each brings its own nearest items."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from common.arrays import F32
from devtools.vespa_fakes.fault_server import Request, answer
from tests.index.vespa.answers import first_hit, related_hit, root

T = TypeVar("T")

_OPERATOR = re.compile(r"\{([^{}]*)\}nearestNeighbor\(embedding, (\w+)\)")


@dataclass
class Cluster:
    """Answers ``first`` and ``related`` queries over ``vectors`` ``[n, 8]``, as Vespa does.

    Item ``i<row>`` is on the node ``row mod nodes``. What the graph is searched for is what filters or names
    let pass; and a node gives somewhat more than its share of the hits, or all where it is asked to.
    """

    vectors: F32
    nodes: int
    #: Rows that a filter lets pass, whatever filter it is.
    passing: Collection[int] = ()
    #: Profiles asked for.
    asked: list[str] = field(default_factory=list)

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        body = request.json
        profile, yql = body["ranking.profile"], body["yql"]
        self.asked.append(profile)
        query = _tensor(body["input.query(q)"])
        own = set(re.findall(r'"i(\d+)":1', str(body.get("input.query(history)", ""))))
        own = {int(row) for row in own if int(row) < len(self.vectors)}
        filtered = set(self.passing) if " and " in yql else set(range(len(self.vectors)))
        matched: dict[int, set[str]] = {row: set() for row in own}
        rows = {}
        for notes, name in _OPERATOR.findall(yql):
            rows[name] = row = _tensor(body[f"input.query({name})"])
            labelled = re.search(r'label:"(\w+)"', notes)
            count = int(re.search(r"targetHits:(\d+)", notes)[1])  # type: ignore[index]
            for near in filtered.intersection(self._nearest(row, count, filtered | own)):
                matched.setdefault(near, set()).add(labelled[1] if labelled else name)
        hits: list[tuple[int, dict[str, Any]]] = [
            (
                row,
                first_hit(
                    f"i{row}",
                    float(self.vectors[row] @ query),
                    _hex(self.vectors[row]) if "head" in labels or row in own else None,
                    own=(row in own) * (1 if "near" in labels else 2),
                )
                if profile == "first"
                else related_hit(
                    f"i{row}", [float(self.vectors[row] @ each) for each in (query, *rows.values())]
                ),
            )
            for row, labels in matched.items()
        ]
        hits.sort(key=lambda hit: -hit[1]["relevance"])
        given = self._given(hits, body["hits"], body.get("dispatch.topKProbability") == "1.0")
        await answer(200, root(given[: body["hits"]], total=len(hits)))(request, writer)

    def _nearest(self, vector: F32, count: int, searched: Collection[int]) -> list[int]:
        found = []
        for node in range(self.nodes):
            mine = np.array([row for row in searched if row % self.nodes == node], dtype=np.int64)
            found += mine[np.argsort(-(self.vectors[mine] @ vector), kind="stable")[:count]].tolist()
        return found

    def _given(self, hits: Sequence[tuple[int, T]], wanted: int, every: bool) -> list[T]:
        share = 1 / self.nodes
        most = wanted if every else math.ceil(wanted * share + 4.5 * math.sqrt(wanted * share * (1 - share)))
        left = dict.fromkeys(range(self.nodes), most)
        given = []
        for row, hit in hits:
            left[row % self.nodes] -= 1
            if left[row % self.nodes] >= 0:
                given.append(hit)
        return given


def _tensor(digits: str) -> F32:
    return np.frombuffer(bytes.fromhex(digits), ">f4").astype(np.float32)


def _hex(vector: F32) -> str:
    return (vector.view(np.uint32) >> np.uint32(16)).astype(">u2").tobytes().hex()
