"""What is deployed, compared with a package before it takes its place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import build
from common.deadline import Deadline
from devtools.vespa_fakes.fault_server import FaultServer, answer
from index.vespa.errors import VespaError
from index.vespa.package.diff import compare, deployed
from index.vespa.package.layout import Layout
from index.vespa.package.render import application_folder, render
from index.vespa.settings import EndpointSettings
from index.vespa.version import Version

VERSION = Version("demo-0123abcd", 8, {"brand": "string"})
SCHEMA = f"schemas/{VERSION.document_type}.sd"
CONTENT = (
    "/application/v2/tenant/default/application/default/"
    "environment/prod/region/default/instance/default/content/"
)


def files(application: Path) -> dict[str, str]:
    return {
        path.relative_to(application).as_posix(): path.read_text()
        for path in application.rglob("*")
        if path.is_file()
    }


async def test_the_files_of_what_is_deployed_are_read() -> None:
    urls = [f"http://config:19071{CONTENT}{path}" for path in ("schemas/", "schemas/a.sd", "services.xml")]
    script = [answer(200, urls), answer(200, b"schema a {}"), answer(200, b"<services/>")]
    async with FaultServer(script) as server:
        found = await deployed(EndpointSettings((server.url,)), Deadline.after(10))
        asked = [request.path for request in server.requests]
    assert found == {"schemas/a.sd": "schema a {}", "services.xml": "<services/>"}
    assert asked == [CONTENT, f"{CONTENT}schemas/a.sd", f"{CONTENT}services.xml"]
    async with FaultServer([answer(404, {"error-code": "NOT_FOUND"})]) as server:
        assert await deployed(EndpointSettings((server.url,)), Deadline.after(10)) == {}
    async with FaultServer([answer(200, b"<html>")]) as server:
        with pytest.raises(VespaError):
            await deployed(EndpointSettings((server.url,)), Deadline.after(10))


def test_what_a_package_changes(tmp_path: Path) -> None:
    application = render(tmp_path, [VERSION], Layout())
    before = files(application)
    assert compare(application, before) == []
    added = before[SCHEMA].replace("brand type string", "marke type string")
    (change,) = compare(application, {**before, SCHEMA: added + "# a comment"})
    assert (change.file, change.kind, change.of_a_served_schema) == (SCHEMA, "changed", True)
    assert "+ field brand type string {" in str(change)
    gone = {name: text for name, text in before.items() if name != SCHEMA}
    found = compare(application, {**gone, "schemas/old.sd": "schema old {}"})
    assert [(each.file, each.kind) for each in found] == [(SCHEMA, "new"), ("schemas/old.sd", "gone")]
    assert not any(each.of_a_served_schema for each in found)


def test_other_rank_profiles_change_nothing_that_is_stored(tmp_path: Path) -> None:
    application = render(tmp_path, [VERSION], Layout())
    before = files(application)
    text = before[SCHEMA]
    start = text.index("rank-profile first")
    older = text[:start] + text[text.index("rank-profile related1") :]
    (change,) = compare(application, {**before, SCHEMA: older})
    assert (change.kind, change.of_a_served_schema) == ("changed", False)
    (change,) = compare(application, {**before, SCHEMA: older.replace("max-links-per-node: 16", "")})
    assert change.of_a_served_schema


async def test_a_schema_in_use_is_not_changed(tmp_path: Path) -> None:
    application = render(tmp_path, [VERSION], Layout())
    served = files(application)[SCHEMA].replace("brand type string", "marke type string")
    script = [answer(200, [f"http://c{CONTENT}{SCHEMA}"]), answer(200, served.encode())]
    async with FaultServer(script) as server:
        arguments = ["vespa", "deploy", "--package", str(tmp_path), "--config-server", server.url]
        done = await asyncio.to_thread(CliRunner().invoke, build(), arguments)
        assert [request.method for request in server.requests] == ["GET", "GET"]
    assert done.exit_code == 1
    assert "1 schema in use would change" in " ".join(done.stderr.split())
    assert application_folder(tmp_path) == application
