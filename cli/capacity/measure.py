"""Measures what an answer, a worker and an item cost on this machine: CPU time, so that others do not count.

A service is started over a bundle and an index as users start it, with one worker, and asked over HTTP; what
it used stands on its ``/metrics``.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server
from typing import Any

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from artifacts.bundle import Bundle, ItemText, ItemTower
from cli.capacity.constants import CapacityError, Constants, Machine, Measured
from common.arrays import F32
from common.deadline import Deadline
from common.parent import die_with_parent
from common.progress import Progress

_MRSE = (sys.executable, "-c", "from cli.main import main; main()")
_READY_WITHIN_S = 300.0
#: For running requests, of which there are none, and to close index and model.
_ENDS_WITHIN_S = 30.0
_WORDS = (
    "red",
    "blue",
    "black",
    "white",
    "running",
    "shoes",
    "boots",
    "jacket",
    "dress",
    "bag",
    "cup",
    "hat",
)
#: Queries that are asked again and again, items of a history, and items that are embedded.
_HEADS, _PAST, _EMBEDDED = 20, 10, 256
_K = 100
#: How far from items the queries of a search lie, as the length of what is added to a vector of length 1.
_NOISE = 0.5
#: Nothing of its own while it is measured; one port and no keys, whatever a service of this environment has.
_QUIET = {
    "MRSE_SERVER_CANARY_EVERY_S": "0",
    "MRSE_SERVER_RECALL_CHECK_EVERY_S": "0",
    "MRSE_SERVER_ACCESS_LOG": "false",
    "MRSE_SERVER_ADMIN_PORT": "0",
    "MRSE_SERVER_PROBE_PORT": "0",
    "MRSE_ACCESS_KEYS": "",
    "MRSE_DEADLINE_DEFAULT_MS": "10000",
    "MRSE_REDIS_URL": "",
    "MRSE_REDIS_URL_FILE": "",
    "MRSE_CONFIG": "",
}


def measure(bundle: Path, index: Path, requests: int, progress: Progress) -> Constants:
    """Measure over a bundle and its embedded index.

    Args:
        bundle, index: their folders.
        requests: recalls of each kind.
        progress: told of each.

    Raises:
        CapacityError: the service does not come up, or refuses what it is asked; or this is no Linux.
        BundleError: the bundle cannot be read.
    """
    if sys.platform != "linux":
        raise CapacityError("--measure reads /proc, which Linux alone has")
    with _service(bundle, index) as (url, pid), httpx.Client(base_url=url, timeout=60) as client:
        ask = functools.partial(_ask, client, progress)
        heads = [{"query": f"{_WORDS[n % 12]} {_WORDS[(5 * n + 1) % 12]}"} for n in range(_HEADS)]
        answers = [_recall(client, body) for body in heads]
        past = [{"item_id": item["item_id"], "action": "click"} for item in answers[0]["items"][:_PAST]]
        for body in heads:  # as warm as it gets
            _recall(client, {**body, "history": past})
        hit = ask("remembered", [heads[n % _HEADS] for n in range(requests)])
        history = ask("with a history", [{**heads[n % _HEADS], "history": past} for n in range(requests)])
        miss = ask(
            "new", [{"query": f"{_WORDS[n % 12]} {_WORDS[(n // 12) % 12]} {n}"} for n in range(requests)]
        )
        told = client.get("/version").json()["towers"]["control"]["index"]
        own_mb, resident_mb = _memory(pid)
    loaded = Bundle.load(bundle)
    progress("embed", 0, _EMBEDDED)
    embed_ms = _embed_ms(loaded)
    progress("embed", _EMBEDDED, _EMBEDDED)
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    dimensions = loaded.manifest.dimensions
    searched = asyncio.run(_search_ms(index, dimensions.embedding_dim, requests, progress))
    return Constants(
        machine=Machine(cpu=_cpu(), cores=os.cpu_count() or 1, measured=datetime.now(UTC).date().isoformat()),
        measured=Measured(
            items=told["items"],
            kind=told["kind"],
            index_bytes=round(size / told["items"], 1),
            worker_mb=round(own_mb, 1),
            shared_mb=round(max(0.0, resident_mb - own_mb - size / 1e6), 1),
            hit_ms=hit,
            history_ms=history,
            miss_ms=miss,
            search_ms=round(min(searched, miss, history), 3),
            embed_ms=embed_ms,
            features=len(dimensions.experts) * dimensions.expert_dim,
            history=dimensions.history,
        ),
    )


@contextmanager
def _service(bundle: Path, index: Path) -> Iterator[tuple[str, int]]:
    """A service on a free port of this machine, until the block is left: its URL and process."""
    with create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [*_MRSE, "serve", "--bundle", str(bundle), "--index", str(index), "--port", str(port)]
    parent = functools.partial(die_with_parent, os.getpid())
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*command, "--workers", "1"], env=os.environ | _QUIET, stdout=log, stderr=log, preexec_fn=parent
        )
        try:
            _until_ready(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            try:
                process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_ready(url: str, process: subprocess.Popen[bytes], log: Any) -> None:
    end = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    log.seek(0)
    said = log.read().strip().splitlines()
    raise CapacityError(f"the service did not come up: {said[-1] if said else 'it said nothing'}")


def _recall(client: httpx.Client, body: dict[str, Any]) -> Any:
    answer = client.post("/recall", json={**body, "k": _K})
    if answer.status_code != 200:
        raise CapacityError(f"the service answers {answer.status_code}: {answer.text[:200]}")
    return json.loads(answer.content)


def _ask(client: httpx.Client, progress: Progress, what: str, bodies: Sequence[dict[str, Any]]) -> float:
    """Milliseconds of CPU of a recall."""
    before = _metric(client, "process_cpu_seconds_total")
    for done, body in enumerate(bodies, 1):
        _recall(client, body)
        progress(what, done, len(bodies))
    return round(1000 * (_metric(client, "process_cpu_seconds_total") - before) / len(bodies), 3)


def _samples(client: httpx.Client, keep: Callable[[Any], bool]) -> float:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return sum(sample.value for family in families for sample in family.samples if keep(sample))


def _metric(client: httpx.Client, name: str) -> float:
    return _samples(client, lambda sample: sample.name == name)


async def _search_ms(index: Path, dim: int, requests: int, progress: Progress) -> float:
    """CPU of a search of the index alone."""
    from index.embedded.index import EmbeddedIndex

    rng = np.random.default_rng(5)
    opened = EmbeddedIndex.open(index)
    try:
        # Queries lie near items, or the search would look at far more lists than it does for any query.
        noise = rng.standard_normal((requests, dim), dtype=np.float32)
        ids: list[str] = []
        for vector in noise[:_HEADS]:
            (found,) = await opened.search(_unit(vector[None]), _K, None, Deadline.after(60))
            ids += found.ids
        stored = await opened.vectors(ids, Deadline.after(60))
        chosen = stored.vectors[rng.integers(0, len(stored.vectors), requests)].astype(np.float32)
        asked = _unit(chosen + np.float32(_NOISE / dim**0.5) * noise)
        started = time.process_time()
        for done, vector in enumerate(asked, 1):
            await opened.search(vector[None], _K, None, Deadline.after(60))
            progress("searches", done, requests)
        return 1000 * (time.process_time() - started) / requests
    finally:
        await opened.close()


def _unit(vectors: F32) -> F32:
    found: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def _memory(pid: int) -> tuple[float, float]:
    """MB that a process has for itself, and all that it has in memory."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {
        name: float(rest.split()[0]) / 1000 for name, _, rest in (line.partition(":") for line in lines[1:])
    }
    return sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Rss"]


def _embed_ms(bundle: Bundle) -> float:
    """CPU of an item's features and embedding, its picture decoded already."""
    tower, side = ItemTower(bundle, threads=1), bundle.manifest.picture.side
    texts = [
        ItemText(f"{_WORDS[n % 12]} {_WORDS[(n // 12) % 12]} {n}", "Shoes > Running")
        for n in range(_EMBEDDED)
    ]
    pixels = np.random.default_rng(3).integers(0, 256, (_EMBEDDED, side, side, 3), dtype=np.uint8)
    tower.embeddings(tower.features(texts[:8], list(tower.picture_features(pixels[:8]))))
    started = time.process_time()
    tower.embeddings(tower.features(texts, list(tower.picture_features(pixels))))
    return round(1000 * (time.process_time() - started) / _EMBEDDED, 3)


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
