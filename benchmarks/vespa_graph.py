"""Recall of our Vespa client's own requests on a graph, against exact search, by k and by selectivity.

Vespa's content nodes do not run here, and the ones that stand in for them in the tests search exactly: they
cannot show what a graph misses. So a socket answers our client's requests, as it sends them, from hnswlib's
HNSW with Vespa's settings (16 links, 200 explored at insert): vectors rounded to bfloat16, a beam of
``targetHits`` and ``exploreAdditionalHits``, and Vespa's choice by the share of items that the filter lets
pass: below ``approximate-threshold`` exact, else the graph is walked and accepted items are kept. A second
graph is over int8, as versions of ``--vectors int8`` have it, and what it finds is scored by the embeddings.

What it cannot see: from ``approximate-threshold`` to ``filter-first-threshold`` Vespa walks over accepted
items alone, which hnswlib does not do, so what is told for those selectivities is of the plainer walk; Vespa
adds to its graph from several threads, and mends it when items are changed or removed; a search that its time
cuts short; what several nodes find together (each finds as much of its own, so they miss less). It is a
stand-in for the graph, none for Vespa's speed.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Claim, arguments, finish
from common.arrays import F32, Bool
from common.deadline import Deadline
from devtools.vespa_fakes.fault_server import FaultServer, Request, answer
from index.filters import Filter, parse_filter
from index.vespa.client import VespaIndex
from index.vespa.settings import EndpointSettings, SearchSettings, VespaSettings
from index.vespa.tensors import bfloat16, from_bfloat16, int8_rows, unit_rows
from index.vespa.version import VectorKind, Version

DIM, LINKS, EXPLORED = 128, 16, 200
KS = (1, 5, 10, 31, 100, 200)
#: Shares of the items that the filter lets pass; 1 is without one.
SELECTIVITIES = (1.0, 0.5, 0.1, 0.05, 0.01)
#: Of the rank profiles in ``vespa_app/item.sd``.
APPROXIMATE_THRESHOLD = 0.02
CLUSTERS = 2000
#: What the graph is over and how it is asked; the last two are as the client asked before.
ASKED: tuple[tuple[str, VectorKind, SearchSettings], ...] = (
    ("as the client asks", "bfloat16", SearchSettings()),
    ("as the client asks, over int8", "int8", SearchSettings()),
    ("as wide as the hits, at least 100", "bfloat16", SearchSettings(explore_additional_hits=0)),
    ("as wide as the hits", "bfloat16", SearchSettings(explore_additional_hits=0, target_hits_least=1)),
)
VERSION = Version("bench-00000000", DIM, {"price": "number"})
_OPERATOR = re.compile(
    r"\{([^{}]*)\}nearestNeighbor\((?:embedding, q|embeddingInt8, c)\)\)?(?: and price < ([0-9.]+))?$"
)


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
    kind: VectorKind
    #: Where its graph is kept, and found again.
    keep: Path
    seed: int = 0
    #: Searches by how they were carried out.
    exact: int = 0
    walked: int = 0
    _graph: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        import hnswlib

        over = self.vectors
        if self.kind == "int8":
            over = unit_rows(int8_rows(over).astype(np.float32))
        self._graph = hnswlib.Index(space="ip", dim=DIM)
        digest = sha256(over.tobytes() + bytes((LINKS, EXPLORED, self.seed))).hexdigest()[:16]
        file = self.keep / f"{digest}.hnsw"
        if file.exists():
            self._graph.load_index(str(file), max_elements=len(over))
        else:
            self._graph.init_index(
                max_elements=len(over), M=LINKS, ef_construction=EXPLORED, random_seed=self.seed
            )
            self._graph.add_items(over, num_threads=1)
            self._graph.save_index(str(file))
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
        walked = query
        if self.kind == "int8":
            walked = np.frombuffer(bytes.fromhex(body["input.query(c)"]), np.int8).astype(np.float32)
        rows = self.nearest(walked, query, target, beam, accepted, all_of_them=found[2] is None)
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

    def nearest(
        self, walked: F32, query: F32, target: int, beam: int, accepted: Bool, *, all_of_them: bool
    ) -> np.ndarray:
        """Rows of the ``target`` nearest accepted items, as Vespa's strategy would look for them.

        The graph is asked by ``walked`` ``[DIM]``, which is ``query`` or what int8 leaves of it.
        """
        if accepted.mean() < APPROXIMATE_THRESHOLD:
            self.exact += 1
            rows = np.flatnonzero(accepted)
            return rows[np.argsort(-(self.vectors[rows] @ query), kind="stable")[:target]]
        self.walked += 1
        self._graph.set_ef(max(beam, target))
        passes = None if all_of_them else accepted.tolist().__getitem__
        labels, _ = self._graph.knn_query(walked[None], k=target, num_threads=1, filter=passes)
        return np.asarray(labels[0], np.int64)


def exact_scores(vectors: F32, prices: F32, queries: F32) -> dict[float, F32]:
    """By selectivity the cosines ``[queries, max(KS)]`` of the nearest accepted items, best first."""
    found = {each: np.empty((len(queries), max(KS)), np.float32) for each in SELECTIVITIES}
    for row, query in enumerate(queries):
        cosines = vectors @ query
        for selectivity, best in found.items():
            accepted = cosines if selectivity == 1 else cosines[prices < selectivity]
            best[row] = np.sort(np.partition(accepted, -max(KS))[-max(KS) :])[::-1]
    return found


async def recalls(
    node: GraphNode, url: str, queries: F32, exact: Mapping[float, F32], search: SearchSettings
) -> dict[str, dict[str, float]]:
    """Mean share of the k nearest accepted items that the client finds, by selectivity and k."""
    told: dict[str, dict[str, float]] = {}
    settings = VespaSettings(EndpointSettings((url,)), replace(VERSION, vectors=node.kind), search)
    async with VespaIndex(settings) as index:
        for selectivity, best in exact.items():
            filters: Filter | None = None
            if selectivity < 1:
                filters = parse_filter({"price": {"lt": selectivity}}, VERSION.attributes)
            told[f"{selectivity:g}"] = {}
            for k in KS:
                shares = []
                for row, query in enumerate(queries):
                    (found,) = await index.search(query[None], k, filters, Deadline.after(60))
                    rows = [int(item[1:]) for item in found.ids]
                    assert selectivity == 1 or (node.prices[rows] < selectivity).all()
                    # Equally near ones count: which of them is found is nobody's fault.
                    near = int((node.vectors[rows] @ query >= best[row, k - 1] - 1e-6).sum())
                    shares.append(min(near, k) / k)
                told[f"{selectivity:g}"][str(k)] = round(float(np.mean(shares)), 4)
    return told


async def run(rows: int, queries: int, keep: Path) -> dict[str, Any]:
    """Build the graphs, ask them as the client does, and one as it did before."""
    random = np.random.default_rng(4)
    vectors = clustered(rows, random)
    prices = random.random(rows).astype(np.float32)
    near = random.integers(0, rows, queries)
    asked = unit_rows(vectors[near] + random.standard_normal((queries, DIM)) * (0.4 / np.sqrt(DIM)))
    exact = exact_scores(vectors, prices, asked)
    runs: dict[str, Any] = {"items": rows, "queries": queries}
    exactly = walked = 0
    for name, kind, search in ASKED:
        node = GraphNode(vectors, prices, kind, keep)
        async with FaultServer([node], keep_requests=False) as server:
            runs[name] = await recalls(node, server.url, asked, exact, search)
        exactly, walked = exactly + node.exact, walked + node.walked
        print(name, *(f"\n  {float(share):>5.0%} {told}" for share, told in runs[name].items()), flush=True)
    return runs | {"exact searches": exactly, "walks of the graph": walked}


def claims_of(runs: Mapping[str, Any]) -> list[Claim]:
    """What is claimed."""
    return [
        Claim.at_least(f"recall at k = {k}, {float(selectivity):.0%} of the items pass{over}", value, 0.97)
        for name, over in (("as the client asks", ""), ("as the client asks, over int8", ", over int8"))
        for selectivity, each in runs[name].items()
        for k, value in each.items()
    ]


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Recall of the Vespa client's own requests on an HNSW, by k and selectivity.",
        (("--keep", {"type": Path, "default": None, "help": "folder that keeps the graphs for later runs"}),),
    )
    rows, queries = (20_000, 50) if options.quick else (200_000, 200)
    with tempfile.TemporaryDirectory() as folder:
        keep = Path(folder) if options.keep is None else options.keep
        keep.mkdir(parents=True, exist_ok=True)
        runs = asyncio.run(run(rows, queries, keep))
    return finish(claims_of(runs), runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
