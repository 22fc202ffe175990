"""Fixtures around Vespa's own code; every test that uses one is skipped, in one line, where it cannot run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from devtools.vespa_peer.build import ArtifactsMissingError, class_path, missing
from devtools.vespa_peer.peer import Judge, Peer, start_peer
from index.vespa.package.layout import Layout
from index.vespa.package.render import render
from index.vespa.version import Version

#: A version with an attribute of each type.
VERSION = Version(
    "demo-1a2b3c4d", 128, {"brand": "string", "price": "number", "in_stock": "bool", "tags": "list"}
)


#: The same with a graph over int8, and with item features.
INT8 = replace(VERSION, vectors="int8", features=(3, 64))


@cache
def unavailable() -> str | None:
    """Why the peer cannot run here, in one line; None where it can. Builds it."""
    reason = missing()
    if reason is None:
        try:
            class_path()
        except ArtifactsMissingError as error:
            reason = str(error)
    return reason


def require_peer() -> None:
    """Skip the test unless the peer can run here."""
    reason = unavailable()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def vespa_judge() -> Iterator[Judge]:
    """Vespa's model, query builder and document reader."""
    require_peer()
    with Judge() as judge:
        yield judge


@pytest.fixture(scope="session")
def vespa_application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of `VERSION` and `INT8` for one node."""
    return render(tmp_path_factory.mktemp("vespa"), [VERSION, INT8], Layout())


@pytest.fixture(scope="module")
def vespa_peer(vespa_application: Path) -> Iterator[Peer]:
    """A container over two content nodes, empty at first; faults are for each test to clear."""
    require_peer()
    with start_peer(vespa_application, nodes=2) as peer:
        yield peer
