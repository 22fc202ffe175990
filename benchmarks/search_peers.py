"""One peer of the search benchmark, in its own environment.

``python search_peers.py build PEER DATA`` fills the peer's index, which is kept beside the data;
``python search_peers.py measure PEER DATA OUT SECONDS FILTERS`` opens and measures it.

Needs numpy and the peer alone. Each peer is given its best usual way of filtering, and for every filter the
cheapest of several settings that reaches the recall asked for; where none does, the surest one.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

K = 200
GOAL = 0.95
#: A setting's name, and the search with it: a query float32 [dim] to the ids found.
Setting = tuple[str, Callable[[np.ndarray], Any]]
Limits = dict[str, float]
SURENESS = (200, 300, 400, 600, 1000, 2000)


class Data:
    """Vectors, attributes and truth, as ``search_data`` wrote them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        self.queries = np.load(folder / "queries.npy")
        self.attributes = dict(np.load(folder / "attributes.npz"))
        self.truth = dict(np.load(folder / "truth.npz"))

    def mask(self, limits: Limits) -> np.ndarray | None:
        """Which rows a filter accepts, None for all."""
        mask = None
        for field, limit in limits.items():
            mask = self.attributes[field] < limit
        return mask

    def chunks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """The vectors in float32, and the row that each chunk begins with."""
        for start in range(0, len(self.vectors), size):
            yield start, self.vectors[start : start + size].astype(np.float32)


def hnswlib_build(data: Data, work: Path) -> None:
    """In memory, saved as a file."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=data.vectors.shape[1])
    index.init_index(len(data.vectors), M=16, ef_construction=100)
    for start, chunk in data.chunks(50_000):
        index.add_items(chunk, np.arange(start, start + len(chunk)))
    index.save_index(str(work / "index"))


def hnswlib_settings(data: Data, work: Path) -> Callable[[Limits], Iterator[Setting]]:
    """Its filter is a Python callback for each item that it meets."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=data.vectors.shape[1])
    index.load_index(str(work / "index"))
    index.set_num_threads(1)

    def settings(limits: Limits) -> Iterator[Setting]:
        mask = data.mask(limits)
        accepted = None if mask is None else mask.__getitem__
        for ef in SURENESS:

            def search(query: np.ndarray, ef: int = ef) -> Any:
                index.set_ef(ef)
                try:
                    return index.knn_query(query, K, num_threads=1, filter=accepted)[0][0]
                except RuntimeError:  # it found fewer than K, and then gives none
                    return []

            yield f"ef {ef}", search

    return settings


def usearch_build(data: Data, work: Path) -> None:
    """In memory, saved as a file."""
    from usearch.index import Index

    index = Index(ndim=data.vectors.shape[1], metric="ip", dtype="f16", connectivity=16, expansion_add=100)
    for start, chunk in data.chunks(50_000):
        index.add(np.arange(start, start + len(chunk)), chunk, threads=2)
    index.save(str(work / "index"))


def usearch_settings(data: Data, work: Path) -> Callable[[Limits], Iterator[Setting]]:
    """Its Python interface has no filter: more is fetched, and what does not match is dropped."""
    from usearch.index import Index

    index = Index.restore(str(work / "index"))

    def settings(limits: Limits) -> Iterator[Setting]:
        mask = data.mask(limits)
        share = 1.0 if mask is None else max(float(mask.mean()), 1e-6)
        for sureness in SURENESS:
            fetched = min(50_000, int(K / share * (1.0 if mask is None else 1.3)))

            def search(
                query: np.ndarray, expansion: int = max(sureness, fetched), count: int = fetched
            ) -> Any:
                index.expansion_search = expansion
                keys = index.search(query, count, threads=1).keys
                return keys if mask is None else keys[mask[keys]][:K]

            yield f"expansion {max(sureness, fetched)}", search
            if fetched > SURENESS[-1]:
                return

    return settings


def chromadb_build(data: Data, work: Path) -> None:
    """On disk. Its ef is fixed when the collection is made."""
    import chromadb

    client = chromadb.PersistentClient(str(work))
    hnsw = {"space": "ip", "max_neighbors": 16, "ef_construction": 100, "ef_search": 300}
    collection = client.create_collection("items", configuration={"hnsw": hnsw})
    random, topic = data.attributes["random"].tolist(), data.attributes["topic"].tolist()
    for start, chunk in data.chunks(5_000):
        rows = range(start, start + len(chunk))
        metadatas: Any = [{"random": random[row], "topic": float(topic[row])} for row in rows]
        collection.add([str(row) for row in rows], embeddings=chunk, metadatas=metadatas)


