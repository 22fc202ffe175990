"""One peer of the benchmark of search by words, in a process of its own: ``words_peers NAME FOLDER OUT``.

Needs numpy and the peer alone. Exit status 3 where the peer is not installed.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from benchmarks.resources import one_core

K = 100
#: Seconds that the queries of one kind may take: some peers are slow.
_MOST_S = 20.0


class Asked(list[tuple[str, list[str], bool]]):
    """Kinds of queries: a name, the queries, and whether a tenth of the items may be found."""

    @classmethod
    def read(cls, folder: Path) -> Asked:
        """Of a folder that `words.make_data` wrote."""
        queries = json.loads((folder / "queries.json").read_text())
        kinds = [("two words", "2", False), ("two words, a tenth", "2", True), ("five words", "5", False)]
        return cls((name, queries[size], filtered) for name, size, filtered in kinds)


class Opened(NamedTuple):
    """An open peer: a search of words, perhaps filtered, gives rows; ``put`` makes an item findable."""

    search: Callable[[Sequence[str], bool], Sequence[int]]
    put: Callable[[int, str], None] | None


class Peer(Protocol):
    """How a peer is built and opened; ``items`` are words with spaces between."""

    def build(self, items: Iterator[str], random: np.ndarray, work: Path) -> None: ...  # noqa: D102
    def open(self, work: Path, random: np.ndarray) -> Opened: ...  # noqa: D102


class Times:
    """What calls took, by the clock and of all the process's processor time."""

    def __init__(self) -> None:
        self._wall: list[float] = []
        self._cpu: list[float] = []

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self._wall.append(time.perf_counter() - self._began[0])
        self._cpu.append(time.process_time() - self._began[1])

    def summary(self) -> dict[str, float]:
        """Milliseconds: ``p50_ms`` and ``p99_ms`` by the clock, ``cpu_ms`` the median of processor time."""
        p50, p99 = np.percentile(np.array(self._wall) * 1e3, [50, 99])
        told = {"p50_ms": p50, "p99_ms": p99, "cpu_ms": np.median(self._cpu) * 1e3}
        return {name: round(float(ms), 4) for name, ms in told.items()} | {"queries": len(self._wall)}


def own_memory() -> int:
    """Bytes of memory that this process shares with no other, files left out."""
    with Path("/proc/self/smaps_rollup").open() as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Anonymous"))


class Tantivy:
    """Whitespace tokens, one segment; its filter is a range on a fast field."""

    def _schema(self) -> Any:
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_text_field("body", tokenizer_name="whitespace", index_option="freq")
        builder.add_integer_field("row", stored=True, indexed=True)
        builder.add_float_field("random", fast=True, indexed=True)
        return builder.build()

    def build(self, items: Iterator[str], random: np.ndarray, work: Path) -> None:
        """All items, committed at once."""
        import tantivy

        index = tantivy.Index(self._schema(), path=str(work))
        writer = index.writer(heap_size=500_000_000, num_threads=1)
        for row, (item, value) in enumerate(zip(items, random.tolist(), strict=True)):
            writer.add_document(tantivy.Document(body=item, row=row, random=value))
        writer.commit()
        writer.wait_merging_threads()

    def open(self, work: Path, random: np.ndarray) -> Opened:
        """The queries are built of terms, so that no query parser has a share in the time."""
        import tantivy

        schema = self._schema()
        index = tantivy.Index(schema, path=str(work))
        tenth = tantivy.Query.range_query(schema, "random", tantivy.FieldType.Float, 0.0, 0.1, True, False)
        should, must = tantivy.Occur.Should, tantivy.Occur.Must
        searcher = index.searcher()

        def search(words: Sequence[str], filtered: bool) -> Sequence[int]:
            terms = [(should, tantivy.Query.term_query(schema, "body", word)) for word in words]
            query = tantivy.Query.boolean_query(terms)
            if filtered:
                query = tantivy.Query.boolean_query([(must, query), (must, tenth)])
            return [address.doc for _, address in searcher.search(query, K, count=False).hits]

        def put(row: int, text: str) -> None:
            nonlocal searcher
            writer.add_document(tantivy.Document(body=text, row=row, random=0.5))
            writer.commit()
            index.reload()
            searcher = index.searcher()

        writer = index.writer(heap_size=50_000_000, num_threads=1)
        return Opened(search, put)


