"""Who gets which arm."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import StartError
from service.experiments import ExperimentBook
from service.recall.routes.i2i import I2ISettings
from service.recall.settings import composed_recall
from service.settings import Arm

UNITS = [f"user-{n}" for n in range(20_000)]


def book(unknown: list[str] | None = None, **experiments: dict[str, Arm]) -> ExperimentBook:
    return ExperimentBook(experiments, composed_recall()(), (unknown if unknown is not None else []).append)


def weights(**arms: float) -> dict[str, Arm]:
    return {arm: Arm(weight=weight) for arm, weight in arms.items()}


def test_without_settings_everybody_is_in_control() -> None:
    assignment = book().assign("anyone", None)
    assert assignment.arms == {"towers": "control"}
    assert assignment.header == "towers=control"


def test_units_are_spread_by_weight() -> None:
    experiment = book(merge=weights(a=70, b=20, c=10, off=0))
    counts = Counter(experiment.assign(unit, None).arms["merge"] for unit in UNITS)
    assert set(counts) == {"a", "b", "c"}
    for arm, share in (("a", 0.7), ("b", 0.2), ("c", 0.1)):
        # Four standard deviations of a binomial draw; the hash is fixed, so this cannot flicker.
        assert abs(counts[arm] / len(UNITS) - share) < 4 * (share * (1 - share) / len(UNITS)) ** 0.5


def test_a_user_keeps_the_arm() -> None:
    first, second = book(merge=weights(a=1, b=1)), book(merge=weights(a=1, b=1))
    assert [first.assign(u, None).arms for u in UNITS[:500]] == [
        second.assign(u, None).arms for u in UNITS[:500]
    ]


def test_users_stay_in_the_arms_that_they_had() -> None:
    """Recorded with the release that made every combination at start: sticky users must not move."""
    units = [*UNITS[:2000], "", "ü", "\ud800", "x" * 500]
    recorded = {
        "6fa4d87d5b5b8761efb16b4718441ac6ca2fe73068c6c1ef9cf48343665df293": book(
            merge=weights(a=70, b=20, c=10, off=0)
        ),
        "570fe1fbbb86f6886b98a56ddb351c3c1d1101fc3dae24310781ee26ad140932": book(
            towers=weights(control=3, treatment=1), routes=weights(x=1, y=1.5, z=0.5)
        ),
    }
    for digest, experiments in recorded.items():
        lines = [",".join(experiments.assign(unit, None).arms.values()) for unit in units]
        assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == digest, lines[:5]


def test_experiments_are_independent() -> None:
    both = book(one=weights(a=1, b=1), two=weights(a=1, b=1))
    pairs = Counter(tuple(both.assign(unit, None).arms.values())[1:] for unit in UNITS)
    assert len(pairs) == 4
    for count in pairs.values():
        assert abs(count / len(UNITS) - 0.25) < 0.0125


def test_a_new_arm_moves_nobody_between_the_old_ones_it_follows() -> None:
    before = book(merge=weights(a=50, b=50))
    after = book(merge=weights(a=50, b=40, c=10))
    for unit in UNITS[:2000]:
        old, new = (x.assign(unit, None).arms["merge"] for x in (before, after))
        assert new in (old, "c")


def test_the_header_decides_even_for_an_arm_without_weight() -> None:
    experiment = book(merge=weights(a=1, off=0), towers=weights(control=1, treatment=0))
    assignment = experiment.assign("u", " towers = treatment , merge=off", any_arm=True)
    assert assignment.arms == {"towers": "treatment", "merge": "off"}
    assert assignment.towers == "treatment"


@given(st.text(max_size=200))
def test_no_header_breaks_it_and_none_breaks_out_of_the_answer(header: str) -> None:
    unknown: list[str] = []
    assignment = book(unknown, merge=weights(a=1)).assign("u", header, any_arm=True)
    assert assignment.arms == {"towers": "control", "merge": "a"}
    assert len(unknown) == len(assignment.ignored)
    value = assignment.header
    assert value.isascii()
    assert value.isprintable()
    assert len(value) < 2000


def test_unknown_names_are_told_apart() -> None:
    unknown: list[str] = []
    assignment = book(unknown, merge=weights(a=1)).assign("u", "merge=z,color=red,merge", any_arm=True)
    assert unknown == ["variant", "experiment", "variant"]
    assert assignment.ignored == ("merge=z", "color=red", "merge")


def test_arms_change_the_options_together() -> None:
    experiment = book(
        merge={"rrf": Arm(recall={"merge": "rrf", "i2i": {"triggers": 2}})},
        routes={"no": Arm(recall={"i2i": {"enabled": False}})},
    )
    options = experiment.assign("u", None).recall
    i2i = options.tables["i2i"]
    assert isinstance(i2i, I2ISettings)
    assert (options.merge, i2i.enabled, i2i.triggers) == ("rrf", False, 2)
    assert i2i.neighbours == I2ISettings().neighbours


def test_arms_that_do_not_go_together_are_found_at_start() -> None:
    with pytest.raises(StartError, match="do not go together"):
        book(
            a={"x": Arm(recall={"q2i": {"share": 0.2}, "i2i": {"share": 0.8}})},
            b={"y": Arm(recall={"q2i": {"share": 0.5}})},
        )


def test_the_header_chooses_only_what_is_open() -> None:
    unknown: list[str] = []
    arms = {"a": Arm(weight=1), "b": Arm(weight=0, forced=True), "secret": Arm(weight=0)}
    experiment = book(unknown, merge=arms)
    for header, arm, ignored in (
        ("merge=b", "b", ()),
        ("merge=a", "a", ("merge=a",)),
        ("merge=secret", "a", ("merge=secret",)),
        ("merge=absent", "a", ("merge=absent",)),
    ):
        assignment = experiment.assign("u", header)
        assert (assignment.arms["merge"], assignment.ignored) == (arm, ignored)
    assert unknown == ["forbidden", "forbidden", "variant"]
    assert experiment.assign("u", "merge=secret", any_arm=True).arms["merge"] == "secret"
