"""Embed-Producer against bare onnxruntime: 100,000 queries and 100,000 portraits into a real Redis.

``python -m benchmarks.produce [--quick] --json FILE``

- *bare* is the query experts' graph alone, over the same slices of the same queries, text already turned
  into ids, as many runs side by side as the producer is given, its output thrown away. *Bare with text*
  turns text into ids too, as whoever encodes text has to. Both are timed in turn with the producer, a part
  of the queries at a time, so that all meet the same machine. With one run at a time there is a core for
  what the producer does besides, and it is held against the graph alone; with a run on each core there is
  none, and it is held against graph and text (its ratio to the graph alone is among the runs).
- *queries* is the whole of ``mrse produce queries`` after reading the log: ids, graph, rounding, keys,
  Redis, journal. *portraits* needs no graph; its one thread is held against one bare run at a time.
- *resume* kills (SIGKILL) a producer of queries three times and counts what was worked on twice.
- *follow* is the time from adding a behaviour to a stream to reading it back from the user's portrait,
  while other users act at the rate of ``--rate``.
"""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from redis import Redis

from artifacts.bundle import Bundle
from artifacts.bundle.text import normalise
from artifacts.cache.codec import PortraitCodec
from artifacts.cache.keys import query_key, user_key
from benchmarks.report import Claim, arguments, finish
from cli.demo_files import demo_bundle
from devtools.redis import RedisServer, redis_server
from producer.features import FeatureTable
from producer.fill import BATCH, fill, slice_rows
from producer.histories import Histories
from producer.items import ItemJob
from producer.portraits import PortraitJob
from producer.queries import QueryJob
from producer.store import Store, connect

TTL_S = 86_400.0
HISTORY = 20
ITEMS = 50_000
STREAM = "behaviours"


def make_queries(bundle: Bundle, count: int) -> list[str]:
    """Distinct queries of one to six words, short ones more often.

    The words are those of the bundle's vocabulary, and made-up ones where it has few.
    """
    vocabulary = bundle.text._tokenizer.get_vocab()  # a benchmark may look inside
    words = sorted(word for word in vocabulary if word.isalpha() and len(word) > 2)
    rng = random.Random(7)
    while len(words) < 1000:
        words.append("".join(rng.choice("bdfklmnprst") + rng.choice("aeiou") for _ in range(3)))
    queries: dict[str, None] = {}
    while len(queries) < count:
        length = rng.choices((1, 2, 3, 4, 5, 6), (1, 4, 6, 4, 2, 1))[0]
        queries[" ".join(rng.choices(words, k=length))] = None
    return list(queries)


def bare(job: QueryJob, threads: int, *, with_text: bool) -> float:
    """Seconds of the graph over all rows of a job, and of turning their text into ids."""
    step = slice_rows(BATCH, job.workers)
    slices = [(start, min(start + step, len(job))) for start in range(0, len(job), step)]
    texts = {} if with_text else {rows: job.prepare(*rows) for rows in slices}

    def work(rows: tuple[int, int]) -> None:
        job.run(texts.get(rows) or job.prepare(*rows))

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        for future in [pool.submit(work, rows) for rows in slices]:
            future.result()
        return time.perf_counter() - began


