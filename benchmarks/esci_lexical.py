"""The route ``lexical`` on ESCI, over an index folder as it is served, beside bm25s.

``python -m benchmarks.esci_lexical --data FOLDER --json FILE``; nothing is trained. `benchmarks.esci` has it
as a row of its table.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.esci_data import Esci, read_esci
from benchmarks.esci_measure import Answers, gain, measure, table
from benchmarks.report import Claim, arguments, finish
from common.arrays import F32
from common.deadline import Deadline
from devtools.embeddings import write_embeddings
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from models.evaluation.bm25 import Bm25
from service.recall.routes.lexical import Lexical, LexicalSettings
from service.recall.routes.neighbours import NeighbourCache
from service.recall.routes.route import RouteRequest

DIM = 8


def route_scores(data: Esci) -> F32:
    """BM25 of all products for each query ``[q, N]``, as the route gives it; 0 where it gives none."""
    vector = np.eye(DIM, dtype=np.float32)[0]
    with tempfile.TemporaryDirectory() as folder:
        write_embeddings(
            Path(folder) / "embeddings",
            [{"id": str(row), "category": ""} for row in range(len(data.titles))],
            np.tile(vector, (len(data.titles), 1)),
            np.zeros((len(data.titles), 1, DIM), np.float32),
            bundle_version="esci-00000000",
            attributes={},
            texts=[{"title": title} for title in data.titles],
            text_fields=("title", "category"),
        )
        build_index(Path(folder) / "embeddings", Path(folder) / "index", cluster_rows=1 << 30)
        return asyncio.run(_scores(Path(folder) / "index", data, vector))


async def _scores(root: Path, data: Esci, vector: F32) -> F32:
    index, route = EmbeddedIndex.open(root), Lexical()
    cache = NeighbourCache(index, 0, lambda known: None)
    scores = np.zeros((len(data.queries), len(data.titles)), dtype=np.float32)
    for number, query in enumerate(data.queries):
        request = RouteRequest(
            text=query,
            user_id=None,
            embedding=vector,
            k=len(data.titles),
            filters=None,
            history=(),
            now=datetime.now(UTC),
            deadline=Deadline.after(60),
            tables={"lexical": LexicalSettings(enabled=True)},
            index=index,
            heads=cache,
            neighbours=cache,
            lexical=index.lexical,
        )
        outcome = await route.run(request, {})
        # As the route has them in order, though it rounds what it shows.
        count = len(outcome.candidates)
        for rank, candidate in enumerate(outcome.candidates):
            score = candidate.source["score"] + 1e-4 * (count - rank) / count
            scores[number, int(candidate.item_id)] = score
    await index.close()
    return scores


def main() -> int:
    """Run it; the exit status is 0 when all claims hold."""
    options = arguments(
        __doc__ or "", (("--data", {"type": Path, "required": True, "help": "folder of the cut of ESCI"}),)
    )
    data = read_esci(options.data)
    every = np.arange(len(data.queries))
    peer = Answers.from_scores(Bm25(data.titles).scores(data.queries), data, every)
    ours = Answers.from_scores(route_scores(data), data, every)
    rows = {"BM25": measure(peer, data), "lexical route": measure(ours, data)}
    print(table(rows))
    more = gain(ours, peer, data)
    mine, theirs = rows["lexical route"], rows["BM25"]
    claims = [
        Claim.at_least(f"{name}, beside bm25s", mine[name]["value"], round(theirs[name]["value"], 4))
        for name in ("nDCG@10", "R@1")
    ]
    # The two cut words by other rules, and one query of the set is 0.002.
    claims.append(Claim.at_least("R@10 less bm25s', upper end of the interval", more["high"] or 0.0, 0.0))
    runs = {"table": rows, "R@10 less BM25's": more}
    return finish(claims, runs, options.json)


if __name__ == "__main__":
    sys.exit(main())
