"""Dials of the shop: at their defaults they change nothing, and each does what it says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.synthetic import Dials, Judge, Recipe, RecipeError, make_shop
from models.synthetic.queries import KINDS, picture_only_share, traffic


def test_the_usual_share_is_that_of_the_kinds() -> None:
    assert traffic() == [kind.share for kind in KINDS]
    np.testing.assert_allclose(traffic(picture_only_share()), traffic())
    for share in (0.0, 0.6, 1.0):
        shares = traffic(share)
        assert sum(shares) == pytest.approx(1.0)
        shown = [
            s
            for s, kind in zip(shares, KINDS, strict=True)
            if {"pattern", "logo"} & set(kind.name.replace("+", " ").split())
        ]
        assert sum(shown) == pytest.approx(share)


def clicked_grade(path: Path) -> float:
    """How much better what was clicked suits its user's taste than what was shown, on average."""
    judge = Judge.open(path)
    liked: dict[str, list[float]] = {"click": [], "impression": []}
    for event in pq.read_table(path / "events.parquet").to_pylist():
        user, query, item, action = (event[key] for key in ("user", "query", "item", "action"))
        if user and query and action in liked and not event["picture"] and judge.taste(user)[1] > 0:
            plain = judge.all_relevances(query)[judge.rows([item])[0]]
            if plain > 0:
                liked[action].append(float(judge.taste_relevances(user, query, [item])[0] / plain))
    return float(np.mean(liked["click"]) - np.mean(liked["impression"]))


def test_taste_and_picture_only_queries_are_turned(tmp_path: Path) -> None:
    for name, dials in (("usual", Dials()), ("none", Dials(taste=0.0)), ("shown", Dials(picture_only=0.9))):
        make_shop(tmp_path / name, items=400, seed=5, dials=dials)
    assert clicked_grade(tmp_path / "usual") > clicked_grade(tmp_path / "none") + 0.02
    # What was put in the shop stays: a dial acts on what users do.
    for name in ("none", "shown"):
        assert (tmp_path / name / "items.parquet").read_bytes() == (
            tmp_path / "usual" / "items.parquet"
        ).read_bytes()
    user = Judge.open(tmp_path / "usual").liking("u000001")
    np.testing.assert_allclose(Judge.open(tmp_path / "none").liking("u000001"), np.zeros_like(user))
    asked = {}
    for name in ("usual", "shown"):
        queries = pq.read_table(tmp_path / name / "queries.parquet").to_pylist()
        typed = [row for row in queries if row["picture"] is None]
        shown = sum(row["searches"] for row in typed if row["pattern"] or row["logo"])
        asked[name] = shown / sum(row["searches"] for row in typed)
    assert asked["usual"] == pytest.approx(picture_only_share(), abs=0.1)
    assert asked["shown"] == pytest.approx(0.9, abs=0.07)


def test_a_recipe_is_read_back_and_refused_where_it_is_not_whole(tmp_path: Path) -> None:
    assert Recipe.read(tmp_path) is None
    recipe = Recipe(100, 20, 300, 3, Dials(0.5))
    recipe.write(tmp_path)
    assert Recipe.read(tmp_path) == recipe
    assert recipe.turned({"picture_only": 0.2}) == replace(recipe, dials=Dials(0.5, 0.2))
    file = tmp_path / "synthetic.json"
    content = json.loads(file.read_text())
    for change, message in (({"format": 2}, "format 2"), ({"more": 1}, "not as"), ({"dials": 3}, "not as")):
        file.write_text(json.dumps({**content, **change}))
        with pytest.raises(RecipeError, match=message):
            Recipe.read(tmp_path)
    file.write_text("[]")
    with pytest.raises(RecipeError, match="not as"):
        Recipe.read(tmp_path)
    for wrong in ({"taste": -1.0}, {"taste": float("nan")}, {"picture_only": 1.5}):
        with pytest.raises(RecipeError, match="expected 0 to"):
            Dials(**wrong)
