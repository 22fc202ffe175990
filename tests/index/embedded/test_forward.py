"""Values by row: an attribute that is ready waits for none that is being worked out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devtools.embeddings import make_embeddings, random_items
from index.embedded import forward
from index.embedded.build import build_index
from index.embedded.manifest import read_manifest
from index.embedded.segment import Segment


def test_what_is_ready_waits_for_no_other_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_embeddings(tmp_path / "e", items=random_items(30, seed=1), expert_dim=8)
    build_index(tmp_path / "e", tmp_path / "index")
    manifest = read_manifest(tmp_path / "index")
    held = Segment(tmp_path / "index" / manifest.folder, manifest).forward
    rows, begun, go_on = np.arange(30), threading.Event(), threading.Event()
    before = held.values("brand", "string", rows)
    built: list[bool] = []

    class Slow(forward._Terms):
        def __init__(self, column: Any) -> None:
            begun.set()
            built.append(go_on.wait(10))
            super().__init__(column)

    monkeypatch.setattr(forward, "_Terms", Slow)
    builders = [threading.Thread(target=held.values, args=("tags", "list", rows)) for _ in range(3)]
    for builder in builders:
        builder.start()
    assert begun.wait(10)
    assert held.ready(["brand"])
    assert not held.ready(["tags"])
    assert held.values("brand", "string", rows) == before
    go_on.set()
    for builder in builders:
        builder.join()
    assert built == [True], "it was built once, and what was ready did not wait for it"
    assert held.ready(["tags"])
