"""No request, accepted or refused, holds the event loop for long or takes much memory of a real process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from shutil import copytree
from typing import Any

import pytest

from benchmarks.servers import server
from devtools.cost.judge import Judge
from devtools.cost.requests import Mutator, Recipe, corpus, encoded, expanded
from devtools.cost.watch import VARIABLE, Watch
from devtools.waiting import free_port
from tests.service.conftest import Demo

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is read from /proc")
RECIPES = corpus()


@pytest.fixture(scope="module")
def judge(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    work = tmp_path_factory.mktemp("cost")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "devtools.cost.service",
        str(port),
        str(demo.bundle.path),
        str(copytree(demo.index, work / "index")),  # some of the requests change it
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(VARIABLE, str(work / "watch"))
        watch = Watch(work / "watch")
        with server(command, port, "/readyz", work / "log", patience_s=120) as pid:
            judge = Judge(port, pid, watch)
            for recipe in RECIPES[:3]:
                judge.cost(recipe)
            yield judge
            judge.close()


def measured(judge: Judge, recipes: list[Recipe]) -> list[dict[str, Any]]:
    costs = [judge.cost(recipe) for recipe in recipes]
    return [
        cost.as_json()
        for cost in costs
        if cost.score > 1 or not (cost.turned_away or 200 <= cost.status < 500)
    ]


def test_no_request_costs_more_than_it_may(judge: Judge) -> None:
    assert measured(judge, RECIPES) == []


def test_nor_do_their_mutations(judge: Judge) -> None:
    mutator, others = Mutator(7), reversed(RECIPES)
    assert measured(judge, [mutator.mutated(*pair) for pair in zip(RECIPES, others, strict=True)]) == []


def test_what_is_repeated_is_written_once_to_the_same_bytes() -> None:
    recipes, mutator = corpus(), Mutator(1)
    for recipe in [*recipes, *(mutator.mutated(each, recipes[0]) for each in recipes)]:
        assert encoded(recipe.body) == json.dumps(expanded(recipe.body), ensure_ascii=False)
