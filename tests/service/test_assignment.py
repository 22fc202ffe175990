"""Who takes part in which experiment: layers, slots, ramps, a holdout, and the switch."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError
from scipy.stats import chi2_contingency

from service.experiments import ExperimentBook
from service.recall.settings import composed_recall
from service.settings import Arm, AssignmentSettings
from service.settings.assigning import Live, overlaid

UNITS = [f"user-{n}" for n in range(20_000)]


def weights(**arms: float) -> dict[str, Arm]:
    return {arm: Arm(weight=weight) for arm, weight in arms.items()}


def book(plan: dict[str, Any], **experiments: dict[str, Arm]) -> ExperimentBook:
    its = AssignmentSettings.model_validate(plan)
    return ExperimentBook(experiments, composed_recall()(), plan=its)


def arms_of(its: ExperimentBook, units: list[str] = UNITS) -> list[dict[str, str]]:
    return [its.assign(unit, None).arms for unit in units]


def test_a_million_users_are_spread_by_weight_and_each_experiment_apart_from_the_other() -> None:
    """The hash is fixed, so nothing here depends on chance or on the machine."""
    its = book({}, one=weights(a=70, b=30), two=weights(x=50, y=40, z=10))
    drawn = [its._experiments["one"].draw, its._experiments["two"].draw]
    texts = [b"user-%d" % n for n in range(1_000_000)]
    counts = Counter(zip(map(drawn[0], texts), map(drawn[1], texts), strict=True))
    for place, shares in enumerate(({"a": 0.7, "b": 0.3}, {"x": 0.5, "y": 0.4, "z": 0.1})):
        for arm, share in shares.items():
            found = sum(count for pair, count in counts.items() if pair[place] == arm) / len(texts)
            assert abs(found / share - 1) < 0.01, (arm, found)
    table = [[counts[one, two] for two in "xyz"] for one in "ab"]
    assert chi2_contingency(table).pvalue > 0.001


def test_experiments_of_a_layer_exclude_each_other_and_layers_are_independent() -> None:
    plan = {
        "layers": {"ranking": {}, "towers": {"salt": "autumn"}},
        "experiments": {
            "one": {"layer": "ranking", "slot": [0.0, 0.4]},
            "two": {"layer": "ranking", "slot": [0.4, 0.8]},
            "three": {"layer": "towers", "slot": [0.0, 0.5]},
        },
    }
    its = book(plan, one=weights(a=1, b=1), two=weights(a=1, b=1), three=weights(a=1, b=1))
    found = arms_of(its)
    assert not [arms for arms in found if "one" in arms and "two" in arms]
    for name, share in (("one", 0.4), ("two", 0.4), ("three", 0.5)):
        assert abs(sum(name in arms for arms in found) / len(found) - share) < 0.015, name
    table = [[0, 0], [0, 0]]
    for arms in found:
        table["one" in arms]["three" in arms] += 1
    assert chi2_contingency(table).pvalue > 0.001
    inside = Counter((arms["one"], arms["three"]) for arms in found if {"one", "three"} <= arms.keys())
    assert chi2_contingency([[inside[one, three] for three in "ab"] for one in "ab"]).pvalue > 0.001
    assert found == arms_of(book(plan, one=weights(a=1, b=1), two=weights(a=1, b=1), three=weights(a=1, b=1)))


def test_another_salt_of_a_layer_draws_its_places_anew() -> None:
    def part(salt: str) -> set[str]:
        plan = {"layers": {"l": {"salt": salt}}, "experiments": {"one": {"layer": "l", "slot": [0, 0.5]}}}
        its = book(plan, one=weights(a=1))
        return {unit for unit in UNITS if "one" in its.assign(unit, None).arms}

    before, after = part("spring"), part("autumn")
    assert abs(len(before & after) / len(before) - 0.5) < 0.03


def test_a_ramp_takes_more_and_moves_nobody() -> None:
    def found(ramp: float) -> dict[str, str]:
        its = book({"experiments": {"one": {"ramp": ramp}}}, one=weights(a=1, b=1))
        return {unit: arms["one"] for unit in UNITS if "one" in (arms := its.assign(unit, None).arms)}

    steps = [found(ramp) for ramp in (0.0, 0.01, 0.2, 1.0)]
    assert [round(len(step) / len(UNITS), 2) for step in steps] == [0.0, 0.01, 0.2, 1.0]
    for fewer, more in itertools.pairwise(steps):
        assert fewer.items() <= more.items()


def test_the_holdout_takes_part_in_nothing_and_is_answered_as_without_experiments() -> None:
    experiments = {"one": {"on": Arm(recall={"merge": "rrf"})}, "towers": weights(control=1, treatment=1)}
    its = book({"holdout": 0.1}, **experiments)
    plain = composed_recall()()
    held = 0
    for unit in UNITS[:5000]:
        found = its.assign(unit, None)
        if found.arms["holdout"] == "in":
            held += 1
            assert found.arms == {"holdout": "in"}
            assert found.towers == "control"
            assert found.recall == plain
        else:
            assert found.recall.merge == "rrf"
            assert found.arms["towers"] == found.towers
    assert abs(held / 5000 - 0.1) < 0.02
    assert its.describe()["holdout"] == {"out": 0.9, "in": 0.1}


def test_who_is_switched_off_gets_what_there_would_be_without_the_experiment() -> None:
    arms = {"towers": weights(treatment=1, control=0), "one": {"x": Arm(recall={"merge": "rrf"})}}
    on = book({}, **arms)
    off = book({"experiments": {"towers": {"on": False}, "one": {"on": False}}}, **arms)
    assert on.assign("u", None).towers == "treatment"
    assert (on.carrying(), off.carrying()) == ({"treatment"}, {"control"})
    found = off.assign("u", None)
    assert (found.arms, found.towers, found.recall) == ({}, "control", composed_recall()())
    forced = off.assign("u", "one=x", any_arm=True)
    assert (forced.arms, forced.forced, forced.recall.merge) == ({"one": "x"}, ("one",), "rrf")


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"experiments": {"a": {"layer": "l"}}}, "there is no assignment.layers.l"),
        (
            {
                "layers": {"l": {}},
                "experiments": {
                    "a": {"layer": "l", "slot": [0, 0.6]},
                    "b": {"layer": "l", "slot": [0.5, 1]},
                },
            },
            "the slots of a and b overlap in the layer l",
        ),
        ({"experiments": {"a": {"slot": [0.5, 0.5]}}}, "ends where it begins"),
        ({"holdout": 0.95}, "less than or equal to 0.9"),
        ({"experiments": {"a": {"salt": "ä"}}}, "should match pattern"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(plan: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        AssignmentSettings.model_validate(plan)


def test_of_a_file_that_names_what_is_not_there_the_rest_holds() -> None:
    live = Live.model_validate(
        {
            "holdout": 0.2,
            "experiments": {
                "one": {"on": False, "weights": {"a": 0, "b": 0}},
                "two": {"weights": {"x": 3}},
                "three": {"weights": {"z": 1}},
                "four": {"on": False},
            },
        }
    )
    experiments = {"one": weights(a=1, b=1), "two": weights(x=1, y=1), "three": weights(a=1)}
    arms, plan, problems = overlaid(experiments, AssignmentSettings(), live)
    assert problems == [
        "experiments.one.weights: no arm has a weight",
        "experiments.three.weights.z: there is no such arm",
        "experiments.four: there is no such experiment",
    ]
    assert plan.holdout == 0.2
    assert not plan.part("one").on
    assert {name: {arm: its.weight for arm, its in each.items()} for name, each in arms.items()} == {
        "one": {"a": 1, "b": 1},
        "two": {"x": 3, "y": 1},
        "three": {"a": 1},
    }
