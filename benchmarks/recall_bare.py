"""The bare parts: ``python -m benchmarks.recall_bare BUNDLE INDEX PORT``.

The same encoder, the same index and the same JSON as ours, the calls of one request written out one after
the other: no framework, no admission, no experiments, no deadline, no metrics, no log, no errors.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn

from artifacts.bundle import Bundle, build_portraits
from artifacts.bundle.text import normalise
from common.deadline import Deadline
from index.embedded.index import EmbeddedIndex
from service.query.encoder import QueryEncoder
from service.recall.routes.i2i import I2ISettings
from service.settings import BundleSettings, Encoder

NEVER = Deadline.after(10**6)


class Bare:
    """An ASGI application."""

    def __init__(self, bundle: Bundle, index: EmbeddedIndex) -> None:
        self._bundle = bundle
        self._index = index
        self._encoder = QueryEncoder(bundle, BundleSettings(), Encoder())
        dims = bundle.manifest.dimensions
        self._nothing = build_portraits(
            [[]], [()], [None], experts=len(dims.experts), expert_dim=dims.expert_dim
        )  # type: ignore[list-item]
        self._cache: dict[str, np.ndarray] = {}
        self._options = I2ISettings()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        answer = orjson.dumps(await self._answer(orjson.loads(body)))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        query, k, options = asked["query"], asked["k"], self._options
        experts = self._cache.get(query)
        if experts is None:
            experts = self._cache[query] = await self._encoder.experts(normalise(query), None)
        vector = self._encoder.fuse(experts, self._nothing).embedding
        (found,) = await self._index.search(vector[None], k, None, NEVER)
        items = {
            item_id: {
                "item_id": item_id,
                "score": score,
                "sources": [{"route": "q2i", "rank": rank, "score": score}],
            }
            for rank, (item_id, score) in enumerate(zip(found.ids, _round(found.scores), strict=True), 1)
        }
        triggers = [
            i for i in found.ids[: options.head_triggers] if items[i]["score"] >= options.trigger_floor
        ]
        if triggers:
            await self._neighbours(triggers, vector, items)
        best = sorted(items.values(), key=lambda item: (-item["score"], item["item_id"]))[:k]
        versions = {"model_version": self._bundle.version, "index_version": self._index.version}
        return versions | {"items": best}

    async def _neighbours(self, triggers: list[str], vector: np.ndarray, items: dict[str, Any]) -> None:
        stored = await self._index.vectors(triggers, NEVER)
        near = await self._index.search(stored.vectors, self._options.neighbours + 1, None, NEVER)
        unknown = list({item_id for each in near for item_id in each.ids} - items.keys())
        others = await self._index.vectors(unknown, NEVER)
        relevance = dict(zip(others.ids, _round(others.vectors @ vector), strict=True))
        for trigger, each in zip(triggers, near, strict=True):
            for rank, (item_id, score) in enumerate(zip(each.ids, _round(each.scores), strict=True)):
                item = items.get(item_id)
                if item is None:
                    if relevance[item_id] < self._options.relevance_floor:
                        continue
                    item = items[item_id] = {"item_id": item_id, "score": relevance[item_id], "sources": []}
                if item_id != trigger:
                    item["sources"].append({"route": "i2i", "trigger": trigger, "rank": rank, "score": score})


def _round(scores: np.ndarray) -> list[float]:
    values: list[float] = scores.astype(np.float64).round(5).tolist()
    return values


def main() -> None:
    """Serve."""
    bundle, index, port = Bundle.load(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
    app = Bare(bundle, EmbeddedIndex.open(index, threads=2, queue=4096))
    uvicorn.run(
        app, port=port, lifespan="off", log_config=None, access_log=False, loop="uvloop", http="httptools"
    )


if __name__ == "__main__":
    main()
