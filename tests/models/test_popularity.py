"""Popularity of items from a log: half as much after every half-life, and the same order for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from artifacts.embeddings import EmbeddingsFolder
from artifacts.popularity import PopularitySpec
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from models.embed import embed_shop
from models.popularity import popularity_of
from tests.support import shop as small

NOW = datetime(2026, 10, 1, tzinfo=UTC)


def write(
    path: Path, *events: tuple[str, float, str, str | None], attributes: dict[str, str] | None = None
) -> Shop:
    """A shop of three items; events are item, days ago, action and split."""
    with ShopWriter(path, ShopSchema(name="tiny", attributes=attributes or {})) as writer:  # type: ignore[arg-type]
        for name in "abc":
            writer.add_item(Item(name, f"red shoes {name}", "Shoes"))
        for item, days, action, split in events:
            writer.add_event(Event(NOW - timedelta(days=days), item, action, "shoes", "u1", split=split))
    return Shop.open(path)


def test_a_behaviour_counts_half_after_a_half_life_and_a_look_not_at_all(tmp_path: Path) -> None:
    shop = write(
        tmp_path / "s",
        ("a", 0, "click", "train"),
        ("b", 10, "order", "train"),
        ("b", 20, "click", "train"),
        ("c", 0, "impression", "train"),
        ("gone", 0, "click", "train"),
    )
    found = popularity_of(shop, 10.0, 0.05)
    assert found is not None
    spec, values = found
    assert spec == PopularitySpec(half_life_days=10.0, as_of=NOW.timestamp())
    np.testing.assert_allclose(values, [1.0, 0.75, 0.0])


def test_held_out_behaviours_count_only_where_all_do(tmp_path: Path) -> None:
    shop = write(tmp_path / "s", ("a", 5, "click", "train"), ("b", 0, "click", "test"))
    train, everything = popularity_of(shop, 5.0, 0.05), popularity_of(shop, 5.0, 0.05, "all")
    assert train is not None
    assert everything is not None
    np.testing.assert_allclose(train[1], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(everything[1], [0.5, 1.0, 0.0])


def test_later_behaviours_count_more_and_far_ones_do_not_overflow() -> None:
    spec = PopularitySpec(half_life_days=1.0, as_of=0.0)
    np.testing.assert_allclose(spec.worth(np.array([0.0, 86_400.0, -86_400.0])), [1.0, 2.0, 0.5])
    assert np.isfinite(spec.worth(np.array([1e12, -1e12]))).all()


def test_embedding_stores_it_unless_the_shop_has_its_own(tmp_path: Path) -> None:
    bundle = small.bundle(tmp_path / "bundle")
    events = (("b", 0.0, "click", "train"), ("b", 1.0, "click", "train"), ("a", 0.0, "cart", "train"))
    for name, attributes, expected in (
        ("counted", {}, [1.0, pytest.approx(1.977, abs=1e-3), None]),
        ("own", {"popularity": "number"}, [None, None, None]),
    ):
        shop = write(tmp_path / name, *events, attributes=attributes)
        embed_shop(shop, bundle, tmp_path / f"{name}-embeddings")
        folder = EmbeddingsFolder.open(tmp_path / f"{name}-embeddings")
        assert folder.column("popularity").to_pylist() == expected
        assert (folder.meta.popularity is not None) is (name == "counted")
    embed_shop(write(tmp_path / "off", *events), bundle, tmp_path / "none", half_life_days=0)
    assert "popularity" not in EmbeddingsFolder.open(tmp_path / "none").attributes
    embed_shop(write(tmp_path / "quiet"), bundle, tmp_path / "silent")
    assert "popularity" not in EmbeddingsFolder.open(tmp_path / "silent").attributes
