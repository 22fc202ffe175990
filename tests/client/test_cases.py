"""Both clients pass the list of cases against the embedded index, and change items through the service."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import httpx
import pytest

from artifacts.bundle import Bundle
from mrse_client import AccessDenied, Client, InvalidRequest, NewItem
from tests.support.clients import CASES, check_python, run_node
from tests.support.serving import Server, make_settings, serving

NEW: NewItem = {
    "id": "new/1",
    "title": "zenith blue hiking boots",
    "category": "Shoes > Hiking",
    "attributes": {"price": 81.5, "in_stock": True},
}


def test_python(server: Server) -> None:
    check_python(server.url)


def test_typescript(server: Server, typescript: Path) -> None:
    said = run_node(typescript, "cases", MRSE_URL=server.url)
    assert f"# pass {len(CASES)}\n" in said


def test_items_are_put_found_and_taken_out(made: tuple[Bundle, Path], tmp_path: Path) -> None:
    bundle, index = made
    settings = make_settings(
        bundle.path, copytree(index, tmp_path / "index"), server={"admin_token": "h" * 32}
    )
    with serving(settings) as server:
        with Client(server.url, timeout_ms=10_000) as stranger, pytest.raises(AccessDenied) as denied:
            stranger.put_items([NEW])
        assert denied.value.status == 401
        with Client(server.url + "/", key="h" * 32, timeout_ms=10_000) as client:
            assert client.put_items([NEW])["written"] == 1
            found = client.recall(query="zenith blue hiking boots", k=60)["items"]
            assert "new/1" in [item["item_id"] for item in found]
            assert client.similar("new/1", k=1)["items"]
            assert client.put_item("new/1", {"title": "acme red tea cup"})["written"] == 1
            with pytest.raises(InvalidRequest) as refused:
                client.put_item("new/1", {"title": "cup", "picture": "AAAA"})
            assert refused.value.errors[0].field == "picture"
            assert client.delete_item("new/1")["written"] == 1
            assert client.delete_items(["new/1"])["unknown"] == ["new/1"]
            assert client.version()["ready"]
            with pytest.raises(Exception, match="501 not-taken"):
                client.add_events([{"user_id": "u", "item_id": "i1", "action": "click"}])


def test_what_the_service_compresses_is_read(made: tuple[Bundle, Path]) -> None:
    bundle, index = made
    with serving(make_settings(bundle.path, index, server={"compress_from": 1024})) as server:
        with httpx.Client(base_url=server.url) as bare:
            plain = bare.post("/v1/recall", json={"query": "shoes", "k": 60}).headers
            assert plain["content-encoding"] in ("gzip", "zstd")
        with Client(server.url, timeout_ms=10_000) as client:
            columns = client.recall_columns(query="shoes", k=60)
            assert len(columns.item_id) == 60
            assert columns.score.dtype == "float64"
            assert columns.sources.item.max() == 59
