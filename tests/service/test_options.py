"""What the arms of many experiments make of the options, without going through all combinations."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.errors import StartError
from service.options import Options
from service.recall.routes.i2i import I2ISettings
from service.recall.settings import composed_recall
from service.settings import Arm, Experiments

SHARE = st.floats(0, 1)
CHANGE = st.fixed_dictionaries({}, optional={"q2i": SHARE, "i2i": SHARE}).map(
    lambda shares: {route: {"share": share} for route, share in shares.items()}
)


def named(experiments: list[list[dict[str, Any]]]) -> Experiments:
    return {
        f"e{number}": {f"a{arm}": Arm(recall=change) for arm, change in enumerate(arms)}
        for number, arms in enumerate(experiments)
    }


@given(st.lists(st.lists(CHANGE, min_size=1, max_size=3), max_size=4))
def test_shares_clash_exactly_where_one_of_all_combinations_does(arms: list[list[dict[str, Any]]]) -> None:
    recall, experiments = composed_recall()(), named(arms)
    try:
        for each in arms:
            for change in each:
                recall.changed(change)
    except ValidationError:
        return  # the settings refuse an arm that does not go by itself
    fits = True
    for combination in itertools.product(*arms):
        try:
            recall.changed(*combination)
        except ValidationError:
            fits = False
    if fits:
        Options(recall, experiments)
    else:
        with pytest.raises(StartError, match="do not go together"):
            Options(recall, experiments)


def test_a_hundred_experiments_cost_what_a_hundred_arms_cost() -> None:
    def cost(experiments: int) -> float:
        changes = [
            [{}, {"i2i": {"triggers": 1 + n % 5}}, {"rrf_k": 10 + n, "q2i": {"share": 0.1}}]
            for n in range(experiments)
        ]
        before = time.thread_time()
        options = Options(composed_recall()(), named(changes))
        for draw in range(200):
            options.of({f"e{n}": f"a{(draw + n) % 3}" for n in range(experiments)})
        return time.thread_time() - before

    cost(1)  # what is only made once
    few, many = min(cost(25) for _ in range(3)), min(cost(100) for _ in range(3))
    assert many < 10 * few, "four times the experiments, and room for a busy machine; the product is 3 ** 75"


def test_of_two_arms_that_change_a_key_the_later_experiment_holds() -> None:
    options = Options(
        composed_recall()(), named([[{"i2i": {"triggers": 2}}], [{"i2i": {"triggers": 3}}, {"merge": "rrf"}]])
    )
    for arm, expected in (("a0", 3), ("a1", 2)):
        recall, left_out = options.of({"e0": "a0", "e1": arm})
        i2i = recall.tables["i2i"]
        assert isinstance(i2i, I2ISettings)
        assert i2i.triggers == expected
        assert left_out == ()


def test_arms_that_an_extension_refuses_together_are_left_out_and_told() -> None:
    """Stands for a route of an extension whose table looks at two of its keys: here an arm is just wrong."""
    options = Options(composed_recall()(), named([[{"rrf_k": 7}], [{"rrf_k": 0}]]))
    recall, left_out = options.of({"e0": "a0", "e1": "a0"})
    assert recall.rrf_k == 7
    assert left_out == ("e1=a0",)


def test_only_so_many_combinations_are_kept() -> None:
    options = Options(composed_recall()(), named([[{}, {"rrf_k": 5}]] * 12))
    for draws in itertools.product("01", repeat=12):
        options.of({f"e{n}": f"a{draw}" for n, draw in enumerate(draws)})
    assert len(options._kept) <= 512
