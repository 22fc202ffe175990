"""A typical assembly: ``python recall_typical.py BUNDLE EMBEDDINGS COLLECTION REDIS PORT``, as a peer.

FastAPI with ``response_model``, a run of onnxruntime a request, query vectors in Redis as JSON, chromadb.
``PORT`` 0 only makes the collection.
"""

import json
import sys
from pathlib import Path

import chromadb
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import Redis

from artifacts.bundle import Bundle, PortraitBatch, QueryTower

HNSW = {"space": "ip", "max_neighbors": 16, "ef_construction": 100, "ef_search": 300}


class Query(BaseModel):
    """A request."""

    query: str
    k: int = 200


class Source(BaseModel):
    """Where an item came from."""

    route: str
    rank: int
    score: float


class Item(BaseModel):
    """An item of the answer."""

    item_id: str
    score: float
    sources: list[Source]


class Answer(BaseModel):
    """The items of a query."""

    model_version: str
    items: list[Item]


def collect(embeddings: Path, folder: Path) -> None:
    """Put the items into a collection, unless they are."""
    vectors = np.load(embeddings / "embeddings.npy", mmap_mode="r")
    client = chromadb.PersistentClient(str(folder))
    collection = client.get_or_create_collection("items", configuration={"hnsw": HNSW})
    for start in range(collection.count(), len(vectors), 5000):
        chunk = vectors[start : start + 5000].astype(np.float32)
        collection.add([f"item-{start + row:07d}" for row in range(len(chunk))], embeddings=chunk)


def make_app(bundle: Bundle, folder: Path, redis: str) -> FastAPI:
    """The application."""
    precision = "int8" if "int8" in bundle.manifest.graphs["query_experts"] else "fp32"
    tower = QueryTower(bundle, precision=precision)
    dimensions = bundle.manifest.dimensions
    shape = (1, 1, len(dimensions.experts), dimensions.expert_dim)
    nobody = PortraitBatch(
        np.zeros(shape, np.float32), np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)
    )
    collection = chromadb.PersistentClient(str(folder)).get_collection("items")
    cache = Redis.from_url(redis, decode_responses=True)
    app = FastAPI()

    def embed(query: str) -> list[float]:
        found = tower.experts(bundle.text.queries([query]))
        return tower.fuse(found, nobody).embedding[0].tolist()

    @app.post("/recall", response_model=Answer)
    async def recall(query: Query) -> Answer:
        key = f"embedding:{query.query}"
        stored = await cache.get(key)
        if stored is None:
            vector = embed(query.query)
            await cache.set(key, json.dumps(vector), ex=3600)
        else:
            vector = json.loads(stored)
        found = collection.query(query_embeddings=[vector], n_results=query.k, include=["distances"])
        items = []
        for rank, (item_id, distance) in enumerate(
            zip(found["ids"][0], found["distances"][0], strict=True), 1
        ):
            source = Source(route="q2i", rank=rank, score=1 - distance)
            items.append(Item(item_id=item_id, score=1 - distance, sources=[source]))
        return Answer(model_version=bundle.version, items=items)

    return app


def main() -> None:
    """Serve."""
    bundle, embeddings, folder, redis, port = sys.argv[1:]
    collect(Path(embeddings), Path(folder))
    if int(port):
        app = make_app(Bundle.load(Path(bundle)), Path(folder), redis)
        uvicorn.run(app, port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
