"""The index's commands, and the admin API over it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from artifacts.embeddings import EmbeddingsError
from cli.main import build as commands
from common.deadline import Deadline
from common.errors import MrseError
from devtools.embeddings import make_embeddings, random_items, unit_vectors
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.store import ChangesHeld
from index.filters import parse_filter
from service.http import admin, problems
from service.http.middleware import Observe
from service.runtime import Runtime
from service.settings import load_settings

DIM = 16
VECTOR = unit_vectors(1, DIM, seed=9)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_embeddings(tmp_path / "e", rows=20, dim=DIM, expert_dim=8)
    build_index(tmp_path / "e", tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture
async def index(folder: Path) -> AsyncIterator[EmbeddedIndex]:
    opened = EmbeddedIndex.open(folder)
    yield opened
    await opened.close()


async def found(index: EmbeddedIndex, raw: dict[str, Any]) -> list[str]:
    parsed = parse_filter(raw, index.attributes)
    (answer,) = await index.search(VECTOR[None, :], 100, parsed, Deadline.after(60))
    return answer.ids


def run(*arguments: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(commands(), ["index", *map(str, arguments), "--json"])
    if isinstance(result.exception, MrseError):  # `cli.main` makes a line and an exit code of it
        assert result.exception.exit_code == code
        return str(result.exception)
    assert result.exit_code == code, (result.output, result.exception)
    return json.loads(result.stdout) if code == 0 else result.stderr


async def test_commands_beside_an_open_index(folder: Path, tmp_path: Path, index: EmbeddedIndex) -> None:
    # asyncio.run within the commands needs a thread without a running loop.
    import asyncio

    items = [{**item, "id": f"item-{row}", "brand": "Fresh"} for row, item in enumerate(random_items(25, 3))]
    new = make_embeddings(tmp_path / "new", items=items, dim=DIM, expert_dim=8)
    told = await asyncio.to_thread(run, "upsert", folder, new)
    assert (told["written"], told["unknown"]) == (25, [])
    assert len(await found(index, {"brand": "fresh"})) == 25

    changes = tmp_path / "changes.jsonl"
    changes.write_text('{"id": "item-3", "price": 7.25, "brand": null}\n\n{"id": "nobody", "price": 1}\n')
    told = await asyncio.to_thread(run, "update", folder, changes)
    assert (told["written"], told["unknown"]) == (1, ["nobody"])
    assert await found(index, {"price": 7.25}) == ["item-3"]
    assert len(await found(index, {"brand": "fresh"})) == 24

    (tmp_path / "ids").write_text("item-4\nitem-5\n")
    told = await asyncio.to_thread(run, "remove", folder, "item-3", "--from", tmp_path / "ids")
    assert told["written"] == 3
    assert (await index.stats()).items == 22

    told = await asyncio.to_thread(run, "rebuild", folder)
    assert told["rows"] == 22
    assert (await index.stats()).items == 22
    assert index.version == told["index_version"]


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "1: not JSON"), ("[1]", "expected an object"), ('{"id": 4}', "an id that is a string")],
)
def test_changes_that_cannot_be_read(folder: Path, tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "changes").write_text(line)
    said = run("update", folder, tmp_path / "changes", code=2)
    assert message in said
    (tmp_path / "changes").write_text('{"id": "item-1", "price": "dear"}')
    assert "price is a number" in run("update", folder, tmp_path / "changes", code=2)
    assert "name the ids" in run("remove", folder, code=2)


def test_embeddings_of_another_bundle_are_refused(folder: Path, tmp_path: Path) -> None:
    other = make_embeddings(
        tmp_path / "other", rows=2, dim=DIM, expert_dim=8, bundle_version="other-11111111"
    )
    result = CliRunner().invoke(commands(), ["index", "upsert", str(folder), str(other)])
    assert isinstance(result.exception, EmbeddingsError)
    assert "is of bundle other-11111111, the index of demo-00000000" in str(result.exception)


def test_building_anew_refuses_to_lose_changes(folder: Path, tmp_path: Path) -> None:
    again = (folder.parent / "e", "--out", folder)
    run("build", *again)  # nothing was changed, so nothing is lost
    run("remove", folder, "item-3", "item-4")
    said = run("build", *again, code=1)
    assert "holds 2 changes" in said
    assert f"mrse index rebuild {folder}" in said
    assert "--force" in said
    assert run("rebuild", folder)["rows"] == 18
    # What a rebuild wrote into the base is no less lost, and the embeddings do not hold it.
    run("remove", folder, "item-5")
    run("rebuild", folder)
    said = run("build", *again, code=1)
    assert "holds 3 changes" in said
    assert "mrse index rebuild" not in said
    assert run("build", *again, "--force")["rows"] == 20
    run("remove", folder, "item-3")
    assert "holds 1 change made since" in run("build", *again, code=1)


def test_changes_made_while_an_index_is_built_anew_are_not_lost(folder: Path) -> None:
    def change(done: int, total: int | None) -> None:
        if not changed:
            changed.append(run("remove", folder, "item-3"))

    changed: list[Any] = []
    with pytest.raises(ChangesHeld):
        build_index(folder.parent / "e", folder, change)
    assert len(changed) == 1
    assert run("rebuild", folder)["rows"] == 19


@pytest.mark.parametrize("command", ["update", "remove"])
def test_nothing_written_is_not_in_order(folder: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "changes").write_text('{"id": "nobody", "price": 1}\n')
    what = tmp_path / "changes" if command == "update" else "nobody"
    for form in ([], ["--json"]):
        result = CliRunner().invoke(commands(), ["index", command, str(folder), str(what), *form])
        assert result.exit_code == 1
        assert "nobody" in result.stdout


def test_verify_and_repair(folder: Path) -> None:
    assert run("verify", folder)["damaged"] == []
    run("remove", folder, "item-3", "item-4")
    run("remove", folder, "item-5")
    assert "is whole" in run("repair", folder, code=1)
    (log,) = folder.glob("base-*/changes.log")
    content = log.read_bytes()
    log.write_bytes(content[:-1])
    result = CliRunner().invoke(commands(), ["index", "verify", str(folder)])
    assert result.exit_code == 1
    assert "changes.log: ends early" in result.stdout
    assert "mrse index repair" in run("remove", folder, "item-6", code=2)
    assert "2 changes can be read, 1 change would be lost; --accept-loss" in run("repair", folder, code=1)
    assert log.read_bytes() == content[:-1]
    told = run("repair", folder, "--accept-loss")
    assert (told["kept"], told["lost"]) == (2, 1)
    assert (Path(told["aside"]) / log.name).read_bytes() == content[:-1]
    assert run("rebuild", folder)["rows"] == 18


def test_snapshot_and_restore(folder: Path, tmp_path: Path) -> None:
    run("remove", folder, "item-3")
    run("snapshot", folder, tmp_path / "snapshot")
    run("remove", folder, "item-4")
    assert "--force puts the snapshot" in run("restore", tmp_path / "snapshot", folder, code=1)
    run("restore", tmp_path / "snapshot", folder, "--force")
    assert run("rebuild", folder)["rows"] == 19
    told = run("restore", tmp_path / "snapshot", tmp_path / "another")
    assert told["rows"] == 20
    assert run("verify", tmp_path / "another")["damaged"] == []


@pytest.fixture
async def client(index: EmbeddedIndex) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.state.runtime = runtime = Runtime(load_settings(None, {"server": {"admin_token": "secret"}}))
    runtime.ready = True
    runtime.deployments = {"control": SimpleNamespace(writable=index, shape=(3, 8))}
    app.router.routes += admin.routes()
    app.add_middleware(Observe, metrics=runtime.metrics, lines=None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as opened:
        opened.headers["authorization"] = "Bearer secret"
        yield opened


def changed(written: int, *unknown: str) -> dict[str, object]:
    arm = {"written": written, "unknown": list(unknown)}
    return {**arm, "towers": {"control": arm}}


async def test_admin_changes(client: httpx.AsyncClient, index: EmbeddedIndex) -> None:
    halves = base64.b64encode(VECTOR.astype("<f2").tobytes()).decode()
    features = np.arange(24, dtype="<f2")
    items = [
        {"id": "one", "vector": VECTOR.tolist(), "category": "Bags", "attributes": {"brand": "Fresh"}},
        {"id": "two", "vector": halves, "features": base64.b64encode(features.tobytes()).decode()},
    ]
    answer = await client.post("/admin/index/upsert", json={"items": items})
    assert (answer.status_code, answer.json()) == (200, changed(2))
    assert (await found(index, {}))[:2] in (["one", "two"], ["two", "one"])
    _, stored = await index.features(["two"], Deadline.after(60))
    np.testing.assert_array_equal(stored.ravel(), features)

    changes = {"items": [{"id": "one", "attributes": {"price": 3}}, {"id": "nobody", "attributes": {}}]}
    answer = await client.post("/admin/index/update", json=changes)
    assert answer.json() == changed(1, "nobody")
    assert await found(index, {"price": 3, "brand": "fresh"}) == ["one"]

    answer = await client.post("/admin/index/remove", json={"ids": ["one", "nobody"]})
    assert answer.json() == changed(1, "nobody")
    assert await found(index, {"brand": "fresh"}) == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("upsert", {"items": [{"id": "x", "vector": [1.0]}]}, 422),
        ("upsert", {"items": [{"id": "x", "vector": "?"}]}, 422),
        ("upsert", {"items": [{"id": "x", "vector": VECTOR.tolist(), "features": [1.0]}]}, 422),
        ("upsert", {"items": [{"id": "x"}]}, 422),
        ("upsert", {"stuff": 1}, 422),
        ("update", {"items": [{"id": "item-1", "attributes": {"colour": "red"}}]}, 422),
        ("remove", {"ids": ["x"] * 1001}, 422),
        ("remove", "[", 400),
    ],
)
async def test_admin_refuses(client: httpx.AsyncClient, path: str, body: Any, status: int) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = await client.post(f"/admin/index/{path}", content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == problems.MEDIA_TYPE


@pytest.mark.parametrize("price", [2**53 + 1, 2**63, 2**70])
async def test_admin_refuses_a_number_that_cannot_be_kept(
    client: httpx.AsyncClient, index: EmbeddedIndex, price: int
) -> None:
    body = json.dumps({"items": [{"id": "item-1", "attributes": {"price": price}}]})
    answer = await client.post("/admin/index/update", content=body)
    assert answer.status_code == 422, answer.text
    assert "+" not in index.version


async def test_admin_tells_of_a_full_disk(client: httpx.AsyncClient, index: EmbeddedIndex) -> None:
    index._live._reserve = 1 << 60
    answer = await client.post("/admin/index/remove", json={"ids": ["item-1"]})
    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/insufficient-storage")
    assert (await index.stats()).items == 20


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong", "Basic secret", "Bearer sécret"])
async def test_admin_needs_the_token(client: httpx.AsyncClient, token: str) -> None:
    headers = {"authorization": token.encode("latin-1")}
    answer = await client.post("/admin/index/remove", json={"ids": ["item-1"]}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
