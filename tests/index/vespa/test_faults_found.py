"""Faults that trials of the client, the feeder and their pages found, by the numbers that they have there.

Each test fails where its fault is planted again. Others of the list have theirs beside the code at fault.
"""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from artifacts.attributes import AttributeKind
from cli.main import build
from common.deadline import Deadline
from devtools.embeddings import make_embeddings
from devtools.vespa_fakes.document_server import DocumentServer
from devtools.vespa_fakes.fault_server import FaultServer, answer
from index.changes import ChangeRefused, ItemUpdate, WritableIndex
from index.filters import parse_filter
from index.vespa import names, yql
from index.vespa.answer import Answer
from index.vespa.client import VespaIndex
from index.vespa.engine import VespaConnection, VespaEngine
from index.vespa.feed.changes import ChangesSource
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.operations import ItemRefused, Operations
from index.vespa.package.schema import render_schema
from index.vespa.query import QueryBuilder
from index.vespa.values import stored_values
from index.vespa.version import Version
from tests.index.vespa import answers
from tests.index.vespa.answers import VERSION, settings
from tests.index.vespa.package import sd

ROOT = Path(__file__).parents[3]
ROWS = np.eye(3, 8, dtype=np.float32)
#: Vespa's own soft time-out, a share of the time-out: a graph search that ends there leaves none for ranking.
SOFT_TIMEOUT = 0.7


def soon() -> Deadline:
    return Deadline.after(20)


async def test_b8_the_graph_s_time_is_one_share_and_what_it_cuts_is_told() -> None:
    make = QueryBuilder(VERSION)
    for body in (
        make.nearest(ROWS[0], 10, None, 0.2),
        make.first(ROWS[0], 10, None, 0.2, (), 3),
        make.related(ROWS, ROWS[0], 31, 93, None, 0.2),
        make.pictures(ROWS[0], 10, None, 0.2),
    ):
        # A budget of each operator adds up over several of them, and says nothing where it cuts.
        assert "budget" not in json.dumps(body)
        assert body["ranking.matching.anntimeout.enable"] == "true"
        assert float(str(body["ranking.matching.anntimeout.factor"])) < SOFT_TIMEOUT
    cut = {**answers.COVERAGE, "coverage": 60, "full": False, "degraded": {"anntimeout": True}}
    script = [answer(200, answers.root(answers.HITS, coverage=cut))]
    async with FaultServer(script) as server, VespaIndex(settings(server.url)) as index:
        (found,) = await index.search(ROWS[:1], 3, None, soon())
    assert (found.coverage, found.degraded) == (0.6, ("anntimeout",))


@pytest.mark.parametrize("kind", ["string", "number", "bool", "list"])
def test_b15_an_attribute_named_position_is_a_field_of_another_name(kind: AttributeKind) -> None:
    version = Version("odd-0123abcd", 8, {"position": kind})
    (schema,) = sd.parse(render_schema(version)).named("schema")
    (document,) = schema.named("document")
    fields = {block.words[1] for block in document.named("field")}
    assert "position" not in fields
    assert names.field_name("position") in fields


@pytest.mark.parametrize(
    ("stored", "asked"), [("\ue000", ""), ("", "\ue000"), ("\ufffd", "\x00"), ("a\ufffd", "a\ufffe")]
)
def test_b21_no_string_is_taken_for_another(stored: str, asked: str) -> None:
    item = Operations(VERSION).put("a", ROWS[0], {"brand": stored, "tags": [stored]}, 1)
    for name, held in (("brand", item.fields["brand"]), ("tags", item.fields["tags"][0])):
        for value, found in ((stored, True), (asked, False)):
            filters = parse_filter({name: value}, VERSION.attributes)
            assert filters is not None
            assert (yql.where(filters) == f"{name} contains {yql.string_literal(held)}") is found
    read = stored_values(
        answers_of("a", item.fields), ["a"], ["brand", "tags"], {"brand": "string", "tags": "list"}
    )
    assert read.values == {"brand": [stored], "tags": [[stored]]}


def answers_of(item: str, fields: dict[str, Any]) -> Answer:
    return Answer([{"fields": {**fields, "item_id": item}}], 1, 1.0, ())


@pytest.mark.parametrize("item", [".", ".."])
async def test_b22_no_change_is_sent_to_the_address_of_all_documents(item: str, tmp_path: Path) -> None:
    make = Operations(VERSION)
    for change in (
        lambda: make.put(item, ROWS[0], {}, 1),
        lambda: make.update(item, {"price": 1.0}, 1),
        lambda: make.remove(item, 1),
    ):
        with pytest.raises(ItemRefused, match="cannot have the id"):
            change()
    async with DocumentServer() as server:
        index = opened(server.url, tmp_path, changes=True)
        with pytest.raises(ChangeRefused):
            await index.remove(["good", item], soon())
        assert server.served == 0
        await index.close()


