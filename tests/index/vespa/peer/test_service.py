"""The whole service over Vespa: one setting away from the embedded index, and rolled over while it serves.

Everything goes through the commands that an operator would type.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from artifacts.bundle import Bundle
from cli.main import build
from devtools.redis import redis_server
from devtools.vespa_peer.peer import Peer, start_peer
from devtools.waiting import wait_for
from index.embedded.build import build_index
from tests.support import shop
from tests.support.clients import CASES, build_typescript, check_python, run_node
from tests.support.load import load, wait_for_more
from tests.support.serving import make_settings, serving
from tests.support.vespa_peer import require_peer

ROOT = Path(__file__).parents[4]
#: A cosine of two vectors of which one is rounded to 8 bits a cell.
TOLERANCE = 8e-3

REQUESTS: list[dict[str, Any]] = [
    {"query": "red running shoes"},
    {"query": "blue rain jacket", "k": 5},
    {"query": "wool hat", "filters": {"price": {"lte": 40}}},
    {"query": "tea cup", "filters": {"category": ["kitchen"], "in_stock": True}},
    {"query": "hiking boots", "filters": {"brand": ["Acme", "orbit"], "colour": {"not": "red"}}},
    {"query": "shoes", "filters": {"tags": ["black"], "price": {"gt": 12, "lt": 50}}},
    {"query": "shoes", "filters": {"brand": "nobody"}},
    {
        "query": "cup",
        "history": [{"item_id": "i50", "action": "click"}, {"item_id": "i3", "action": "order"}],
    },
    {"history": [{"item_id": "i7", "action": "cart"}, {"item_id": "i20", "action": "click"}]},
    {"picture": shop.picture_base64("blue"), "filters": {"in_stock": False}},
    {"query": "jacket", "picture": shop.picture_base64("green"), "k": 7},
]


def mrse(*arguments: str | Path) -> dict[str, Any]:
    """A command in process; its JSON."""
    done = CliRunner().invoke(build(), [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return content


@dataclass(frozen=True)
class Rollout:
    """A shop, twice embedded, and Vespa with the first version deployed and fed.

    One for all tests here, for a container takes a while to start. The last of them drops the first version.
    """

    peer: Peer
    package: Path
    bundles: tuple[Bundle, Bundle]
    embeddings: tuple[Path, Path]

    def version_file(self, which: int) -> Path:
        types = {
            json.loads(file.read_text())["bundle_version"]: file
            for file in (self.package / "versions").glob("*.json")
        }
        return types[self.bundles[which].version]


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollout]:
    require_peer()
    root = tmp_path_factory.mktemp("rollout")
    bundles = shop.bundle(root / "blue", 1), shop.bundle(root / "green", 2)
    folders = tuple(shop.write_embeddings(b, root / f"embeddings-{n}") for n, b in enumerate(bundles))
    package = root / "package"
    added = mrse("vespa", "add-version", folders[0], "--package", package)
    with start_peer(Path(added["application"]), nodes=2) as peer:
        fed = mrse("vespa", "feed", folders[0], "--package", package, "--endpoint", peer.url)
        assert fed["stored"] == len(shop.items())
        yield Rollout(peer, package, bundles, (folders[0], folders[1]))


def test_the_same_answers_as_the_embedded_index(rollout: Rollout, tmp_path: Path) -> None:
    build_index(rollout.embeddings[0], tmp_path / "index")
    bundle = rollout.bundles[0]
    with redis_server(tmp_path) as redis:
        mrse("produce", "items", rollout.embeddings[0], "--redis", redis.url)
        over_vespa = make_settings(
            bundle.path,
            rollout.version_file(0),
            index={"engine": "vespa"},
            vespa={"url": rollout.peer.url},
            redis={"url": redis.url, "timeout_ms": 2000},
        )
        with (
            serving(make_settings(bundle.path, tmp_path / "index")) as embedded,
            serving(over_vespa) as vespa,
        ):
            assert httpx.get(f"{vespa.url}/version").json()["towers"]["control"]["index"]["engine"] == "vespa"
            for request in REQUESTS:
                here, there = (
                    httpx.post(f"{s.url}/recall", json={"k": 60, **request}, timeout=30).json()
                    for s in (embedded, vespa)
                )
                compare(request, here, there)


def compare(request: dict[str, Any], here: dict[str, Any], there: dict[str, Any]) -> None:
    """The same items with the same scores; only items that tie at the cut, within rounding, may differ."""
    assert {n: r["status"] for n, r in here["routes"].items()} == {
        n: r["status"] for n, r in there["routes"].items()
    }, request
    assert not there["partial"], request
    assert here["degraded"] == there["degraded"] == [], request
    one, two = ({item["item_id"]: item["score"] for item in answer["items"]} for answer in (here, there))
    assert len(one) == len(two), request
    assert [i["score"] for i in here["items"]] == pytest.approx(
        [i["score"] for i in there["items"]], abs=TOLERANCE
    ), request
    for item in one.keys() & two.keys():
        assert one[item] == pytest.approx(two[item], abs=TOLERANCE), (request, item)
    if len(one) == request.get("k", 60):
        cut = min(one.values())
        assert all(abs((one | two)[item] - cut) < 2 * TOLERANCE for item in one.keys() ^ two.keys()), request
    else:
        assert one.keys() == two.keys(), request


def test_items_by_content_and_changes_are_not_undone_by_the_feed_of_a_folder(
    rollout: Rollout, tmp_path: Path
) -> None:
    bundle, package = rollout.bundles[0], ("--package", rollout.package, "--endpoint", rollout.peer.url)
    new = {"id": "new/1", "title": "zenith blue hiking boots", "category": "Shoes > Hiking"}
    new |= {"picture": shop.picture_base64("blue"), "attributes": {"brand": "zenith", "price": 999.0}}
    with redis_server(tmp_path) as redis:
        groups: dict[str, Any] = {
            "index": {"engine": "vespa"},
            "server": {"admin_token": "hush"},
            "redis": {"url": redis.url, "timeout_ms": 2000},
        }
        no_changes = groups | {"vespa": {"url": rollout.peer.url}}
        with serving(make_settings(bundle.path, rollout.version_file(0), **no_changes)) as server:
            refused = httpx.put(
                f"{server.url}/items", json={"items": [new]}, headers={"authorization": "Bearer hush"}
            )
            assert (refused.status_code, "vespa.changes" in refused.json()["detail"]) == (501, True)
        groups["vespa"] = {"url": rollout.peer.url, "changes": True}
        with (
            serving(make_settings(bundle.path, rollout.version_file(0), **groups)) as server,
            httpx.Client(base_url=server.url, headers={"authorization": "Bearer hush"}, timeout=60) as client,
        ):

            def found(**filters: Any) -> set[str]:
                asked = {"query": new["title"], "k": 100, "filters": filters}
                return {item["item_id"] for item in client.post("/recall", json=asked).json()["items"]}

            put = client.put("/items", json={"items": [new, {**new, "id": "bad", "attributes": {"x": 1}}]})
            assert (put.status_code, put.json()["written"]) == (207, 1), put.text
            assert "new/1" in found(price={"gte": 900}, brand="zenith", category="shoes")
            history = {"history": [{"item_id": "new/1", "action": "order"}], "query": "boots"}
            assert client.post("/recall", json=history).json()["degraded"] == []
            cheaper = {"items": [{"id": "new/1", "attributes": {"price": 5.0}}, {"id": "nobody"}]}
            cheaper["items"][1]["attributes"] = {"price": 5.0}
            updated = client.post("/admin/index/update", json=cheaper).json()
            assert (updated["written"], updated["unknown"]) == (1, ["nobody"])
            assert client.post(
                "/admin/index/update", json={"items": [{"id": "i3", "attributes": {"price": 1}}]}
            )
            removed = client.post("/items/delete", json={"ids": ["i5", "nobody"]}).json()
            assert (removed["written"], removed["unknown"]) == (1, ["nobody"])
            for _ in range(2):
                assert found(price={"lte": 5}) == {"new/1", "i3"}
                assert "i5" not in found()
                assert "failed" not in mrse("vespa", "feed", rollout.embeddings[0], *package)
                # A folder that was fed is known by its journal, which is done: feed it once more, whole.
                rollout.embeddings[0].with_name("embeddings-0.feed.journal").unlink(missing_ok=True)
            assert client.delete("/items/new%2F1").json()["written"] == 1
            assert "new/1" not in found()


def test_the_clients_pass_their_cases(rollout: Rollout, tmp_path: Path) -> None:
    """Both clients pass the list of cases against Vespa's container as they do against the embedded index."""
    bundle = shop.bundle(tmp_path / "bundle", 3)
    embeddings = shop.write_embeddings(bundle, tmp_path / "embeddings", texts=True)
    package = ("--package", rollout.package)
    added = mrse("vespa", "add-version", embeddings, *package, "--titles")
    mrse("vespa", "deploy", *package, "--config-server", rollout.peer.config_url)
    mrse("vespa", "feed", embeddings, *package, "--endpoint", rollout.peer.url)
    with redis_server(tmp_path) as redis:
        mrse("produce", "items", embeddings, "--redis", redis.url)
        settings = make_settings(
            bundle.path,
            rollout.package / "versions" / f"{added['document_type']}.json",
            index={"engine": "vespa"},
            vespa={"url": rollout.peer.url},
            redis={"url": redis.url, "timeout_ms": 2000},
        )
        with serving(settings) as server:
            check_python(server.url)
            built = build_typescript(tmp_path)
            assert f"# pass {len(CASES)}\n" in run_node(built, "cases", MRSE_URL=server.url)