def measure_queries(
    bundle: Bundle, redis: Redis, queries: list[str], threads: int, rounds: int
) -> dict[str, Any]:
    """Bare and whole, part by part."""
    store = Store(redis, TTL_S)
    size = -(-len(queries) // rounds)
    seconds: list[tuple[float, float, float]] = []
    written = 0
    bare(QueryJob(bundle, queries[:4096], threads=threads), threads, with_text=True)  # warm
    for n in range(rounds):
        job = QueryJob(bundle, queries[n * size : (n + 1) * size], threads=threads)
        alone = bare(job, threads, with_text=False)
        filled = fill(job, store)
        written += filled.written
        seconds.append((alone, bare(job, threads, with_text=True), filled.seconds))
    alone, with_text, whole = (sum(column) for column in zip(*seconds, strict=True))
    return {
        "threads": threads,
        "queries": len(queries),
        "written": written,
        "bare_per_s": round(len(queries) / alone),
        "bare_with_text_per_s": round(len(queries) / with_text),
        "produce_per_s": round(len(queries) / whole),
        "ratio": round(alone / whole, 3),
        "ratio_with_text": round(with_text / whole, 3),
        "seconds": [[round(value, 4) for value in each] for each in seconds],
    }


def table_of(bundle: Bundle) -> FeatureTable:
    """Features of made-up items."""
    dimensions = bundle.manifest.dimensions
    shape = (ITEMS, len(dimensions.experts), dimensions.expert_dim)
    features = np.random.default_rng(1).standard_normal(shape, dtype=np.float32).astype(np.float16)
    return FeatureTable(Path(), bundle.version, [f"item-{n}" for n in range(ITEMS)], features)


def measure_portraits(bundle: Bundle, redis: Redis, table: FeatureTable, users: int) -> dict[str, Any]:
    """Portraits of full histories, some items in them more than once."""
    rng = np.random.default_rng(2)
    items = np.minimum(rng.zipf(1.2, size=users * HISTORY), ITEMS) - 1
    now = datetime.now(UTC)
    log = (
        (f"user-{n // HISTORY}", f"item-{item}", "click", now - timedelta(minutes=n % 50_000))
        for n, item in enumerate(items.tolist())
    )
    began = time.perf_counter()
    histories = Histories.collect(log, bundle.manifest.dimensions.history, bundle.manifest.behaviours)
    collected = time.perf_counter() - began
    job = PortraitJob(histories, table, bundle.manifest)
    filled = fill(job, Store(redis, TTL_S))
    lengths = [redis.strlen(user_key(bundle.version, f"user-{n}")) for n in range(0, users, users // 100)]
    return {
        "portraits": users,
        "written": filled.written,
        "seconds": round(filled.seconds, 2),
        "collect_seconds": round(collected, 2),
        "produce_per_s": round(users / filled.seconds),
        "bytes_each": round(statistics.mean(int(length) for length in lengths)),
    }


def measure_resume(bundle: Bundle, server: RedisServer, redis: Redis, rows: int) -> dict[str, Any]:
    """Kills of a producer: rows that are missing in the end, and rows that were worked on twice."""
    kills = 3
    mark = f"mrse:{bundle.version}:produce:queries"
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        command = [sys.executable, "-m", "devtools.fill_process", server.url, str(bundle.path)]
        command += [str(rows), str(BATCH), str(notes)]
        for kill in range(kills):
            process = subprocess.Popen(command)
            while int(redis.hget(mark, "done") or 0) < (kill + 1) * rows // (kills + 1):
                time.sleep(0.005)
                if process.poll() is not None:
                    raise RuntimeError("the producer ended before it was killed")
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run(command, check=True)
        worked = sum(int(b) - int(a) for a, b in (line.split() for line in notes.read_text().splitlines()))
    found = redis.exists(*(query_key(bundle.version, normalise(f"query number {n}")) for n in range(rows)))
    return {
        "rows": rows,
        "kills": kills,
        "batch": BATCH,
        "missing": rows - int(found),
        "worked_twice": worked - rows,
    }


def measure_follow(
    bundle: Bundle, server: RedisServer, redis: Redis, rate: int, seconds: float
) -> dict[str, Any]:
    """Milliseconds from a behaviour in the stream to the portrait that holds it."""
    codec = PortraitCodec(len(bundle.manifest.dimensions.experts), bundle.manifest.dimensions.expert_dim)
    command = [sys.executable, "-c", "from cli.main import main; main()", "produce", "follow"]
    command += ["--bundle", str(bundle.path), "--redis", server.url, "--stream", STREAM]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    rng = random.Random(3)
    took: list[float] = []
    sent = 0

    def act(user: str) -> str:
        nonlocal sent
        sent += 1
        item = f"item-{rng.randrange(ITEMS)}"
        redis.xadd(STREAM, {"user": user, "item": item, "action": "click"}, maxlen=100_000)
        return item

    def seen(user: str, item: str) -> bool:
        portrait = codec.decode(redis.get(user_key(bundle.version, user)))
        return portrait is not None and portrait.behaviours[0].item_id == item

    try:
        first = act("watched")
        while not seen("watched", first):
            time.sleep(0.01)
        began = time.perf_counter()
        while (now := time.perf_counter()) - began < seconds:
            item = act("watched")
            while not seen("watched", item):
                if time.perf_counter() - now > 30:
                    raise RuntimeError("the follower does not follow")
                time.sleep(0.001)
            took.append((time.perf_counter() - now) * 1000)
            due = int((time.perf_counter() - began) * rate)
            while sent < due:
                act(f"user-{rng.randrange(10_000)}")
            time.sleep(rng.uniform(0, 0.02))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    cuts = statistics.quantiles(took, n=100)
    return {
        "behaviours_per_s": round(sent / seconds),
        "watched": len(took),
        "p50_ms": round(cuts[49], 2),
        "p99_ms": round(cuts[98], 2),
        "most_ms": round(max(took), 2),
    }


def main() -> int:
    """Measure everything and report."""
    options = arguments(
        __doc__ or "",
        [
            ("--bundle", {"type": Path, "help": "bundle folder; by default the shipped one"}),
            ("--threads", {"type": int, "default": 2, "help": "graph runs side by side, besides 1"}),
            ("--rate", {"type": int, "default": 500, "help": "behaviours a second while following"}),
        ],
    )
    bundle = Bundle.load(options.bundle or demo_bundle())
    count = 10_000 if options.quick else 100_000
    runs: dict[str, Any] = {"bundle": bundle.version}
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server(Path(folder)) as server,
        connect(server.url) as redis,
    ):
        queries = make_queries(bundle, count)
        runs["queries"] = []
        for threads in sorted({1, options.threads}):
            redis.flushall()
            runs["queries"].append(
                measure_queries(bundle, redis, queries, threads, rounds=2 if options.quick else 5)
            )
        table = table_of(bundle)
        runs["portraits"] = measure_portraits(bundle, redis, table, count)
        redis.flushall()
        runs["resume"] = measure_resume(bundle, server, redis, 10 * BATCH)
        runs["items"] = {"per_s": round(ITEMS / fill(ItemJob(table), Store(redis, TTL_S)).seconds)}
        runs["follow"] = measure_follow(bundle, server, redis, options.rate, 5 if options.quick else 30)
    one, many = runs["queries"][0], runs["queries"][-1]
    claims = [
        Claim.at_least("queries / bare onnxruntime, one run at a time", one["ratio"], 0.8),
        Claim.at_least(
            f"queries / bare onnxruntime with text, {many['threads']} runs", many["ratio_with_text"], 0.8
        ),
        Claim.at_least(
            "portraits / bare onnxruntime, one run at a time",
            runs["portraits"]["produce_per_s"] / one["bare_per_s"],
            0.8,
        ),
        Claim.at_most("missing after three kills", runs["resume"]["missing"], 0),
        Claim.at_most(
            "worked on twice, batches a kill",
            runs["resume"]["worked_twice"] / BATCH / runs["resume"]["kills"],
            1,
        ),
        Claim.at_most("stream to portrait, p99", runs["follow"]["p99_ms"], 1000, "ms"),
    ]
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
