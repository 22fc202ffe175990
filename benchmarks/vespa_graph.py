"""Recall of our Vespa client's own requests on a graph, against exact search, by k and by selectivity.

Vespa's content nodes do not run here, and the ones that stand in for them in the tests search exactly: they
cannot show what a graph misses. So a socket answers our client's requests, as it sends them, from hnswlib's
HNSW with Vespa's settings (16 links, 200 explored at insert): vectors rounded to bfloat16, a beam of
``targetHits`` and ``exploreAdditionalHits``, and Vespa's choice by the share of items that the filter lets
pass: below ``approximate-threshold`` exact, else the graph is walked and accepted items are kept. From there
to ``filter-first-threshold`` Vespa walks over accepted items alone, which hnswlib does not do: what is told
for those selectivities is of the plainer walk. It is a stand-in for the graph, none for Vespa's speed.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.report import Claim, arguments, finish
from common.arrays import F32, Bool
from common.deadline import Deadline
from devtools.vespa_fakes.fault_server import FaultServer, Request, answer
from index.filters import Filter, parse_filter
from index.vespa.client import VespaIndex
from index.vespa.settings import EndpointSettings, SearchSettings, VespaSettings
from index.vespa.tensors import bfloat16, from_bfloat16, unit_rows
from index.vespa.version import Version

DIM, LINKS, EXPLORED = 128, 16, 200
KS = (1, 5, 10, 31, 100, 200)
#: Shares of the items that the filter lets pass; 1 is without one.
SELECTIVITIES = (1.0, 0.5, 0.1, 0.05, 0.01)
#: Of the rank profiles in ``vespa_app/item.sd``.
APPROXIMATE_THRESHOLD = 0.02
CLUSTERS = 2000
#: Settings that the client had before.
NARROWER = {
    "as wide as the hits, at least 100": SearchSettings(explore_additional_hits=0),
    "as wide as the hits": SearchSettings(explore_additional_hits=0, target_hits_least=1),
}
VERSION = Version("bench-00000000", DIM, {"price": "number"})
_OPERATOR = re.compile(r"\{([^{}]*)\}nearestNeighbor\(embedding, q\)\)?(?: and price < ([0-9.]+))?$")


def clustered(rows: int, random: np.random.Generator) -> F32:
    """Unit vectors around centres, as a catalogue's are; rounded as Vespa holds them."""
    centres = unit_rows(random.standard_normal((CLUSTERS, DIM)))
    noise = random.standard_normal((rows, DIM)) * (0.6 / np.sqrt(DIM))
    return from_bfloat16(bfloat16(unit_rows(centres[random.integers(0, CLUSTERS, rows)] + noise)))


@dataclass
class GraphNode:
    """A content node behind a socket: vectors ``[n, DIM]``, prices ``[n]`` from 0 to 1, and their graph."""

    vectors: F32
    prices: F32
    seed: int = 0
    #: Searches by how they were carried out.
    exact: int = 0
    walked: int = 0
    _graph: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        import hnswlib

        self._graph = hnswlib.Index(space="ip", dim=DIM)
        self._graph.init_index(
            max_elements=len(self.vectors), M=LINKS, ef_construction=EXPLORED, random_seed=self.seed
        )
        self._graph.add_items(self.vectors, num_threads=1)
        self._graph.set_num_threads(1)

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Answer a search as it was sent.

        Raises:
            ValueError: a request that it cannot read.
        """
        body = request.json
        found = _OPERATOR.search(body["yql"])
        if found is None or body["ranking.profile"] != "q2i":
            raise ValueError(f"not read: {body['yql']}")
        notes = {name: value for name, _, value in (note.partition(":") for note in found[1].split(", "))}
        query = np.frombuffer(bytes.fromhex(body["input.query(q)"]), ">f4").astype(np.float32)
        accepted = np.ones(len(self.vectors), bool) if found[2] is None else self.prices < float(found[2])
        target = int(notes["targetHits"])
        beam = target + int(notes.get("hnsw.exploreAdditionalHits", 0))
        rows = self.nearest(query, target, beam, accepted, all_of_them=found[2] is None)
        cosines = self.vectors[rows] @ query
        order = np.argsort(-cosines, kind="stable")[: body["hits"]]
        hits = [
            {
                "id": f"index:items/0/{row}",
                "relevance": 1.0 / (2.0 - cosine),
                "source": "items",
                "fields": {"matchfeatures": {"item": {f"i{row}": 1.0}}},
            }
            for row, cosine in zip(rows[order].tolist(), cosines[order].tolist(), strict=True)
        ]
        count = len(self.vectors)
        told = {"coverage": 100, "documents": count, "full": True, "nodes": 1, "results": 1, "resultsFull": 1}
        root = {"id": "toplevel", "relevance": 1.0, "fields": {"totalCount": len(rows)}, "coverage": told}
        await answer(200, {"root": root | ({"children": hits} if hits else {})})(request, writer)

    def nearest(self, query: F32, target: int, beam: int, accepted: Bool, *, all_of_them: bool) -> np.ndarray:
        """Rows of the ``target`` nearest accepted items, as Vespa's strategy would look for them."""
        if accepted.mean() < APPROXIMATE_THRESHOLD:
            self.exact += 1
            rows = np.flatnonzero(accepted)
            return rows[np.argsort(-(self.vectors[rows] @ query), kind="stable")[:target]]
        self.walked += 1
        self._graph.set_ef(max(beam, target))
        passes = None if all_of_them else accepted.tolist().__getitem__
        labels, _ = self._graph.knn_query(query[None], k=target, num_threads=1, filter=passes)
        return np.asarray(labels[0], np.int64)


