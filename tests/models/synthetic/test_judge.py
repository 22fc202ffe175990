"""The judge: grades, slices, tastes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.synthetic import RELEVANT, Judge, UnknownQueryError
from models.synthetic.attributes import ATTRIBUTES, CATEGORY, LOGO, TOP, UNASKED, VALUES, Codes, grade
from models.synthetic.catalogue import item_id
from models.synthetic.parse import parse
from models.synthetic.queries import misspell
from tests.models.synthetic.conftest import relevance

WITH_SHOP = settings(deadline=None)


@st.composite
def codes(draw: st.DrawFn, *, unasked: bool = False) -> Codes:
    low = UNASKED if unasked else 0
    return np.array([draw(st.integers(low, len(names) - 1)) for names in VALUES], dtype=np.int16)


@given(intent=codes(unasked=True), item=codes())
def test_grade_is_one_only_where_everything_matches(intent: Codes, item: Codes) -> None:
    value = float(grade(intent, item))
    matches = bool(((intent == UNASKED) | (intent == item)).all())
    assert 0 <= value <= 1
    assert (value == 1) == matches
    assert matches or value < RELEVANT


@given(intent=codes(unasked=True), item=codes(), place=st.integers(0, len(ATTRIBUTES) - 1))
def test_one_more_match_never_lowers_the_grade(intent: Codes, item: Codes, place: int) -> None:
    better = item.copy()
    if intent[place] != UNASKED:
        better[place] = intent[place]
    assert grade(intent, better) >= grade(intent, item)


@given(intent=codes(unasked=True), item=codes(), place=st.sampled_from([TOP, CATEGORY]))
def test_another_category_is_worth_nothing(intent: Codes, item: Codes, place: int) -> None:
    if intent[place] not in (UNASKED, item[place]):
        assert grade(intent, item) == 0


@WITH_SHOP
@given(data=st.data())
def test_items_and_the_whole_catalogue_agree(shop: Any, data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(shop.queries))
    ids = data.draw(st.lists(st.sampled_from([item["id"] for item in shop.items]), max_size=5))
    query, picture = row["query"], row["picture"]
    whole = shop.judge.all_relevances(query, picture)
    assert whole.dtype == np.float32
    tasteless = next(name for name, user in shop.users.items() if not user["strength"])
    vector = shop.judge.taste_relevances(tasteless, query, ids, picture)
    assert vector.dtype == np.float32
    assert vector.tolist() == whole[shop.judge.rows(ids)].tolist()


@WITH_SHOP
@given(data=st.data())
def test_taste_never_adds_and_is_nothing_to_the_tasteless(shop: Any, data: st.DataObject) -> None:
    query = data.draw(st.sampled_from([row["query"] for row in shop.queries if row["picture"] is None]))
    item = data.draw(st.sampled_from([item["id"] for item in shop.items]))
    user = f"u{data.draw(st.integers(0, 374)):06d}"
    judged, suited = relevance(shop.judge, query, item), shop.judge.taste_relevances(user, query, [item])[0]
    assert 0 <= suited <= judged
    modality, strength = shop.judge.taste(user)
    assert modality == shop.users[user]["modality"]
    if strength == 0:
        assert suited == judged


def test_every_query_has_an_answer(shop: Any) -> None:
    for row in shop.queries[::25]:
        assert shop.judge.all_relevances(row["query"], row["picture"]).max() == 1


def test_intents_of_the_log_and_their_slices(shop: Any) -> None:
    striped = next(
        row for row in shop.queries if row["kind"] == "pattern+category" and row["pattern"] == "stripes"
    )
    asked = shop.judge.intents(striped["query"])
    assert asked == {"pattern": "stripes", "category": striped["category"]}
    slices = shop.judge.slices(striped["query"])
    assert {"pattern", "category", "picture_only", "kind:pattern+category", striped["band"]} <= slices
    assert "text_only" not in slices


def test_a_picture_asks_for_what_it_shows(shop: Any) -> None:
    row = next(row for row in shop.queries if row["picture"] and row["query"] == "" and row["logo"])
    asked = shop.judge.intents("", row["picture"])
    assert set(asked) == {"category", "colour", "pattern", "logo"}
    assert "with_picture" in shop.judge.slices("", row["picture"])
    best = int(np.argmax(shop.judge.all_relevances("", row["picture"])))
    assert asked.items() <= shop.truth[item_id(best)].items()


def test_an_empty_query_asks_for_nothing(shop: Any) -> None:
    assert shop.judge.intents("") == {}
    assert (shop.judge.all_relevances("") == 1).all()


def test_queries_that_are_not_in_the_log_are_read_by_their_words(shop: Any) -> None:
    assert shop.judge.intents("a Zigzag  MUG with heart print, please") == {
        "pattern": "zigzag",
        "category": "Kitchen > Mugs",
        "logo": "heart",
    }
    assert shop.judge.intents("red dresses") == {"colour": "red", "category": "Clothing > Dresses"}
    assert not {"head", "torso", "tail"} & shop.judge.slices("a striped cap that nobody asked for")
    with pytest.raises(UnknownQueryError):
        shop.judge.all_relevances("qwertz")
    with pytest.raises(UnknownQueryError):
        shop.judge.all_relevances("", picture="queries/none.jpg")


def test_plain_wordings_are_read_as_they_were_meant(shop: Any) -> None:
    for row in shop.queries:
        if row["picture"] is None and not row["typo"]:
            intent = parse(row["query"])
            assert intent is not None
            named = {n: VALUES[p][intent[p]] for p, n in enumerate(ATTRIBUTES) if intent[p] != UNASKED}
            assert named == {name: row[name] for name in ATTRIBUTES if row[name] is not None}, row["query"]


@pytest.mark.parametrize("item", ["i1500000", "x0000001", "i", "i-000001", ""])
def test_unknown_items_and_users(shop: Any, item: str) -> None:
    with pytest.raises(KeyError):
        shop.judge.rows([item])
    with pytest.raises(KeyError):
        shop.judge.taste(item)


def test_nothing_to_judge_by(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Judge.open(tmp_path)


def test_truth_has_pictures_and_logos_of_all_kinds(shop: Any) -> None:
    truth = [shop.truth[item["id"]] for item in shop.items]
    for place, name in enumerate(ATTRIBUTES):
        assert {row[name] for row in truth} <= set(VALUES[place])
        if place != LOGO:
            assert len({row[name] for row in truth}) > 0.9 * len(VALUES[place])


@given(
    text=st.text("abcdefg ", min_size=1, max_size=20).map(lambda t: " ".join(t.split())),
    u=st.tuples(*[st.floats(0, 0.999)] * 3),
)
def test_a_slip_is_one_letter_in_a_long_word(text: str, u: tuple[float, float, float]) -> None:
    slipped = misspell(text, *u)
    assert abs(len(slipped) - len(text)) <= 1
    assert slipped.count(" ") == text.count(" ")
    for word, other in zip(text.split(), slipped.split(), strict=True):
        assert word[:1] == other[:1]
        assert len(word) >= 4 or word == other
