"""The tiny shop behind a service, for clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artifacts.bundle import Bundle
from index.embedded.build import build_index
from tests.support import shop
from tests.support.clients import build_typescript
from tests.support.serving import Server, make_settings, serving


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Path]:
    """A bundle and an index of it."""
    root = tmp_path_factory.mktemp("clients")
    bundle = shop.bundle(root / "bundle")
    shop.write_embeddings(bundle, root / "embeddings", texts=True)
    build_index(root / "embeddings", root / "index")
    return bundle, root / "index"


@pytest.fixture(scope="session")
def server(made: tuple[Bundle, Path]) -> Iterator[Server]:
    bundle, index = made
    with serving(make_settings(bundle.path, index)) as running:
        yield running


@pytest.fixture(scope="session")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TypeScript client, built."""
    return build_typescript(tmp_path_factory.mktemp("typescript"))
