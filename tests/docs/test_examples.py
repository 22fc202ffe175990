"""Every example of `docs/reference/cli.md`, which are those of ``--help``, run over one small shop.

They run as they stand, but for sizes, addresses, and ids that the shop has. What comes to an end runs in this
process, for to start one takes longer than most of them; `test_walk.py` has the `mrse` of a terminal. The
page says who runs the others.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import onnxruntime
import pytest
from redis import Redis
from typer.testing import CliRunner

from artifacts.shop.shop import Shop
from cli.main import COMMANDS, build
from devtools.pages import FOLLOWED, ROOT, commands, examples
from devtools.redis import RedisServer, redis_server
from devtools.running import environment, running, sh
from devtools.waiting import free_port, wait_for
from models.synthetic import make_shop

pytestmark = pytest.mark.slow

PAGE = "docs/reference/cli.md"
ITEMS = 150
QUICK = "--set stage1.steps=5 --set stage2.steps=5 --set threads=1"
EXAMPLES = examples()
SMALLER = {
    "--items 4000": "--items 1000",
    "--preset demo --set image.epochs=40": "--preset tiny --set image.epochs=1",
}


class Desk:
    """A folder in which examples are run, each over what those before it left."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch

    def does(self, name: str, here: Mapping[str, str] | None = None, more: str = "", code: int = 0) -> str:
        """Run the example of a command; gives what it printed.

        Args:
            name: the command.
            here: what stands in the example, and what this machine has in its place.
            more: options that make it smaller.
            code: how it is to end.
        """
        words = shlex.split(f"{replaced(name, here)} {more}")
        assert words.pop(0) == "mrse"
        with self._patch.context() as patch:
            patch.chdir(self.folder)
            done = CliRunner().invoke(build(), words)
        # A string, since pytest shortens the parts of a tuple.
        assert done.exit_code == code, f"{words}: {done.output} {done.exception!r}"
        return done.stdout


def replaced(name: str, here: Mapping[str, str] | None = None) -> str:
    command = EXAMPLES[name].replace("\\\n", " ")
    for said, instead in (SMALLER | dict(here or {})).items():
        command = command.replace(said, instead)
    return command


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("examples"), pytest.MonkeyPatch())


@pytest.fixture(scope="module")
def shop(empty: Desk) -> Desk:
    """``shop/``: what the example makes, and then a smaller one, since no command makes one so small."""
    empty.does("shop make")
    shutil.rmtree(empty.folder / "shop")
    make_shop(empty.folder / "shop", items=ITEMS, seed=3)
    return empty


@pytest.fixture(scope="module")
def bundle(shop: Desk) -> Desk:
    """A run, and its bundle under the names that the examples have for it."""
    assert "trained on" in shop.does("train", more=QUICK)
    bundles = shop.folder / "bundles"
    shop.does("export")
    (made,) = bundles.iterdir()
    assert made.name.startswith("acme-")
    for name in ("acme-1a2b3c4d", "demo-1a2b3c4d"):
        (bundles / name).symlink_to(made.name)
    return shop


@pytest.fixture(scope="module")
def index(bundle: Desk) -> Desk:
    """``embeddings/`` and ``index/``."""
    bundle.does("embed")
    bundle.does("index build")
    return bundle


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


def test_every_example_is_in_the_test_that_is_to_run_it() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()
    own = set(re.findall(r'(?:does|replaced)\(\s*"([a-z -]+)"', Path(__file__).read_text()))
    blocks = [block for block in commands() if block.page == PAGE]
    assert len(blocks) == len(COMMANDS)
    for name, block in zip(EXAMPLES, blocks, strict=True):
        assert block.by is not None
        assert block.first == EXAMPLES[name].splitlines()[0]
        if block.by == FOLLOWED[PAGE]:
            assert name in own, name
        else:
            assert f'"{name}"' in (ROOT / block.by).read_text(), name


def test_what_needs_nothing(empty: Desk) -> None:
    assert "advised: Vespa" in empty.does("capacity")
    assert "mrse_" in empty.does("keys new")
    gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert "onnxruntime" in empty.does("doctor", code=0 if gpu else 1)


def test_a_shop_is_in_order_and_a_night_over_it_is_foreseen(shop: Desk) -> None:
    shop.does("check")
    (shop.folder / "mrse.toml").write_text("")
    (shop.folder / "release.toml").write_text(
        'shop = "shop"\nconfig = "mrse.toml"\nwork = "releases"\n[train]\n'
    )
    assert "train" in shop.does("release")
    assert not (shop.folder / "releases").exists()


def test_a_bundle_is_measured(index: Desk) -> None:
    assert "val split" in index.does("evaluate", more="--resamples 100")
    assert "<svg" in (index.folder / "report.html").read_text()
    index.does("diagnose", more="--sample 50")
    index.does("calibrate", more="--requests 50")
    assert (index.folder / "index.calibration").exists()


def test_an_index_is_changed_kept_and_mended(index: Desk) -> None:
    first, second, third, *_ = [item.id for item in Shop.open(index.folder / "shop").items()]
    (index.folder / "new-embeddings").symlink_to("embeddings")
    assert str(ITEMS) in index.does("index upsert")
    update = replaced("index update", {'"42"': f'"{third}"'})
    sh(update, index.folder, environment())
    assert "2" in index.does("index remove", {"42 43": f"{first} {second}"})
    index.does("index rebuild")
    index.does("index verify")
    index.does("index snapshot")
    index.does("index restore")
    sh(update, index.folder, environment())
    (log,) = (index.folder / "index").glob("base-*/changes.log")
    log.write_bytes(log.read_bytes()[:-1])
    assert "changes.log" in index.does("index verify", code=1)
    index.does("index repair")
    index.does("index verify")


def test_redis_is_filled_followed_and_a_user_forgotten(
    index: Desk, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"redis://localhost:6379/0": redis.url, "redis://localhost ": f"{redis.url} "}
    monkeypatch.setenv("MRSE_REDIS_URL", redis.url)  # for examples that name none
    index.does("produce queries", here, "--top 50")
    index.does("produce portraits", here)
    index.does("produce items", here)
    (item, *_) = [item.id for item in Shop.open(index.folder / "shop").items()]
    now = datetime.now(UTC)
    with Redis.from_url(redis.url, decode_responses=True) as client:
        for ago in range(3):
            entry = {
                "user": "u42",
                "item": item,
                "action": "click",
                "ts": (now - timedelta(minutes=ago)).isoformat(),
            }
            client.xadd("behaviours", entry)
        port = free_port()
        follow = replaced("produce follow", here | {"9108": str(port)})
        with running(f"exec {follow}", index.folder, port, environment()):
            told = f"http://127.0.0.1:{port}/metrics"
            wait_for(lambda: "mrse_follow_processed_total 3.0" in httpx.get(told).text, 300)
        index.does("produce popular", here)
        change = json.loads((index.folder / "new.jsonl").read_text())
        assert change["id"] == item
        index.does("produce forget", here)
        assert client.xlen("behaviours") == 0


def test_it_is_served_and_asked(index: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with running("exec " + replaced("serve", {"8080": str(port)}), index.folder, port, environment()):
        monkeypatch.setenv("MRSE_URL", f"http://127.0.0.1:{port}")
        assert "q2i ok" in index.does("recall", more="--timeout-ms 10000")
