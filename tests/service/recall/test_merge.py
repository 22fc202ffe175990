"""Merging: properties that hold for any candidates, and the examples that say what it is for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from service.recall.calibration import Calibration, Curve
from service.recall.merge import Mix, merge
from service.recall.routes.outcome import Candidate, CandidateColumns

IDS = [f"i{n}" for n in range(30)]


def candidate(item: str, rank: int, value: float, trigger: str | None = None) -> Candidate:
    if trigger is None:
        return Candidate(item, value, {"route": "q2i", "rank": rank, "score": value})
    return Candidate(item, value, {"route": "i2i", "trigger": trigger, "rank": rank, "score": value})


cosines = st.integers(-100, 100).map(lambda n: n / 100)


@st.composite
def q2i_candidates(draw: st.DrawFn) -> list[Candidate]:
    ids = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=30))
    scores = sorted(draw(st.lists(cosines, min_size=len(ids), max_size=len(ids))), reverse=True)
    return [candidate(i, rank, s) for rank, (i, s) in enumerate(zip(ids, scores, strict=True), 1)]


@st.composite
def i2i_candidates(draw: st.DrawFn) -> list[Candidate]:
    pairs = draw(
        st.lists(
            st.tuples(st.sampled_from(["t1", "t2", "t3"]), st.sampled_from(IDS)), unique=True, max_size=40
        )
    )
    values = sorted(draw(st.lists(cosines, min_size=len(pairs), max_size=len(pairs))), reverse=True)
    return [
        candidate(item, rank, value, trigger)
        for rank, ((trigger, item), value) in enumerate(zip(pairs, values, strict=True), 1)
    ]


shares = st.tuples(st.integers(0, 10), st.integers(0, 10)).filter(lambda s: sum(s) <= 10)
everything = given(
    q2i=q2i_candidates(),
    i2i=i2i_candidates(),
    k=st.integers(1, 40),
    share=shares,
    method=st.sampled_from(["score", "rrf", "calibrated"]),
)


def run(q2i, i2i, k, share, method):  # type: ignore[no-untyped-def]
    return merge(
        {"q2i": q2i, "i2i": i2i},
        k,
        Mix(method=method, rrf_k=60, shares={"q2i": share[0] / 10, "i2i": share[1] / 10}),
    )


@everything
def test_columns_are_merged_as_candidates_are(q2i, i2i, k, share, method):  # type: ignore[no-untyped-def]
    columns = [
        CandidateColumns(*map(list, zip(*found, strict=True))) if found else [] for found in (q2i, i2i)
    ]
    assert run(*columns, k, share, method) == run(q2i, i2i, k, share, method)


@everything
def test_every_item_stands_once_and_k_is_kept(q2i, i2i, k, share, method) -> None:  # type: ignore[no-untyped-def]
    ids = [item["item_id"] for item in run(q2i, i2i, k, share, method)]
    found = {c.item_id for c in [*q2i, *i2i]}
    assert len(ids) == len(set(ids)) == min(k, len(found))
    assert set(ids) <= found


@everything
def test_no_source_is_lost_and_none_invented(q2i, i2i, k, share, method) -> None:  # type: ignore[no-untyped-def]
    for item in run(q2i, i2i, k, share, method):
        expected = [c.source for c in [*q2i, *i2i] if c.item_id == item["item_id"]]
        assert item["sources"] == expected


@everything
def test_quotas_are_kept(q2i, i2i, k, share, method) -> None:  # type: ignore[no-untyped-def]
    answer = run(q2i, i2i, k, share, method)
    for route, candidates, part in (("q2i", q2i, share[0]), ("i2i", i2i, share[1])):
        sure = min(part * k // 10, len({c.item_id for c in candidates}))
        held = [item for item in answer if any(source["route"] == route for source in item["sources"])]
        assert len(held) >= sure


@everything
def test_the_best_come_first_and_the_order_is_determined(q2i, i2i, k, share, method) -> None:  # type: ignore[no-untyped-def]
    answer = run(q2i, i2i, k, share, method)
    keys = [(-item["score"], item["item_id"]) for item in answer]
    assert keys == sorted(keys)
    assert answer == run(q2i, i2i, k, share, method)


@everything
def test_the_best_item_of_all_is_never_left_out(q2i, i2i, k, share, method) -> None:  # type: ignore[no-untyped-def]
    answer = run(q2i, i2i, k, share, method)
    everyone = run(q2i, i2i, 10_000, share, method)
    # With every place promised to routes whose lists are in another order, only a free place is for the best.
    if everyone and share[0] * k // 10 + share[1] * k // 10 < k:
        best = everyone[0]["score"]
        assert any(item["score"] == best for item in answer)


def test_the_example_of_the_contract() -> None:
    q2i = [candidate("i7", 1, 0.83)]
    i2i = [candidate("i7", 4, 0.79, "i9")]
    (item,) = run(q2i, i2i, 10, (8, 2), "score")
    assert item["score"] == 0.83
    assert item["sources"] == [
        {"route": "q2i", "rank": 1, "score": 0.83},
        {"route": "i2i", "trigger": "i9", "rank": 4, "score": 0.79},
    ]


def test_i2i_keeps_its_places_when_all_its_items_are_weaker() -> None:
    q2i = [candidate(f"q{n}", n, 0.9 - n / 100) for n in range(1, 21)]
    i2i = [candidate(f"n{n}", n, 0.3 - n / 100, "t") for n in range(1, 21)]
    answer = run(q2i, i2i, 10, (8, 2), "score")
    assert [item["item_id"] for item in answer] == [f"q{n}" for n in range(1, 9)] + ["n1", "n2"]


def test_places_that_a_route_cannot_fill_go_to_the_other() -> None:
    q2i = [candidate(f"q{n}", n, 0.9 - n / 100) for n in range(1, 21)]
    assert len(run(q2i, [], 10, (8, 2), "score")) == 10
    assert len(run([], [candidate("n", 1, 0.1, "t"), *q2i], 10, (8, 2), "score")) == 10


def test_rrf_rewards_an_item_that_both_routes_found() -> None:
    q2i = [candidate("a", 1, 0.9), candidate("both", 2, 0.5)]
    i2i = [candidate("b", 1, 0.9, "t"), candidate("both", 2, 0.5, "t")]
    assert run(q2i, i2i, 3, (0, 0), "rrf")[0]["item_id"] == "both"
    assert run(q2i, i2i, 3, (0, 0), "score")[0]["item_id"] == "a"


def test_rrf_counts_an_item_once_a_route_however_many_triggers_reach_it() -> None:
    i2i = [candidate("a", 1, 0.9, "t1"), candidate("a", 1, 0.8, "t2"), candidate("b", 2, 0.7, "t1")]
    a, b = run([], i2i, 3, (0, 0), "rrf")
    assert (a["item_id"], a["score"]) == ("a", round(1 / 61, 6))
    assert (b["item_id"], b["score"]) == ("b", round(1 / 62, 6))
    assert len(a["sources"]) == 2


# -- weights ----------------------------------------------------------------------------------------------


@everything
def test_without_routes_of_another_scale_calibrated_is_score(q2i, i2i, k, share, method) -> None:  # type: ignore[no-untyped-def]
    assert run(q2i, i2i, k, share, "calibrated") == run(q2i, i2i, k, share, "score")


@given(q2i=q2i_candidates(), i2i=i2i_candidates(), method=st.sampled_from(["score", "rrf", "calibrated"]))
def test_a_larger_weight_never_puts_a_route_s_items_further_back(q2i, i2i, method) -> None:  # type: ignore[no-untyped-def]
    routes = {"q2i": q2i, "i2i": i2i}
    places = []
    for weight in (0.5, 1.0, 2.0):
        mix = Mix(method=method, shares={}, weights={"q2i": 1.0, "i2i": weight})
        answer = merge(routes, 1000, mix)
        of_i2i = [any(source["route"] == "i2i" for source in item["sources"]) for item in answer]
        places.append([sum(of_i2i[:n]) for n in range(len(answer) + 1)])
    # Among the first n of the answer are no fewer of them, whatever n.
    assert all(fewer <= more for before, after in pairwise(places)
               for fewer, more in zip(before, after, strict=True))  # fmt: skip


def test_weights_of_one_change_nothing() -> None:
    routes = {"q2i": [candidate("a", 1, 0.9), candidate("b", 2, -0.2)], "i2i": [candidate("b", 1, 0.8, "a")]}
    for method in ("score", "rrf"):
        plain = merge(routes, 5, Mix(method=method, shares={}))
        assert merge(routes, 5, Mix(method=method, shares={}, weights={"q2i": 1.0, "i2i": 1.0})) == plain


# -- routes on a scale of their own -----------------------------------------------------------------------


def words(item: str, rank: int, score: float) -> Candidate:
    return Candidate(item, 0.0, {"route": "lexical", "rank": rank, "score": score})


HALF = Calibration(curves={"lexical": Curve(scale="top", points=((0.0, 0.0), (1.0, 0.5)))})


def test_what_words_are_worth_is_added_to_the_cosine() -> None:
    q2i = [candidate("a", 1, 0.6), candidate("b", 2, 0.4)]
    lexical = [words("b", 1, 30.0), words("c", 2, 15.0)]
    answer = merge({"q2i": q2i, "lexical": lexical}, 5, Mix(method="calibrated", shares={}, calibration=HALF))
    # c was not found by Q2I, so its cosine is at most that of the last that was.
    assert [(item["item_id"], item["score"]) for item in answer] == [("b", 0.9), ("c", 0.65), ("a", 0.6)]
    assert [source["route"] for source in answer[0]["sources"]] == ["q2i", "lexical"]


def test_what_another_route_makes_of_the_last_is_no_measure_of_what_q2i_did_not_find() -> None:
    q2i = [candidate("a", 1, 0.6), candidate("b", 2, 0.4)]
    path = Candidate("b", 0.9, {"route": "i2i", "rank": 1, "score": 0.9, "trigger": "x"})
    lexical = [words("a", 1, 30.0), words("c", 2, 15.0)]
    routes = {"q2i": q2i, "i2i": [path], "lexical": lexical}
    answer = merge(routes, 5, Mix(method="calibrated", shares={}, calibration=HALF))
    assert {item["item_id"]: item["score"] for item in answer} == {"a": 1.1, "b": 0.9, "c": 0.65}


def test_a_route_on_its_own_scale_alone_keeps_its_order() -> None:
    lexical = [words("b", 1, 30.0), words("c", 2, 15.0), words("a", 3, 1.0)]
    answer = merge({"q2i": [], "lexical": lexical}, 5, Mix(method="calibrated", shares={}, calibration=HALF))
    assert [item["item_id"] for item in answer] == ["b", "c", "a"]


# -- interleaving -----------------------------------------------------------------------------------------


@given(
    q2i=q2i_candidates(),
    i2i=i2i_candidates(),
    k=st.integers(1, 40),
    seed=st.text(max_size=8),
    teams=st.sampled_from([(), ("score", "rrf"), ("score", "rrf", "calibrated")]),
)
def test_a_draft_has_every_item_once_with_all_its_sources(q2i, i2i, k, seed, teams) -> None:  # type: ignore[no-untyped-def]
    mix = Mix(method="interleave", shares={"q2i": 1.0}, teams=teams, seed=seed)
    answer = merge({"q2i": q2i, "i2i": i2i}, k, mix)
    found = {c.item_id for c in [*q2i, *i2i]}
    ids = [item["item_id"] for item in answer]
    assert len(ids) == len(set(ids)) == min(k, len(found))
    assert answer == merge({"q2i": q2i, "i2i": i2i}, k, mix)
    for item in answer:
        assert item["sources"] == [c.source for c in [*q2i, *i2i] if c.item_id == item["item_id"]]
    assert [item["score"] for item in answer] == sorted((item["score"] for item in answer), reverse=True)


@given(q2i=q2i_candidates(), i2i=i2i_candidates(), seed=st.text(max_size=8))
def test_teams_pick_in_turns_and_their_best(q2i, i2i, seed) -> None:  # type: ignore[no-untyped-def]
    mix = Mix(method="interleave", shares={}, seed=seed)
    answer = merge({"q2i": q2i, "i2i": i2i}, 1000, mix)
    own = {
        name: list(dict.fromkeys(c.item_id for c in found)) for name, found in (("q2i", q2i), ("i2i", i2i))
    }
    picked: dict[str, int] = {"q2i": 0, "i2i": 0}
    taken: set[str] = set()
    for item in answer:
        team = item["team"]
        other = "i2i" if team == "q2i" else "q2i"
        left = [i for i in own[other] if i not in taken]
        picked[team] += 1
        if left:  # else the other has nothing to pick
            assert picked[team] <= picked[other] + 1
        if team == "q2i":  # its own order is that of its scores; ties of I2I are by id
            best = max(c.value for c in q2i if c.item_id not in taken)
            assert next(c.value for c in q2i if c.item_id == item["item_id"]) == best
        taken.add(item["item_id"])


def test_no_team_has_the_better_places() -> None:
    # Two teams of the same strength with nothing in common: over many requests each is first as often.
    q2i = [candidate(f"q{n}", n, 0.9 - n / 100) for n in range(1, 11)]
    i2i = [candidate(f"n{n}", n, 0.9 - n / 100, "t") for n in range(1, 11)]
    first: Counter[str] = Counter()
    for request in range(2000):
        mix = Mix(method="interleave", shares={}, seed=f"request-{request}")
        answer = merge({"q2i": q2i, "i2i": i2i}, 10, mix)
        first[answer[0]["team"]] += 1
        assert Counter(item["team"] for item in answer) == {"q2i": 5, "i2i": 5}
    # Four standard deviations of 2,000 throws of a coin.
    assert abs(first["q2i"] - 1000) < 4 * (2000 * 0.25) ** 0.5
