"""The engine opens a client of a version, or says what is wrong with its settings."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.deadline import Deadline
from devtools.vespa_fakes.fault_server import FaultServer, answer
from index.engine import IndexOpenError
from index.vespa.engine import VespaConnection, VespaEngine
from index.vespa.settings import EndpointSettings, SearchSettings, ShadowSettings
from tests.index.vespa.answers import GOOD, VERSION

QUERY = np.eye(1, 8, dtype=np.float32)


@pytest.fixture
def version_file(tmp_path: Path) -> Path:
    path = tmp_path / f"{VERSION.document_type}.json"
    path.write_text(VERSION.to_json())
    return path


async def test_a_version_is_opened(version_file: Path) -> None:
    settings = VespaConnection(url="http://a:8080, http://b:8080/")
    opened = VespaEngine().open(version_file, settings, queue=1)
    assert opened.index.version == VERSION.document_type
    assert opened.index.bundle_version == VERSION.bundle_version
    assert opened.check is not None
    assert (opened.features, opened.writable) == (None, None)
    await opened.index.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "set MRSE_VESPA_URL"),
        ({"url": "vespa:8080"}, "not the URL of an endpoint"),
        ({"url": " , "}, "no Vespa endpoint"),
        ({"url": "http://a", "token": "secret"}, "in the clear"),
        ({"url": "https://a", "certificate": "a.pem"}, "both or neither"),
        ({"url": "https://a", "ca": "/missing.pem"}, "No such file"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], words: str, version_file: Path) -> None:
    with pytest.raises(IndexOpenError, match=words):
        VespaEngine().open(version_file, VespaConnection(**settings), queue=1)


def test_a_version_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IndexOpenError, match=r"index .*missing\.json"):
        VespaEngine().open(tmp_path / "missing.json", VespaConnection(url="http://a"), queue=1)


async def test_every_key_of_the_table_reaches_the_client(version_file: Path) -> None:
    async with FaultServer([answer(200, GOOD)]) as server:
        settings = VespaConnection(
            url=server.url, connections=3, target_hits_least=50, explore_additional_hits=7, graph_share=0.3
        )
        async with VespaEngine().open(version_file, settings, queue=1).index as index:  # type: ignore[attr-defined]
            await index.search(QUERY, 10, None, Deadline.after(5))
        sent = server.requests[0].json
    assert "{targetHits:50, hnsw.exploreAdditionalHits:7}" in sent["yql"]
    assert sent["ranking.matching.anntimeout.factor"] == "0.300"
    names = {field.name for group in (EndpointSettings, SearchSettings) for field in fields(group)}
    names |= {f"shadow_{field.name}" for field in fields(ShadowSettings)}
    renamed = {"urls": "url", "breaker_pause": "breaker_pause_s"}
    renamed |= {"shadow_every": "shadow_every_s", "shadow_timeout": "shadow_timeout_s"}
    assert {renamed.get(name, name) for name in names} | {"changes"} == VespaConnection.model_fields.keys()


@pytest.mark.parametrize("profiles", [1, 2])
def test_what_is_asked_together_is_asked_of_packages_that_have_it(version_file: Path, profiles: int) -> None:
    told = json.loads(version_file.read_text())
    version_file.write_text(json.dumps(told | {"profiles": profiles}))
    opened = VespaEngine().open(version_file, VespaConnection(url="http://a"), queue=1)
    assert opened.far is (opened.index if profiles >= 2 else None)


def test_a_default_stands_once() -> None:
    table, endpoints = VespaConnection(url="http://a"), EndpointSettings(urls=("http://a",))
    assert (endpoints.connections, endpoints.breaker_pause) == (table.connections, table.breaker_pause_s)
    assert SearchSettings().graph_share == table.graph_share
    assert ShadowSettings().every == table.shadow_every_s