async def recalls(
    node: GraphNode, url: str, queries: F32, ks: Sequence[int], search: SearchSettings
) -> dict[str, dict[str, float]]:
    """Mean share of the k nearest accepted items that the client finds, by selectivity and k."""
    cosines = queries @ node.vectors.T
    told: dict[str, dict[str, float]] = {}
    settings = VespaSettings(EndpointSettings((url,)), VERSION, search)
    async with VespaIndex(settings) as index:
        for selectivity in SELECTIVITIES:
            filters: Filter | None = None
            scores = cosines
            if selectivity < 1:
                filters = parse_filter({"price": {"lt": selectivity}}, VERSION.attributes)
                scores = np.where(node.prices < selectivity, cosines, -2.0)
            told[f"{selectivity:g}"] = {}
            for k in ks:
                best = np.partition(scores, -k, axis=1)[:, -k]
                shares = []
                for row, query in enumerate(queries):
                    (found,) = await index.search(query[None], k, filters, Deadline.after(60))
                    wanted = min(k, int((scores[row] > -2.0).sum()))
                    # Equally near ones count: which of them is found is nobody's fault.
                    near = sum(scores[row, int(item[1:])] >= best[row] - 1e-6 for item in found.ids)
                    shares.append(min(near, wanted) / wanted)
                told[f"{selectivity:g}"][str(k)] = round(float(np.mean(shares)), 4)
    return told


async def run(rows: int, queries: int) -> dict[str, Any]:
    """Build the graph, ask it as the client does, and as it did before."""
    random = np.random.default_rng(4)
    vectors = clustered(rows, random)
    node = GraphNode(vectors, random.random(rows).astype(np.float32))
    near = random.integers(0, rows, queries)
    asked = unit_rows(vectors[near] + random.standard_normal((queries, DIM)) * (0.4 / np.sqrt(DIM)))
    runs: dict[str, Any] = {"items": rows, "queries": queries}
    async with FaultServer([node], keep_requests=False) as server:
        runs["as the client asks"] = await recalls(node, server.url, asked, KS, SearchSettings())
        for name, narrow in NARROWER.items():
            runs[name] = await recalls(node, server.url, asked, KS, narrow)
    return runs | {"exact searches": node.exact, "walks of the graph": node.walked}


def claims_of(told: Mapping[str, Mapping[str, float]]) -> list[Claim]:
    """What is claimed."""
    return [
        Claim.at_least(f"recall at k = {k}, {float(selectivity):.0%} of the items pass", value, 0.97)
        for selectivity, each in told.items()
        for k, value in each.items()
    ]


def main() -> int:
    """Measure, print, write."""
    options = arguments("Recall of the Vespa client's own requests on an HNSW, by k and selectivity.")
    rows, queries = (20_000, 50) if options.quick else (200_000, 200)
    runs = asyncio.run(run(rows, queries))
    for name in ("as the client asks", *NARROWER):
        print(name)
        for selectivity, each in runs[name].items():
            print(
                f"  {float(selectivity):>5.0%} "
                + "".join(f"  k={k} {value:.3f}" for k, value in each.items())
            )
    claims = claims_of(runs["as the client asks"])
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
