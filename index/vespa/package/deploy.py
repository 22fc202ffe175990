"""Deploying an application package: a zip, posted to a config server.

This is the endpoint that the ``vespa`` command and pyvespa use too. pyvespa speaks to it only for a
container that it started itself, and the command would be one more thing to install, hence our own call.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from common.deadline import Deadline
from common.errors import NOT_IN_ORDER, MrseError
from index.vespa.endpoints import Endpoints
from index.vespa.errors import VespaError, shorten
from index.vespa.settings import EndpointSettings
from index.vespa.transport import Reply, Request

_TENANT: Final = "/application/v2/tenant/default"
_PREPARE_AND_ACTIVATE: Final = f"{_TENANT}/prepareandactivate"
_CONVERGE: Final = (
    f"{_TENANT}/application/default/environment/prod/region/default/instance/default/serviceconverge"
)
_ACTIONS: Final = ("restart", "refeed", "reindex")


class DeployRefused(MrseError):  # noqa: N818 -- the config server's word
    """The config server does not take the package; the message begins with its error code."""

    exit_code = NOT_IN_ORDER


class NotConverged(MrseError):  # noqa: N818
    """The package is active, but services do not run it within the time given."""

    exit_code = NOT_IN_ORDER


@dataclass(frozen=True, slots=True)
class Activated:
    """What the config server says of an activated package."""

    session: int
    generation: int
    #: Lines of its log at level WARNING and above.
    warnings: tuple[str, ...]
    #: What has to be done by hand, as ``refeed: …``. A package that only adds or drops versions has none.
    actions: tuple[str, ...]


def package_zip(application: Path) -> bytes:
    """The package as a zip: same files, same bytes. Hidden files and links stay out.

    Raises:
        FileNotFoundError: the folder has no ``services.xml``.
    """
    if not (application / "services.xml").is_file():
        raise FileNotFoundError(f"{application} has no services.xml and is no application package")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(application.rglob("*")):
            name = path.relative_to(application).as_posix()
            if path.is_file() and not path.is_symlink() and "/." not in f"/{name}":
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


async def deploy(config_servers: EndpointSettings, application: Path, deadline: Deadline) -> Activated:
    """Deploy a package and wait until every service runs it.

    Raises:
        DeployRefused: the package is not valid, or a change needs a validation override.
        NotConverged: the deadline passed while services were still changing over.
        VespaError: no config server answers.
    """
    servers = Endpoints(config_servers)
    try:
        package = await asyncio.to_thread(package_zip, application)
        request = Request("POST", _PREPARE_AND_ACTIVATE, package, {"Content-Type": "application/zip"})
        activated = _read(await servers.send(request, deadline))
        await _converge(servers, activated.generation, deadline)
    finally:
        await servers.close()
    return activated


async def _converge(servers: Endpoints, generation: int, deadline: Deadline) -> None:
    wait = 0.2
    while True:
        try:
            state = _object(await servers.send(Request("GET", _CONVERGE), deadline))
        except VespaError as error:
            if deadline.passed:
                raise NotConverged(f"generation {generation}: {error}") from error
            state = {}
        if state.get("converged") is True and int(state.get("wantedGeneration", 0)) >= generation:
            return
        if deadline.remaining() <= wait:
            raise NotConverged(f"services do not run generation {generation} yet")
        await asyncio.sleep(wait)
        wait = min(2.0, wait * 1.5)


def _read(reply: Reply) -> Activated:
    answer = _object(reply)
    if reply.status != 200:
        code = answer.get("error-code") or f"status {reply.status}"
        raise DeployRefused(f"{code}: {shorten(str(answer.get('message', '')))}")
    try:
        session = int(answer["session-id"])
        warnings = tuple(
            shorten(str(line.get("message", "")))
            for line in answer.get("log", [])
            if line.get("level") in {"WARNING", "ERROR", "SEVERE"}
        )
        changes = answer.get("configChangeActions", {})
        actions = tuple(
            f"{kind}: {shorten('; '.join(map(str, action.get('messages', []))))}"
            for kind in _ACTIONS
            for action in changes.get(kind, [])
        )
        generation = int(answer.get("generation", session))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DeployRefused(f"unreadable: no answer of a config server: {error!r}") from error
    return Activated(session, generation, warnings, actions)


def _object(reply: Reply) -> dict[str, Any]:
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        answer = None
    return answer if isinstance(answer, dict) else {}