class Bm25s:
    """Saved and mapped again; a filter is a mask over all items. It takes no changes."""

    def build(self, items: Iterator[str], random: np.ndarray, work: Path) -> None:
        """Method lucene, as Vespa's but for a constant factor."""
        import bm25s

        retriever = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
        retriever.index([item.split() for item in items], show_progress=False)
        retriever.save(str(work))

    def open(self, work: Path, random: np.ndarray) -> Opened:
        """Mapped."""
        import bm25s

        retriever = bm25s.BM25.load(str(work), mmap=True)
        tenth = (random < 0.1).astype(np.float32)

        def search(words: Sequence[str], filtered: bool) -> Sequence[int]:
            mask = tenth if filtered else None
            found, _ = retriever.retrieve(
                [list(words)], k=K, show_progress=False, n_threads=0, weight_mask=mask
            )
            rows: Sequence[int] = found[0].tolist()
            return rows

        return Opened(search, None)


class Fts5:
    """SQLite's full-text index, without the texts themselves; its filter is a join."""

    def build(self, items: Iterator[str], random: np.ndarray, work: Path) -> None:
        """One transaction."""
        base = sqlite3.connect(work / "base")
        base.execute("CREATE TABLE items (row INTEGER PRIMARY KEY, random REAL)")
        tokens = "tokenize = \"unicode61 tokenchars '.'\""
        base.execute(f"CREATE VIRTUAL TABLE words USING fts5(body, content='', detail=column, {tokens})")
        base.executemany("INSERT INTO items VALUES (?, ?)", enumerate(random.tolist()))
        base.executemany("INSERT INTO words(rowid, body) VALUES (?, ?)", enumerate(items))
        base.commit()
        base.close()

    def open(self, work: Path, random: np.ndarray) -> Opened:
        """A connection."""
        base = sqlite3.connect(work / "base")
        plain = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?"
        joined = (
            "SELECT words.rowid FROM words JOIN items ON items.row = words.rowid"
            " WHERE words MATCH ? AND items.random < 0.1 ORDER BY words.rank LIMIT ?"
        )

        def search(words: Sequence[str], filtered: bool) -> Sequence[int]:
            text = " OR ".join(f'"{word}"' for word in words)
            return [row for (row,) in base.execute(joined if filtered else plain, (text, K))]

        def put(row: int, text: str) -> None:
            base.execute("INSERT INTO items VALUES (?, 0.5)", (row,))
            base.execute("INSERT INTO words(rowid, body) VALUES (?, ?)", (row, text))
            base.commit()

        return Opened(search, put)


PEERS: dict[str, Peer] = {"tantivy": Tantivy(), "bm25s": Bm25s(), "fts5": Fts5()}


def _timed(opened: Opened, queries: Sequence[str], filtered: bool) -> dict[str, float]:
    times, began = Times(), time.perf_counter()
    for query in queries:
        words = query.split()
        with times:
            opened.search(words, filtered)
        if time.perf_counter() - began > _MOST_S:
            break
    return times.summary()


def _measure(opened: Opened, rows: int, asked: Asked, result: dict[str, Any]) -> None:
    for kind, queries, filtered in asked:
        _timed(opened, queries[:5], filtered)
        result[kind] = _timed(opened, queries, filtered)
    if opened.put is None:
        return
    times = Times()
    for number in range(20):
        row = rows + number + int(time.time_ns() % 10**9) * 100
        with times:
            opened.put(row, f"quagga{row} zebra")
            found = opened.search([f"quagga{row}"], False)
        assert len(found) == 1
    result["change"] = times.summary()


def main(name: str, folder: Path, out: Path) -> int:
    """Build unless that was done, open, measure, write."""
    peer, random = PEERS[name], np.load(folder / "random.npy")
    work, done = folder / f"{name}.work", folder / f"{name}.built.json"
    try:
        if not done.exists():
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            began = time.perf_counter()
            with (folder / "items.txt").open() as file:
                peer.build((line.rstrip("\n") for line in file), random, work)
            done.write_text(json.dumps({"build_s": time.perf_counter() - began}))
        result: dict[str, Any] = json.loads(done.read_text())
        result["mb"] = sum(path.stat().st_size for path in work.rglob("*") if path.is_file()) / 1e6
        before, began = own_memory(), time.perf_counter()
        opened = peer.open(work, random)
        result["open_ms"] = (time.perf_counter() - began) * 1e3
    except ModuleNotFoundError as error:
        print(f"{name} left out: {error}", file=sys.stderr)
        return 3
    with one_core():
        _measure(opened, len(random), Asked.read(folder), result)
    result["own_mb"] = (own_memory() - before) / 1e6
    out.write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
