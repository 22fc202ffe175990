"""A route, an engine, an expert, an event action and a measure from outside the core work end to end.

`tests.extension.toys` has a module for each. ``MRSE_EXTENSIONS`` names them, and nothing else is changed: a
shop is trained on, exported, embedded and evaluated with all five, and served with all but the expert and the
measure, of which a server needs none.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from devtools.waiting import free_port
from models.synthetic import make_shop

ROOT = Path(__file__).parents[2]
MRSE = (sys.executable, "-c", "from cli.main import main; main()")
TOYS = ",".join(f"tests.extension.toys.{name}" for name in ("action", "engine", "expert", "measure", "route"))
SERVED = ",".join(f"tests.extension.toys.{name}" for name in ("action", "engine", "route"))
POPULAR = ("i0000007", "i0000011")


#: Lines of a terminal in one process, for each of them would import torch once more; the bundle that `export`
#: made has a name of its own from then on.
LINES = """
import shlex, sys
from pathlib import Path
from cli.main import build
from common.extensions import load_extensions
load_extensions()
app = build()
for line in sys.argv[1].splitlines():
    print(line)
    try:
        app(shlex.split(line))
    except SystemExit as end:
        if end.code:
            raise
    for made in Path("bundles").glob("toys-*"):
        made.rename("bundle")
"""
COMMANDS = """check shop
train shop --out run --preset tiny --set stage1.steps=5 --set stage2.steps=5
export run --out bundles --name toys
embed shop --bundle bundle --out embeddings
train shop --out off --preset tiny --set switches.bag=false --set stage1.steps=2 --set stage2.steps=2
evaluate shop --bundle bundle --embeddings embeddings --report report.html --json --resamples 100"""


def environment(extensions: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "MRSE_EXTENSIONS": extensions}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose carts are wishes, runs over it, a bundle, embeddings, a report, and a configuration."""
    folder = tmp_path_factory.mktemp("extension")
    make_shop(folder / "shop", items=250, seed=3)  # fewer than the command makes
    (events,) = folder.glob("shop/events.parquet")
    table = pq.read_table(events)
    place = table.schema.get_field_index("action")
    action = table["action"].cast(pa.string())
    wishes = pc.if_else(pc.equal(action, "cart"), "wish", action)
    pq.write_table(table.set_column(place, "action", wishes), events)
    done = subprocess.run(
        [sys.executable, "-c", LINES, COMMANDS],
        cwd=folder,
        env=environment(TOYS),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    (folder / "report.json").write_text(done.stdout.partition(COMMANDS.splitlines()[-1])[2])
    config = folder / "mrse.toml"
    config.write_text(
        f"""
[index]
engine = "plain"
[plain]
most = 40
[recall.q2i]
share = 0.6
[recall.favourites]
items = {json.dumps(POPULAR)}
"""
    )
    return folder


@dataclass(frozen=True)
class Service:
    url: str
    log: Path

    def recall(self, **body: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/recall", json=body | {"timeout_ms": 10_000}, timeout=60)
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content


@pytest.fixture(scope="module")
def service(work: Path) -> Iterator[Service]:
    """The bundle served from the toy engine, with the toy route, by two workers."""
    port, log = free_port(), work / "serve.log"
    command = [*MRSE, "serve", "--bundle", "bundle", "--index", "embeddings", "--port", str(port)]
    command += ["--config", "mrse.toml", "--workers", "2"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=work, env=environment(SERVED), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        yield Service(f"http://127.0.0.1:{port}", log)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.slow
def test_an_action_is_trained_with_served_and_documented(work: Path, service: Service) -> None:
    manifest = json.loads((work / "bundle" / "manifest.json").read_text())
    assert manifest["behaviours"] == ["click", "cart", "order", "wish"]
    history = [{"item_id": "i0000003", "action": "wish"}]
    answer = service.recall(query="red shoes", history=history, k=5, explain=True)
    assert answer["explain"]["portrait"]["used"] == ["i0000003"]
    document = httpx.get(f"{service.url}/openapi.json").text
    assert re.search(r'"enum":\["click","cart","order","wish"\]', document)
    refused = httpx.post(f"{service.url}/recall", json={"history": [{"item_id": "a", "action": "look"}]})
    assert "'wish'" in refused.json()["detail"]


@pytest.mark.slow
def test_a_bundle_of_another_action_table_is_refused(work: Path) -> None:
    without = SERVED.replace("tests.extension.toys.action,", "")
    command = ["serve", "--bundle", "bundle", "--index", "embeddings", "--config", "mrse.toml"]
    refused = subprocess.run(
        [*MRSE, *command], cwd=work, env=environment(without), capture_output=True, text=True, timeout=500
    )
    assert refused.returncode == 2
    assert "wish" in refused.stderr


@pytest.mark.slow
def test_an_expert_is_trained_exported_and_explained(work: Path, service: Service) -> None:
    manifest = json.loads((work / "bundle" / "manifest.json").read_text())
    assert manifest["dimensions"]["experts"] == ["vbert", "light_bert", "ftatt", "bag"]
    header = (work / "run" / "stage1.csv").read_text().splitlines()[0].split(",")
    assert header[:6] == ["step", "loss", "vbert", "light_bert", "ftatt", "bag"]
    gate = service.recall(query="red shoes", k=5, explain=True)["explain"]["gate"]
    assert set(gate) == {"vbert", "light_bert", "ftatt", "bag"}
    assert (work / "off" / "summary.json").is_file(), "what is switched off is not built, and not missed"


@pytest.mark.slow
def test_an_engine_answers_with_a_table_of_its_own(service: Service) -> None:
    answer = service.recall(query="red shoes", k=100)
    assert answer["index_version"] == "plain"
    assert answer["routes"]["q2i"]["returned"] == 40, "the toy engine's own limit"
    (tower,) = httpx.get(f"{service.url}/version").json()["towers"].values()
    assert tower["index"] == {"version": "plain", "engine": "plain", "items": 250, "kind": "exact"}


@pytest.mark.slow
def test_a_route_is_merged_counted_and_explained(service: Service) -> None:
    answer = service.recall(query="red shoes", k=10, explain=True)
    found = {item["item_id"] for item in answer["items"] if item["sources"][-1]["route"] == "favourites"}
    assert found == set(POPULAR)
    assert answer["routes"]["favourites"]["returned"] == len(POPULAR)
    assert answer["explain"]["favourites"] == len(POPULAR)
    metrics = httpx.get(f"{service.url}/metrics").text
    assert re.search(r'mrse_index_coverage_ratio_count\{[^}]*route="favourites"', metrics)
    assert 'mrse_stage_duration_seconds_count{stage="favourites"}' in metrics
    assert "favourites_timeout" in metrics, "reasons of its own stand ready at zero"
    assert '"favourites"' in httpx.get(f"{service.url}/openapi.json").text
    assert "Traceback" not in service.log.read_text()


@pytest.mark.slow
def test_a_measure_is_in_the_report(work: Path) -> None:
    rows = json.loads((work / "report.json").read_text())["slices"]
    assert all(0.0 <= row["Recall@3"]["value"] <= 1.0 for row in rows if row["system"] == "bm25")
    assert "Recall@3" in (work / "report.html").read_text()
