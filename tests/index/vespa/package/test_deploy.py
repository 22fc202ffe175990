"""Deploying: what goes to the config server, and what its answers mean."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from common.deadline import Deadline
from devtools.vespa_fakes.fault_server import FaultServer, answer
from index.vespa.errors import Unreachable
from index.vespa.package.deploy import DeployRefused, NotConverged, deploy, package_zip
from index.vespa.package.layout import Layout
from index.vespa.package.render import render
from index.vespa.settings import EndpointSettings
from index.vespa.version import Version

ACTIVATED = {
    "session-id": "7",
    "tenant": "default",
    "log": [{"level": "INFO", "message": "x"}, {"level": "WARNING", "message": "old syntax"}],
    "configChangeActions": {
        "restart": [{"messages": ["threads changed"]}],
        "refeed": [],
        "reindex": [],
    },
}


def converged(generation: int, now: bool = True) -> dict[str, object]:
    return {"converged": now, "wantedGeneration": generation, "currentGeneration": generation if now else 1}


@pytest.fixture
def application(tmp_path: Path) -> Path:
    return render(tmp_path, [Version("demo-0123abcd", 8, {"brand": "string"})], Layout())


async def test_a_package_is_posted_and_waited_for(application: Path) -> None:
    script = [answer(200, ACTIVATED), answer(200, converged(7, now=False)), answer(200, converged(7))]
    async with FaultServer(script) as server:
        done = await deploy(EndpointSettings((server.url,)), application, Deadline.after(10))
        post, *waits = server.requests
    assert (post.method, post.path) == ("POST", "/application/v2/tenant/default/prepareandactivate")
    assert post.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(post.body)) as archive:
        assert "services.xml" in archive.namelist()
        assert "schemas/item_demo_0123abcd.sd" in archive.namelist()
    assert [request.method for request in waits] == ["GET", "GET"]
    assert (done.session, done.warnings) == (7, ("old syntax",))
    assert done.actions == ("restart: threads changed",)


async def test_a_package_that_is_refused(application: Path) -> None:
    refused = {"error-code": "INVALID_APPLICATION_PACKAGE", "message": "schema-removal: item_x"}
    async with FaultServer([answer(400, refused)]) as server:
        with pytest.raises(DeployRefused, match="schema-removal") as raised:
            await deploy(EndpointSettings((server.url,)), application, Deadline.after(10))
        assert len(server.requests) == 1
    assert str(raised.value).startswith("INVALID_APPLICATION_PACKAGE: ")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
async def test_something_else_answers(application: Path, body: bytes) -> None:
    async with FaultServer([answer(200, body)]) as server:
        with pytest.raises(DeployRefused):
            await deploy(EndpointSettings((server.url,)), application, Deadline.after(10))


async def test_services_that_do_not_follow(application: Path) -> None:
    script = [answer(200, ACTIVATED), answer(200, converged(6))]
    async with FaultServer(script) as server:
        with pytest.raises(NotConverged, match="generation 7"):
            await deploy(EndpointSettings((server.url,)), application, Deadline.after(2))


async def test_nobody_to_deploy_to(application: Path) -> None:
    with pytest.raises(Unreachable):
        await deploy(EndpointSettings(("http://127.0.0.1:1",)), application, Deadline.after(5))


def test_the_same_package_is_the_same_zip(application: Path, tmp_path: Path) -> None:
    first = package_zip(application)
    (application / ".git").mkdir()
    (application / ".git" / "x").write_text("x")
    (application / "link").symlink_to("/etc/passwd")
    (application / "services.xml").touch()
    assert package_zip(application) == first
    with pytest.raises(FileNotFoundError, match=r"services\.xml"):
        package_zip(tmp_path)
