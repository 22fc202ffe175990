"""A folder as lines for Vespa's own client: fed in any order beside changes, all ends as it should."""

from __future__ import annotations

import asyncio
import io
import json
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from artifacts.embeddings import EmbeddingsFolder
from cli.main import build
from common.errors import NOT_IN_ORDER
from devtools.embeddings import make_embeddings, random_items, unit_vectors
from devtools.vespa_fakes.document_server import DocumentServer
from devtools.vespa_fakes.fault_server import Request
from devtools.vespa_fakes.feed_process import FEED, settings_for
from index.vespa.feed import document_lines
from index.vespa.feed.changes import ChangesSource
from index.vespa.feed.document_lines import write_lines
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.ledger import FeedRefused, Ledger
from index.vespa.feed.source import EmbeddingsSource
from index.vespa.version import Version

VECTOR = [1.0] + [0.0] * 127
FOLDER = 1000


def carry_out(server: DocumentServer, line: bytes) -> int:
    """What Vespa's client does with a line: sends it, once."""
    said = orjson.loads(line)
    kind = next(kind for kind in ("put", "update", "remove") if kind in said)
    parameters = {"condition": said["condition"]} | ({"create": "true"} if said.get("create") else {})
    method = {"put": "POST", "update": "PUT", "remove": "DELETE"}[kind]
    body = orjson.dumps({"fields": said.get("fields", {})})
    namespace, document_type, item = said[kind].removeprefix("id:").split(":", 2)
    assert (namespace, item[:1]) == ("mrse", ":"), document_type
    return server.store(item[1:], Request(method, "", parameters, {}, body))[0]


async def test_changes_before_and_while_lines_are_fed_hold_once_the_rest_is_sent(tmp_path: Path) -> None:
    rng = random.Random(3)
    folder = EmbeddingsFolder.open(make_embeddings(tmp_path / "embeddings", rows=40))
    ledger = Ledger()
    columns = next(folder.batches(["id", "price"], 40))
    expected = dict(zip(columns["id"], columns["price"], strict=True))
    async with DocumentServer() as server:
        settings = settings_for(server.url, folder)

        async def change(count: int, at: int) -> None:
            lines = []
            for number in range(count):
                item = f"item-{rng.randrange(44)}"
                match rng.randrange(3):
                    case 0:
                        lines.append({"id": item, "remove": True})
                        expected.pop(item, None)
                    case 1:
                        lines.append({"id": item, "vector": VECTOR, "attributes": {"price": at + number}})
                        expected[item] = float(at + number)
                    case _:
                        lines.append({"id": item, "attributes": {"price": at + number}})
                        if item in expected:
                            expected[item] = float(at + number)
            path = tmp_path / f"changes-{at}.jsonl"
            path.write_text("\n".join(map(json.dumps, lines)))
            report = await feed(settings, ChangesSource(path, ledger), Journal(None, "changes", at))
            assert report.complete

        await change(20, 2000)
        out = io.BytesIO()
        source = EmbeddingsSource(folder, ledger)
        written = write_lines(source, settings.version, FOLDER, out)
        assert (written.written, written.refused) == (40, set())
        lines = out.getvalue().splitlines()
        rng.shuffle(lines)
        for start in range(0, 40, 10):
            await change(10, 3000 + 100 * start)
            for line in lines[start : start + 10]:
                assert carry_out(server, line) in (200, 412)
        rest = EmbeddingsSource(folder, ledger)
        journal = Journal(None, "fed", FOLDER, low=rest.total)
        assert (await feed(settings, rest, journal, feeding=FEED)).complete
        assert {item: each.get("price") for item, each in server.documents.items()} == expected


async def test_the_commands_write_lines_and_send_the_rest(tmp_path: Path) -> None:

    vectors = unit_vectors(4, 128)
    vectors[2] = 0
    items = random_items(4)
    items[3]["id"] = "a/..?b#c:: d"
    make_embeddings(tmp_path / "embeddings", items=items, vectors=vectors)
    package, out = tmp_path / "package", tmp_path / "items.jsonl"
    where: tuple[Any, ...] = (tmp_path / "embeddings", "--package", package)
    assert mrse("add-version", *where)[0] == 0
    code, said = mrse("feed", *where, "--endpoint", "http://127.0.0.1:1", "--fed")
    assert (code, "mrse vespa lines" in said) == (1, True)
    code, said = mrse("lines", *where, "--out", out)
    assert code == NOT_IN_ORDER
    assert "item-2: row 0 is zero and has no direction" in said
    assert "wrote 3 items, refused 1" in said
    async with DocumentServer() as server:
        for line in out.read_bytes().splitlines():
            assert carry_out(server, line) == 200
        assert server.documents.keys() == {"item-0", "item-1", "a/..?b#c:: d"}
        (tmp_path / "changes.jsonl").write_text('{"id": "item-0", "remove": true}')
        at = ("--package", package, "--endpoint", server.url)
        changed = ("feed", *at, "--changes", tmp_path / "changes.jsonl")
        assert (await asyncio.to_thread(mrse, *changed))[0] == 0
        # As a line does that comes late.
        carry_out(server, out.read_bytes().splitlines()[0])
        assert "item-0" in server.documents
        code, said = await asyncio.to_thread(mrse, "feed", *where, "--endpoint", server.url, "--fed")
        assert (code, server.documents.keys()) == (0, {"item-1", "a/..?b#c:: d"}), said
    with Ledger.of(package, "item_demo_00000000") as ledger:
        assert (ledger.complete, ledger.refused) == (True, {"item-2"})


def test_a_folder_of_which_much_cannot_be_fed_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_lines, "_MOST_REFUSED", 2)
    vectors = unit_vectors(4, 128)
    vectors[:3] = 0
    make_embeddings(tmp_path / "embeddings", items=random_items(4), vectors=vectors)
    folder = EmbeddingsFolder.open(tmp_path / "embeddings")
    source = EmbeddingsSource(folder)
    with pytest.raises(FeedRefused, match="over 2 items cannot be fed, such as item-2: row 0 is zero"):
        write_lines(source, Version.from_embeddings(folder), FOLDER, io.BytesIO())


def mrse(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(build(), ["vespa", *map(str, arguments)])
    return done.exit_code, " ".join(done.output.split())
