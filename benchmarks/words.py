"""Search by words: the embedded index beside tantivy, bm25s and SQLite's FTS5, called bare.

``python -m benchmarks.words [--peers PYTHON] [--rows N] [--quick] --json FILE``. ``--peers`` is a Python of
an environment with ``requirements/bench.txt``; without it this one is used, and what it lacks is left out.
All get the same items, cut into words beforehand by the one tokeniser, and the same queries: words of some
item. Measured are how long building and opening take, how much is on disk and in memory of the process's
own, the median of a search on one core, with a filter that a tenth of the items meet, and how long it takes
until an item that was put is found. What is found under the filter is compared with a search for every match.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.words import Tokeniser
from benchmarks.report import Claim, arguments, finish
from benchmarks.resources import one_core
from benchmarks.words_peers import PEERS, Asked, K, Times, own_memory
from common.deadline import Deadline
from devtools.embeddings import write_embeddings
from index.changes import ItemPut
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.filters import parse_filter
from index.port import Neighbours

WORDS = 60_000
QUERIES = 400
#: Filtered answers that are judged by a search for everything.
JUDGED = 20
DIM = 8


def make_data(folder: Path, rows: int) -> None:
    """Write items and queries, unless they are there.

    Titles of 5 to 16 words, as frequent as words of a language are (Zipf), one in three with a model number
    or a measure. A query is some words of one item, drawn evenly, so that common and rare ones mix.
    """
    if (folder / "queries.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    letters = np.array(list("aeioubdfglmnprstkvz"))
    words = ["".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(WORDS)]
    odds = 1 / np.arange(5, WORDS + 5) ** 1.05
    titles: list[str] = []
    for start in range(0, rows, 50_000):
        lengths = rng.integers(5, 17, min(50_000, rows - start))
        drawn = iter(rng.choice(WORDS, int(lengths.sum()), p=odds / odds.sum()).tolist())
        models = rng.random(len(lengths)) < 1 / 3
        numbers = rng.integers(1, 2000, len(lengths)).tolist()
        for length, has_model, number in zip(lengths.tolist(), models.tolist(), numbers, strict=True):
            parts = [words[next(drawn)] for _ in range(length)]
            if has_model:
                parts[-1] = f"{number} ml" if number % 2 else f"{words[number][:2]}{number}"
            titles.append(" ".join(parts))
    (folder / "titles.json").write_text(json.dumps(titles))
    cut = Tokeniser("english")
    with (folder / "items.txt").open("w") as file:
        file.writelines(" ".join(cut.words(title)) + "\n" for title in titles)
    np.save(folder / "random.npy", rng.random(rows))
    asked: dict[str, list[str]] = {}
    for size in (2, 5):
        chosen = rng.choice(rows, QUERIES)
        parts = [titles[row].replace(" ml", "ml").split() for row in chosen.tolist()]
        asked[str(size)] = [" ".join(rng.permutation(each)[:size]) for each in parts]
    (folder / "queries.json").write_text(json.dumps(asked))


def build_ours(folder: Path) -> dict[str, float]:
    """The index folder, which is built unless it is there, and how long that took."""
    done = folder / "ours.json"
    if not done.exists():
        titles = json.loads((folder / "titles.json").read_text())
        random = np.load(folder / "random.npy").tolist()
        vectors = np.tile(np.eye(DIM, dtype=np.float32)[:1], (len(titles), 1))
        write_embeddings(
            folder / "embeddings",
            [{"id": str(row), "category": "", "random": value} for row, value in enumerate(random)],
            vectors,
            np.zeros((len(titles), 1, DIM), np.float32),
            bundle_version="words-00000000",
            attributes={"random": "number"},
            texts=[{"title": title} for title in titles],
            text_fields=("title",),
        )
        began = time.perf_counter()
        build_index(folder / "embeddings", folder / "index", cluster_rows=1 << 30)
        done.write_text(json.dumps({"build_s": time.perf_counter() - began}))
    loaded: dict[str, float] = json.loads(done.read_text())
    return loaded


async def ours(folder: Path, asked: Asked) -> dict[str, Any]:
    """Measure the embedded index as the service uses it."""
    result: dict[str, Any] = build_ours(folder)
    files = [
        path for path in (folder / "index").glob("base-*/*") if path.name in ("words.arrow", "texts.arrow")
    ]
    result["mb"] = sum(path.stat().st_size for path in files) / 1e6
    result["mb words alone"] = sum(p.stat().st_size for p in files if p.name == "words.arrow") / 1e6
    before, began = own_memory(), time.perf_counter()
    index = EmbeddedIndex.open(folder / "index", verify=False)
    result["open_ms"] = (time.perf_counter() - began) * 1e3
    lexical = index.lexical
    assert lexical is not None
    tenth = parse_filter({"random": {"lt": 0.1}}, index.attributes)
    random = np.load(folder / "random.npy")

    async def search(query: str, k: int, filters: Any) -> Neighbours:
        found: list[Neighbours] = await lexical.search_text([query], k, filters, Deadline.after(60))
        return found[0]

    async def timed(queries: list[str], filters: Any) -> dict[str, float]:
        await search(queries[0], K, filters)
        times = Times()
        for query in queries:
            with times:
                await search(query, K, filters)
        return times.summary()

    with one_core():
        result |= {
            name: await timed(queries, tenth if filtered else None) for name, queries, filtered in asked
        }
        result["own_mb"] = (own_memory() - before) / 1e6
        result["wrong"] = 0
        for query in asked[1][1][:JUDGED]:
            # Every item that has a word, best first: those that the filter accepts are the answer under it.
            every, filtered = await search(query, len(random), None), await search(query, K, tenth)
            kept = [place for place, item_id in enumerate(every.ids) if random[int(item_id)] < 0.1][:K]
            same = np.array_equal(every.scores[kept], filtered.scores)
            result["wrong"] += not (same and all(random[int(item_id)] < 0.1 for item_id in filtered.ids))
        times, result["seen at once"] = Times(), 0
        for number in range(20):
            texts = {"title": f"quagga{number} zebra"}
            put = ItemPut(f"new{number}", np.eye(DIM, dtype=np.float32)[0], texts=texts)
            with times:
                await index.upsert([put], Deadline.after(60))
                found = await search(f"quagga{number}", 1, None)
            result["seen at once"] += found.ids == [put.id]
        result["change"] = times.summary()
    await index.remove([f"new{number}" for number in range(20)], Deadline.after(60))
    await index.close()
    return result


def peer(python: str, name: str, folder: Path) -> dict[str, Any] | None:
    """What a peer's process measured; None where it is not installed."""
    out = folder / f"{name}.out.json"
    out.unlink(missing_ok=True)
    done = subprocess.run([python, "-m", "benchmarks.words_peers", name, str(folder), str(out)], check=False)
    return json.loads(out.read_text()) if done.returncode == 0 else None


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Search by words",
        [
            ("--peers", {"default": sys.executable, "help": "Python of an environment with the peers"}),
            ("--rows", {"type": int, "help": "items; 1,000,000, or 20,000 with --quick"}),
            ("--data", {"type": Path, "default": Path(".run/bench-words"), "help": "where data is kept"}),
        ],
    )
    rows = options.rows or (20_000 if options.quick else 1_000_000)
    folder = options.data / str(rows)
    make_data(folder, rows)
    asked = Asked.read(folder)
    # Everyone twice, in turns, and the better of both, so that the machine's moods do not favour anybody.
    runs: dict[str, Any] = {}
    for _ in range(2):
        measured = {"ours": asyncio.run(ours(folder, asked))}
        measured |= {
            name: found for name in PEERS if (found := peer(options.peers, name, folder)) is not None
        }
        for name, again in measured.items():
            before = runs.setdefault(name, again)
            for kind, _, _ in asked:
                before[kind] = min(before[kind], again[kind], key=lambda each: each["p50_ms"])
    figures = ["build_s", "mb", "open_ms", "own_mb", *(name for name, _, _ in asked), "change"]
    print(f"{rows:,} items{'':<16}" + "".join(f"{name:>12}" for name in runs))
    for figure in figures:
        cells = (run.get(figure) for run in runs.values())
        shown = (cell["p50_ms"] if isinstance(cell, dict) else cell for cell in cells)
        print(
            f"{figure:<28}" + "".join(f"{'–' if cell is None else format(cell, '.2f'):>12}" for cell in shown)
        )
    claims = [
        Claim.at_most("two words, p50", runs["ours"]["two words"]["p50_ms"], 1, "ms"),
        Claim.at_most("two words and a filter, p50", runs["ours"]["two words, a tenth"]["p50_ms"], 1, "ms"),
        Claim.at_most("opening", runs["ours"]["open_ms"], 100, "ms"),
        Claim.at_most(f"of {JUDGED} filtered answers, not exact", runs["ours"]["wrong"], 0),
        Claim.at_least("of 20 changes, in the next answer", runs["ours"]["seen at once"], 20),
    ]
    return finish(claims, {"rows": rows, **runs}, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