@pytest.mark.parametrize("item", ["%2e", "%2E%2E", "a/..", "../..", "...", "a/./b", "?selection=true"])
async def test_b22_ids_that_look_like_paths_reach_their_own_document(item: str, tmp_path: Path) -> None:
    make = Operations(VERSION)
    changes = tmp_path / "changes.jsonl"
    changes.write_text(json.dumps({"id": item, "vector": ROWS[0].tolist()}))
    async with DocumentServer() as server:
        report = await feed(settings(server.url), ChangesSource(changes), Journal(None, "changes", 7))
        assert report.complete
        assert server.documents.keys() == {item}
    path = make.request(make.remove(item, 1), 1.0).path.partition("?")[0]
    assert path.count("/") == "/document/v1/mrse/item/docid/id".count("/")


@pytest.mark.parametrize("feed_ver", [0, -1, 1 << 63, 1 << 70])
async def test_b23_a_removal_of_a_version_that_no_long_holds_is_not_sent(
    feed_ver: int, tmp_path: Path
) -> None:
    changes = tmp_path / "changes.jsonl"
    changes.write_text(json.dumps({"id": "a", "remove": True, "feed_ver": feed_ver}))
    async with DocumentServer() as server:
        report = await feed(settings(server.url), ChangesSource(changes), Journal(None, "changes", 7))
        assert server.served == 0
    assert not report.complete
    assert "feed_ver" in report.failures[0].reason


def test_b27_pages_say_how_vespa_is_reached_and_what_differs() -> None:
    """The keys of the page's table are those that open an index, and compose does what the pages say."""
    many = (ROOT / "docs" / "vespa.md").read_text(encoding="utf-8")
    table = re.search(r"```toml\n(.*?)```", many, re.DOTALL)
    assert table

    told = tomllib.loads(table[1])
    assert told["index"]["engine"] == VespaEngine.name
    assert re.fullmatch(r".*/versions/item_\w+\.json", told["index"]["path"])
    assert "--index" in table[1]
    assert VespaConnection(**told["vespa"]).url
    assert "MRSE_VESPA_URL" in table[1]
    differs = " ".join(many.split())
    assert "histories come from Redis" in differs

    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    of_vespa = {name for name, each in services.items() if "vespa" in each.get("profiles", ())}
    assert of_vespa == {"vespa", "recall-vespa"}
    asked = services["recall-vespa"]["command"]
    for option in ("--vespa", "--config-server"):
        assert asked[asked.index(option) + 1].startswith("http://vespa:")
    for page in ("README.md", "docs/vespa.md", "vespa_app/README.md"):
        for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
            if "docker compose" in line and re.search(r"\bup\b", line) and "vespa" in line.lower():
                assert "--profile vespa" in line, line


def opened(url: str, folder: Path, *, changes: bool) -> WritableIndex | Any:
    path = folder / "versions" / f"{VERSION.document_type}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(VERSION.to_json())
    found = VespaEngine().open(path, VespaConnection(url=url, changes=changes), queue=1)
    assert (found.writable is not None) == changes
    assert changes or "vespa.changes" in found.unwritable
    return found.index


async def test_b28_a_service_over_vespa_takes_changes(tmp_path: Path) -> None:
    async with DocumentServer() as server:
        await opened(server.url, tmp_path, changes=False).close()
        index = opened(server.url, tmp_path, changes=True)
        await index.update([ItemUpdate("a", {"price": 2.0})], soon())
        with Ledger.of(tmp_path, VERSION.document_type) as kept:
            assert kept.newer(["a"], 0)["a"].attributes["price"][1] == 2.0
        await index.close()


async def test_b28_changes_reach_every_version_in_one_run_without_the_folders(tmp_path: Path) -> None:

    package = tmp_path / "package"
    for name in ("blue", "green"):
        make_embeddings(tmp_path / name, rows=1, bundle_version=f"{name}-0123abcd")
        assert mrse("add-version", tmp_path / name, "--package", package) == 0
    vectors = {f"{name}-0123abcd": [1.0] + [0.0] * 127 for name in ("blue", "green")}
    changes = tmp_path / "changes.jsonl"
    changes.write_text(json.dumps({"id": "a", "vectors": vectors}))
    async with DocumentServer(by_type=True) as server:
        fed = ("feed", "--package", package, "--endpoint", server.url, "--changes", changes)
        assert await asyncio.to_thread(mrse, *fed) == 0
        assert server.documents.keys() == {"item_blue_0123abcd/a", "item_green_0123abcd/a"}


def mrse(*arguments: object) -> int:
    return CliRunner().invoke(build(), ["vespa", *map(str, arguments)]).exit_code