def chromadb_settings(data: Data, work: Path) -> Callable[[Limits], Iterator[Setting]]:
    """Filters over metadata."""
    import chromadb

    collection = chromadb.PersistentClient(str(work)).get_collection("items")

    def settings(limits: Limits) -> Iterator[Setting]:
        where: Any = {field: {"$lt": limit} for field, limit in limits.items()} or None

        def search(query: np.ndarray) -> Any:
            found = collection.query(query_embeddings=query[None, :], n_results=K, where=where, include=[])
            return [int(row) for row in found["ids"][0]]

        yield "ef 300", search

    return settings


def lancedb_build(data: Data, work: Path) -> None:
    """On disk, IVF_PQ refined with the vectors themselves, scalar indexes on the filtered columns."""
    import lancedb
    import pyarrow as pa

    dim = data.vectors.shape[1]

    def batches() -> Iterator[Any]:
        for start, chunk in data.chunks(50_000):
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(chunk.ravel()), dim)
            rows = slice(start, start + len(chunk))
            columns = {
                name: pa.array(values[rows].astype(np.float64)) for name, values in data.attributes.items()
            }
            numbers = pa.array(np.arange(start, start + len(chunk)))
            yield pa.record_batch({"row": numbers, "vector": vectors, **columns})

    table = lancedb.connect(str(work)).create_table("items", pa.Table.from_batches(list(batches())))
    table.create_index(
        metric="dot",
        vector_column_name="vector",
        index_type="IVF_PQ",
        num_partitions=_partitions(data),
        num_sub_vectors=dim // 4,
    )
    for field in data.attributes:
        table.create_scalar_index(field)


def _partitions(data: Data) -> int:
    return max(1, len(data.vectors) // 4096)


def lancedb_settings(data: Data, work: Path) -> Callable[[Limits], Iterator[Setting]]:
    """Filters before the search."""
    import lancedb

    table, partitions = lancedb.connect(str(work)).open_table("items"), _partitions(data)

    def settings(limits: Limits) -> Iterator[Setting]:
        where = " AND ".join(f"{field} < {limit}" for field, limit in limits.items())
        for probes, refine in ((10, 2), (20, 4), (40, 8), (80, 10), (partitions, 20)):

            def search(query: np.ndarray, probes: int = probes, refine: int = refine) -> Any:
                asked = table.search(query, vector_column_name="vector").select(["row", "_distance"]).limit(K)
                asked = asked.distance_type("dot").nprobes(probes).refine_factor(refine)
                found = (asked.where(where, prefilter=True) if where else asked).to_arrow()
                return found["row"].to_numpy()

            yield f"nprobes {probes}, refine {refine}", search

    return settings


#: How each is filled, and how it searches then.
PEERS = {
    "hnswlib": (hnswlib_build, hnswlib_settings),
    "usearch": (usearch_build, usearch_settings),
    "chromadb": (chromadb_build, chromadb_settings),
    "lancedb": (lancedb_build, lancedb_settings),
}


def build(peer: str, data: Data) -> Path:
    """The folder of the peer's index, which is filled unless it was."""
    done = data.folder / f"{peer}.built.json"
    work = data.folder / f"{peer}.work"
    if not done.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        began, cpu = time.perf_counter(), time.process_time()
        PEERS[peer][0](data, work)
        took = {"build_s": time.perf_counter() - began, "build_cpu_s": time.process_time() - cpu}
        done.write_text(json.dumps(took))
    return work


def measure(data: Data, name: str, settings: Iterator[Setting], seconds: float) -> dict[str, Any]:
    """The first setting that reaches the goal, or the last; queries until the time is over, 10 at least."""
    result: dict[str, Any] = {}
    truth = data.truth[name]
    for setting, search in settings:
        search(data.queries[0])
        times, hits, began = [], [], time.perf_counter()
        for query, expected in itertools.cycle(zip(data.queries, truth, strict=True)):
            start = time.perf_counter()
            found = search(query)
            times.append(time.perf_counter() - start)
            hits.append(len(np.intersect1d(found, expected)) / max(1, len(expected)))
            if time.perf_counter() - began > seconds and len(times) >= 10:
                break
        result = {
            "setting": setting,
            "recall": round(float(np.mean(hits)), 4),
            "p50_ms": float(np.median(times) * 1e3),
            "best_ms": float(np.min(times) * 1e3),
            "queries": len(times),
        }
        if result["recall"] >= GOAL:
            break
    return result


def main() -> None:
    """See the module."""
    step, peer, data = sys.argv[1], sys.argv[2], Data(Path(sys.argv[3]))
    work = build(peer, data)
    if step == "build":
        return
    out, seconds = Path(sys.argv[4]), float(sys.argv[5])
    results: dict[str, Any] = {**json.loads((data.folder / f"{peer}.built.json").read_text()), "filters": {}}
    settings = PEERS[peer][1](data, work)
    limits: dict[str, Limits] = json.loads(sys.argv[6])
    for name, limit in limits.items():
        results["filters"][name] = measure(data, name, settings(limit), seconds)
        print(peer, name, results["filters"][name], flush=True)
    out.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