def test_blue_and_green_under_load_without_a_failed_request(rollout: Rollout, tmp_path: Path) -> None:
    config = tmp_path / "mrse.toml"
    at = ("--config-server", rollout.peer.config_url)
    package = ("--package", rollout.package)
    added = mrse("vespa", "add-version", rollout.embeddings[1], *package)
    assert added["document_type"] in {path.stem for path in (rollout.package / "versions").iterdir()}
    config.write_text(
        f"""[server]
port = 0
[bundle]
path = "{rollout.bundles[0].path}"
[index]
engine = "vespa"
path = "{rollout.version_file(0)}"
[vespa]
url = "{rollout.peer.url}"
[deadline]
default_ms = 10000
[experiments.towers.blue]
weight = 1.0
"""
    )
    arm = f"""[experiments.towers.green]
weight = 0.0
bundle = "{rollout.bundles[1].path}"
index = "{rollout.version_file(1)}"
"""
    old, new = (bundle.version for bundle in rollout.bundles)
    with running(config, tmp_path) as (process, url), load(url) as answers:
        assert {version for _, version, _ in wait_for_more(answers, 20)} == {old}
        mrse("vespa", "deploy", *package, *at)
        mrse("vespa", "feed", rollout.embeddings[1], *package, "--endpoint", rollout.peer.url)
        verified = mrse(
            "vespa",
            "verify",
            rollout.embeddings[1],
            *package,
            "--endpoint",
            rollout.peer.url,
            "--queries",
            "10",
        )
        assert verified["holds"], verified
        config.write_text(config.read_text() + arm)
        for weights, versions in (({"blue": 1, "green": 1}, {old, new}), ({"blue": 0, "green": 1}, {new})):
            pairs = [f"{name}={weight}" for name, weight in weights.items()]
            mrse("vespa", "switch", *pairs, "--config", config, "--pid", str(process.pid))
            wait_for(lambda expected=versions: applied(url) == expected)
            wait_for_more(answers, 8)  # those under way
            assert {version for _, version, _ in wait_for_more(answers, 60)} == versions
        # What the next start reads: the new version alone.
        promoted = config.read_text().partition("[experiments")[0]
        for before, after in (
            (rollout.bundles[0].path, rollout.bundles[1].path),
            (rollout.version_file(0), rollout.version_file(1)),
        ):
            promoted = promoted.replace(str(before), str(after))
        config.write_text(promoted)
        mrse("vespa", "drop", old, *package, *at, "--config", config)
        assert {version for _, version, _ in wait_for_more(answers, 20)} == {new}
    assert {status for status, _, _ in answers} == {200}
    for _, version, index in answers:
        assert index == f"item_{version.replace('-', '_')}", "an answer mixes bundle and index"


def applied(url: str) -> set[str]:
    """Bundle versions that get traffic, which are those that a stranger is told of."""
    content = httpx.get(f"{url}/version", timeout=10).json()
    return {stack["bundle"] for stack in content["towers"].values()}


class running:  # noqa: N801 -- reads as a statement
    """`mrse serve --config` in a process of its own; gives the process and its address."""

    def __init__(self, config: Path, folder: Path) -> None:
        import socket

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._config = config
        self._log = folder / "serve.log"

    def __enter__(self) -> tuple[subprocess.Popen[bytes], str]:
        command = [sys.executable, "-c", "from cli.main import main; main()", "serve"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--config", str(self._config), "--port", str(self._port)],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stderr=log,
            )
        url = f"http://127.0.0.1:{self._port}"
        wait_for(lambda: self._ready(url))
        return self._process, url

    def _ready(self, url: str) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def __exit__(self, *exception: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
