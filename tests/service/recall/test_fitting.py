"""Fitting: curves find a route that says something, leave out one that says nothing, and can be merged by."""

from __future__ import annotations

import numpy as np
import pytest

from service.recall.calibration import BUILT_IN, Calibration
from service.recall.fitting import Judged, Limit, as_served, fit, judged_of, ranking
from service.recall.merge import Mix
from service.recall.routes.outcome import Candidate


def candidate(route: str, item: str, rank: int, score: float) -> Candidate:
    return Candidate(item, score, {"route": route, "rank": rank, "score": score})


def best_first(route: str, scores: dict[str, float]) -> list[Candidate]:
    ordered = sorted(scores.items(), key=lambda pair: -pair[1])
    return [candidate(route, item, rank, score) for rank, (item, score) in enumerate(ordered, 1)]


def requests(count: int, telling: float, seed: int = 0, near: float = 0.03) -> list[Judged]:
    """The right item is drawn up by ``near`` in Q2I, a little, and by ``telling`` in words."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        right = f"i{rng.integers(30)}"
        cosines = {f"i{n}": 0.3 + 0.05 * rng.standard_normal() for n in range(30)}
        cosines[right] += near
        words = {f"i{n}": 10 + 2 * rng.standard_normal() for n in range(30)}
        words[right] += telling
        made.append(
            Judged({"q2i": best_first("q2i", cosines), "lexical": best_first("lexical", words)}, {right: 1.0})
        )
    return made


def first(judged: list[Judged], mix: Mix, without: str | None = None) -> float:
    return float(np.mean([ranking(each, mix, without)[0] in each.gains for each in judged]))


def test_words_that_tell_are_found_and_hold_for_other_requests() -> None:
    curves = fit(requests(80, telling=8.0))
    mix = Mix(method="calibrated", shares={}, calibration=Calibration(bundle="b", curves=curves))
    others = requests(80, telling=8.0, seed=1)
    assert first(others, mix) > first(others, mix, without="lexical") + 0.3
    assert curves["lexical"].points[-1][1] > 0.1


def test_towers_that_tell_nothing_leave_the_words_as_they_stand_where_the_built_in_curve_does_not() -> None:
    curves = fit(requests(50, telling=8.0, near=0.0))
    fitted = Mix(method="calibrated", shares={}, calibration=Calibration(bundle="b", curves=curves))
    others = requests(80, telling=8.0, near=0.0, seed=1)
    words = first(others, fitted, without="q2i")
    assert first(others, fitted) > words - 0.03
    assert first(others, fitted._replace(calibration=BUILT_IN)) < words - 0.1


def test_words_that_tell_nothing_are_worth_next_to_nothing() -> None:
    curves = fit(requests(80, telling=0.0))
    assert curves["lexical"].points[-1][1] <= 0.1


def test_a_route_alone_has_its_own_order() -> None:
    (judged,) = requests(1, telling=3.0)
    mix = Mix(method="calibrated", shares={}, calibration=Calibration(bundle="b", curves=fit([judged])))
    assert ranking(judged, mix, without="lexical") == [c.item_id for c in judged.routes["q2i"]]


@pytest.mark.parametrize("judged", [[], [Judged({}, {"i1": 1.0})], [Judged({"q2i": []}, {})]])
def test_requests_without_answers_fit_nothing(judged: list[Judged]) -> None:
    assert fit(judged) == {}


def photos(count: int, seed: int = 0) -> list[Judged]:
    """Shoppers' photos: the right item's picture is the nearest by far, at a cosine of 0.4."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        right = f"i{rng.integers(30)}"
        cosines = {f"i{n}": 0.3 + 0.05 * rng.standard_normal() for n in range(30)}
        near = {f"i{n}": 0.1 + 0.05 * rng.standard_normal() for n in range(30)}
        near[right] += 0.3
        found = [
            Candidate(each.item_id, 1 - 4 * (1 - each.value), each.source) for each in best_first("p2i", near)
        ]
        made.append(Judged({"q2i": best_first("q2i", cosines), "p2i": found}, {right: 1.0}))
    return made


def test_pictures_far_from_1_decide_by_a_curve_of_their_own_where_a_floor_leaves_them_out() -> None:
    limits = {"p2i": Limit(floor=0.8, most=10)}
    others = photos(60, seed=1)
    assert not any(as_served(each, limits).routes["p2i"] for each in others)
    plain = Mix(method="calibrated", shares={})
    curves = fit(photos(60), apart=("p2i",))
    judged = Mix(method="calibrated", shares={}, calibration=Calibration(bundle="b", curves=curves))
    assert first(others, judged) > first([as_served(each, limits) for each in others], plain) + 0.5
    assert "p2i" not in fit(photos(60)), "a route on the scale of cosines needs no curve"


def test_a_picture_beside_words_is_fitted_apart_from_one_alone() -> None:
    alone = photos(60)
    misleading = [
        judged_of(each.routes, {f"i{n % 30}": 1.0}, words=True) for n, each in enumerate(photos(60, 2))
    ]
    assert set(misleading[0].routes) == {"q2i", "p2i+text"}
    assert set(judged_of(alone[0].routes, {}, words=False).routes) == {"q2i", "p2i"}
    curves = fit([*alone, *misleading], apart=("p2i", "p2i+text"))
    assert curves["p2i"].points[-1][1] > 0.1
    assert "p2i+text" not in fit([*alone, *misleading], apart=("p2i",))
    both = Mix(method="calibrated", shares={}, calibration=Calibration(bundle="b", curves=curves))
    right = [judged_of(each.routes, each.gains, words=False) for each in photos(60, seed=1)]
    assert first(right, both) > 0.9


def test_a_limit_takes_so_many_from_a_score_on() -> None:
    (judged,) = photos(1)
    scores = [each.source["score"] for each in judged.routes["p2i"]]
    served = as_served(judged, {"p2i": Limit(floor=scores[4], most=3), "absent": Limit(0.0, 1)})
    assert [each.source["score"] for each in served.routes["p2i"]] == scores[:3]
    served = as_served(judged, {"p2i": Limit(floor=scores[4], most=30)})
    assert [each.source["score"] for each in served.routes["p2i"]] == scores[:5]
    assert served.routes["q2i"] is judged.routes["q2i"]
