"""What a package would change of the one that is deployed; Vespa takes many changes without a word.

A field or an attribute that is added to a schema in use is empty in every item that is there already, and is
served so. A version that is deployed is therefore never changed; a new one stands beside it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import orjson

from common.deadline import Deadline
from index.vespa.endpoints import Endpoints
from index.vespa.errors import VespaError
from index.vespa.settings import EndpointSettings
from index.vespa.transport import Request

_CONTENT: Final = (
    "/application/v2/tenant/default/application/default/"
    "environment/prod/region/default/instance/default/content/"
)
#: Changed lines of a file that are told.
_LINES_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file of the application that is new, gone or changed; ``lines`` are the first that are."""

    file: str
    kind: Literal["new", "gone", "changed"]
    lines: tuple[str, ...] = ()
    #: Whether only rank profiles and summaries of a schema are others: nothing is stored by these.
    only_ranking: bool = False

    @property
    def of_a_served_schema(self) -> bool:
        """Whether a document type that is deployed would have other fields or settings."""
        return self.kind == "changed" and self.file.startswith("schemas/") and not self.only_ranking

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}" + "".join(f"\n  {line}" for line in self.lines)


async def deployed(config_servers: EndpointSettings, deadline: Deadline) -> dict[str, str]:
    """The files of the application that is active, by path; none where none is, or its content is not told.

    Raises:
        VespaError: no config server answers, or not with what was asked for.
    """
    servers = Endpoints(config_servers)
    try:
        reply = await servers.send(Request("GET", f"{_CONTENT}?recursive=true"), deadline)
        if reply.status == 404:
            return {}
        try:
            paths = [str(url).partition("/content/")[2] for url in orjson.loads(reply.body)]
        except (orjson.JSONDecodeError, TypeError) as error:
            raise VespaError("bad_answer", f"status {reply.status}: no list of files") from error
        files: dict[str, str] = {}
        for path in paths:
            if path.endswith((".sd", ".xml")):
                reply = await servers.send(Request("GET", _CONTENT + path), deadline)
                if reply.status != 200:
                    raise VespaError("bad_answer", f"status {reply.status} for {path}")
                files[path] = reply.body.decode("utf-8", "replace")
        return files
    finally:
        await servers.close()


def compare(application: Path, before: dict[str, str]) -> list[FileChange]:
    """What an application folder changes of these files; comments and layout do not count."""
    now = {
        path.relative_to(application).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(application.rglob("*"))
        if path.suffix in (".sd", ".xml")
    }
    return list(_compare(before, now))


def _compare(before: dict[str, str], now: dict[str, str]) -> Iterator[FileChange]:
    for file in sorted(before.keys() | now.keys()):
        if file not in before:
            yield FileChange(file, "new")
        elif file not in now:
            yield FileChange(file, "gone")
        else:
            diff = difflib.ndiff(_lines(file, before[file]), _lines(file, now[file]))
            if lines := [line for line in diff if line[0] in "+-"]:
                same = file.endswith(".sd") and _stored(before[file]) == _stored(now[file])
                yield FileChange(file, "changed", tuple(lines[:_LINES_SHOWN]), same)


def _stored(schema: str) -> list[str]:
    """The lines of a schema without its rank profiles and summaries of attributes."""
    kept: list[str] = []
    depth = 0  # of braces within a rank profile
    for line in _lines(".sd", schema):
        if not depth and not line.startswith(("rank-profile ", "document-summary ")):
            kept.append(line)
            continue
        depth += line.count("{") - line.count("}")
    return kept


def _lines(file: str, text: str) -> list[str]:
    comment = r"#[^\n]*" if file.endswith(".sd") else r"(?s)<!--.*?-->"
    return [" ".join(line.split()) for line in re.sub(comment, "", text).splitlines() if line.strip()]
