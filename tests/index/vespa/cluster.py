"""Content nodes behind one socket, as far as searches of ours go: each brings its own nearest items."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

import numpy as np

from common.arrays import F32
from devtools.vespa_fakes.fault_server import Request, answer
from tests.index.vespa.answers import first_hit, related_hit, root

_OPERATOR = re.compile(r"\{([^{}]*)\}nearestNeighbor\(embedding, (\w+)\)")


@dataclass
class Cluster:
    """Answers ``first`` and ``related`` queries over ``vectors`` ``[n, 8]``.

    Item ``i<row>`` is on the node ``row mod nodes``.
    """

    vectors: F32
    nodes: int
    #: Profiles asked for.
    asked: list[str] = field(default_factory=list)

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        body = request.json
        profile = body["ranking.profile"]
        self.asked.append(profile)
        query = _tensor(body["input.query(q)"])
        matched: dict[int, set[str]] = {}
        rows = {}
        for notes, name in _OPERATOR.findall(body["yql"]):
            rows[name] = row = _tensor(body[f"input.query({name})"])
            label = "head" if 'label:"head"' in notes else name
            for near in self._nearest(row, int(re.search(r"targetHits:(\d+)", notes)[1])):  # type: ignore[index]
                matched.setdefault(near, set()).add(label)
        own = set(re.findall(r'"([^"]+)":1', str(body.get("input.query(history)", ""))))
        matched |= {row: matched.get(row, set()) for row in range(len(self.vectors)) if f"i{row}" in own}
        hits = [
            first_hit(
                f"i{row}",
                float(self.vectors[row] @ query),
                _hex(self.vectors[row]) if "head" in labels or f"i{row}" in own else None,
                own=f"i{row}" in own,
            )
            if profile == "first"
            else related_hit(f"i{row}", [float(self.vectors[row] @ each) for each in (query, *rows.values())])
            for row, labels in matched.items()
        ]
        hits.sort(key=lambda hit: -hit["relevance"])
        await answer(200, root(hits[: body["hits"]], total=len(hits)))(request, writer)

    def _nearest(self, vector: F32, count: int) -> list[int]:
        found = []
        for node in range(self.nodes):
            mine = np.arange(node, len(self.vectors), self.nodes)
            found += mine[np.argsort(-(self.vectors[mine] @ vector), kind="stable")[:count]].tolist()
        return found


def _tensor(digits: str) -> F32:
    return np.frombuffer(bytes.fromhex(digits), ">f4").astype(np.float32)


def _hex(vector: F32) -> str:
    return (vector.view(np.uint32) >> np.uint32(16)).astype(">u2").tobytes().hex()
