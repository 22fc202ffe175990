"""What the shop promises of its data: where attributes are told, how users search and click."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from models.synthetic import RELEVANT, behaviour, lexicon
from models.synthetic.behaviour import CLICK, Simulator, session_times
from models.synthetic.catalogue import draw_catalogue
from models.synthetic.queries import draw_queries
from models.synthetic.users import draw_users
from tests.models.synthetic.conftest import relevance


def texts(item: Any) -> str:
    parts = (item["title"], item["description"], item["category"], item["brand"], *(item["tags"] or ()))
    return " ".join(parts).lower()


def has_word(text: str, words: tuple[str, ...]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", text) for word in words)


def test_no_text_tells_pattern_or_logo(shop: Any) -> None:
    words = tuple(w for term in (*lexicon.PATTERNS, *lexicon.LOGOS[1:]) for w in (term.name, *term.words))
    assert [item["title"] for item in shop.items if has_word(texts(item), words)] == []


def test_titles_tell_brand_model_material_and_half_of_the_colours(shop: Any) -> None:
    colours = {term.name: term.words for term in lexicon.COLOURS}
    coloured = 0
    for item in shop.items:
        truth, text = shop.truth[item["id"]], item["title"].lower()
        assert all(truth[name].lower() in text for name in ("brand", "model", "material"))
        coloured += has_word(text, colours[truth["colour"]])
        others = tuple(w for name, words in colours.items() if name != truth["colour"] for w in words)
        assert not has_word(texts(item), others)
    assert 0.45 < coloured / len(shop.items) < 0.55


def test_attributes_agree_with_the_truth(shop: Any) -> None:
    for item in shop.items[:200]:
        truth = shop.truth[item["id"]]
        assert (item["brand"], item["category"]) == (truth["brand"], truth["category"])


def test_few_queries_make_most_of_the_traffic(shop: Any) -> None:
    searches = sorted((row["searches"] for row in shop.queries), reverse=True)
    asked = [count for count in searches if count]
    assert sum(asked[: len(asked) // 10]) > 0.35 * sum(asked)
    bands = Counter(row["band"] for row in shop.queries)
    assert bands["head"] < bands["torso"] < bands["tail"]
    traffic = Counter[str]()
    for row in shop.queries:
        traffic[row["band"]] += row["searches"]
    assert 0.45 < traffic["head"] / sum(searches) < 0.55


def test_few_items_get_most_of_the_clicks(shop: Any) -> None:
    clicks = sorted(Counter(e["item"] for e in shop.events if e["action"] == "click").values(), reverse=True)
    assert sum(clicks[: len(shop.items) // 10]) > 2.5 * sum(clicks) / 10


def test_shares_of_slips_pictures_and_browsing(shop: Any) -> None:
    asked = sum(row["searches"] for row in shop.queries)
    assert 0.1 < sum(row["searches"] for row in shop.queries if row["typo"]) / asked < 0.3
    assert 0.25 < sum(row["searches"] for row in shop.queries if row["synonym"]) / asked < 0.5
    assert 0.03 < sum(row["searches"] for row in shop.queries if row["picture"]) / asked < 0.08
    assert any(row["picture"] and row["query"] == "" and row["searches"] for row in shop.queries)
    assert any(row["picture"] and row["query"] and row["searches"] for row in shop.queries)
    browsing = [e for e in shop.events if not e["query"] and not e["picture"]]
    assert 0.04 < len(browsing) / len(shop.events) < 0.16
    assert all(e["user"] and e["relevance"] is None for e in browsing)


def test_clicks_lead_to_carts_lead_to_orders(shop: Any) -> None:
    actions = Counter(e["action"] for e in shop.events)
    assert actions["click"] > actions["cart"] > actions["order"] > 0
    assert 0 < actions["impression"] < actions["click"]


def test_labels_are_the_judge_s_and_reach_low(shop: Any) -> None:
    labelled = [e for e in shop.events if e["relevance"] is not None]
    for event in labelled:
        judged = relevance(shop.judge, event["query"], event["item"], event["picture"])
        assert event["relevance"] == pytest.approx(judged, abs=1e-4)
    low = [e for e in labelled if e["relevance"] < RELEVANT]
    assert sum(e["action"] == "impression" for e in low) > 0.05 * len(shop.events)
    assert any(e["relevance"] == 1 for e in labelled)


def test_most_but_not_all_clicks_are_relevant(shop: Any) -> None:
    clicks = [e for e in shop.events if e["action"] == "click" and (e["query"] or e["picture"])]
    good = np.mean([relevance(shop.judge, e["query"], e["item"], e["picture"]) >= RELEVANT for e in clicks])
    assert 0.75 < good < 0.97


def test_cold_users_and_new_items_come_late(shop: Any) -> None:
    early = [e for e in shop.events if e["split"] != "test"]
    late = [e for e in shop.events if e["split"] == "test"]
    assert not any(shop.truth[e["item"]]["new"] for e in early)
    assert any(shop.truth[e["item"]]["new"] for e in late)
    assert not any(e["user"] and shop.users[e["user"]]["cold"] for e in early)
    assert any(e["user"] and shop.users[e["user"]]["cold"] for e in late)


def clicked_share(shop: Any, modality: str, attribute: str, *, taste: bool) -> float:
    """Share of clicks, by users of a preference, on items of their colours or brands."""
    hits = []
    for event in shop.events:
        if event["action"] != "click" or not event["user"]:
            continue
        user = shop.users[event["user"]]
        if user["modality"] == modality and (user["strength"] > 0) == taste:
            liked = (user["colour"], user["second_colour"]) if attribute == "colour" else user["brands"]
            hits.append(shop.truth[event["item"]][attribute] in liked)
    assert len(hits) > 100
    return float(np.mean(hits))


@pytest.mark.parametrize(("modality", "attribute"), [("picture", "colour"), ("text", "brand")])
def test_taste_shapes_clicks(shop: Any, modality: str, attribute: str) -> None:
    tasteless = clicked_share(shop, modality, attribute, taste=False)
    assert clicked_share(shop, modality, attribute, taste=True) > 1.5 * tasteless


def test_modality_preference_decides_which_taste_counts(shop: Any) -> None:
    def share(modality: str, attribute: str) -> float:
        return clicked_share(shop, modality, attribute, taste=True)

    assert share("picture", "colour") > share("balanced", "colour") > share("text", "colour")
    assert share("text", "brand") > share("balanced", "brand") > share("picture", "brand")


def test_modality_preference_decides_what_is_asked(shop: Any) -> None:
    asked = {"picture": Counter[bool](), "text": Counter[bool]()}
    for event in shop.events:
        if event["user"] and event["query"] and event["picture"] is None:
            modality = shop.users[event["user"]]["modality"]
            if modality in asked:
                asked[modality]["picture_only" in shop.judge.slices(event["query"])] += 1
    shares = {name: counts[True] / counts.total() for name, counts in asked.items()}
    assert shares["picture"] > 1.5 * shares["text"]


def test_what_stands_higher_is_clicked_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def upper_share(examine: float) -> float:
        monkeypatch.setattr(behaviour, "EXAMINE", examine)
        rng = np.random.default_rng(1)
        catalogue = draw_catalogue(600, rng)
        queries = draw_queries(catalogue, [("a.jpg", 0)], rng)
        simulator = Simulator(catalogue, draw_users(100, rng), queries, test_from=1000, rng=rng)
        (seconds,) = session_times(3000, 1000, 3000, rng)
        actions = simulator.act(simulator.sessions(seconds, rng), rng)
        return float(np.mean(actions.place[actions.action == CLICK] < 4))

    # With everything looked at, what is left is that better items stand higher.
    assert upper_share(behaviour.EXAMINE) > 1.4 * upper_share(0.0)
