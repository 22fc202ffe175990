"""What the write buffer holds of items that were put, and for how long."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devtools.embeddings import make_embeddings
from index.embedded import stored
from index.embedded.build import build_index
from index.embedded.forward import Forward
from index.embedded.live import LiveIndex
from index.embedded.records import Put, Remove
from index.embedded.searched import AS_CALIBRATED
from index.embedded.texts import Texts
from index.embedded.write_buffer import WriteBuffer

DIM, EXPERTS = 16, (3, 8)


class Told(dict[str, Any]):
    """Attributes or texts that tell when they are freed."""


def put(item_id: str, brand: str = "", title: str = "") -> Put:
    vector, features = np.zeros(DIM, np.float16), np.zeros(EXPERTS, np.float16)
    return Put(item_id, vector, features, Told(brand=brand), Told(title=title))


def test_what_is_superseded_or_removed_is_held_no_more() -> None:
    buffer = WriteBuffer(DIM, EXPERTS, {"brand": "string"})
    held: list[tuple[weakref.ref[Any], weakref.ref[Any]]] = []
    for item_id in ("a", "b", "a", "a"):
        change = put(item_id, "brand", "a title " * 1000)
        held.append((weakref.ref(change.attributes), weakref.ref(change.texts)))
        buffer.put(change)
        del change
    buffer.remove("b")
    assert [[of() is not None for of in each] for each in held] == [[False, False]] * 3 + [[True, True]]
    assert [each.id for each in buffer.changes()] == ["a"]
    assert buffer.change(3).texts == {"title": "a title " * 1000}


@pytest.fixture
def live(tmp_path: Path) -> LiveIndex:
    """Of five items with titles; the first has been put again."""
    texts = [{"title": f"title {row}"} for row in range(5)]
    make_embeddings(
        tmp_path / "e", rows=5, dim=DIM, expert_dim=EXPERTS[1], texts=texts, text_fields=("title",)
    )
    build_index(tmp_path / "e", tmp_path / "index")
    live = LiveIndex(tmp_path / "index", verify=True, planning=AS_CALIBRATED)
    live.state.apply([(1, put("item-0", "first", "first"))], live.lock)
    return live


@pytest.mark.parametrize("later", [put("item-0", "later", "later"), Remove("item-0")])
def test_a_lookup_is_as_of_one_moment(
    live: LiveIndex, monkeypatch: pytest.MonkeyPatch, later: Put | Remove
) -> None:
    """A change comes while the base is read, after it was found where the items are."""
    values, column = Forward.values, Texts.column
    state, ids = live.state, ["item-0", "item-1"]

    def slow_values(of: Forward, *asked: Any) -> list[Any]:
        state.apply([(2, later)], live.lock)
        return values(of, *asked)

    def slow_column(of: Texts, name: str, rows: Sequence[int]) -> list[str]:
        state.apply([(4, later)], live.lock)
        return column(of, name, rows)

    monkeypatch.setattr(Forward, "values", slow_values)
    known, found = stored.values(live, state, ids, ["brand"])
    assert (known, found["brand"][0]) == (ids, "first")
    state.apply([(3, put("item-0", "first", "first"))], live.lock)
    monkeypatch.setattr(Texts, "column", slow_column)
    assert stored.texts(live, state, ids, "title") == {"item-0": "first", "item-1": "title 1"}
