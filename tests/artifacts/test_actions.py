from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.actions import ACTIONS, Action, ActionError, ActionTable, either
from common.errors import USAGE


def test_ids_are_places_among_the_behaviours_from_1() -> None:
    table = ActionTable(Action("seen", is_behaviour=False), Action("click"), Action("order"))
    table.register(Action("returned", is_behaviour=False))
    table.register(Action("wish"))
    assert table.names == ("seen", "click", "order", "returned", "wish")
    assert table.behaviours == ("click", "order", "wish")
    assert dict(table.behaviour_ids) == {"click": 1, "order": 2, "wish": 3}


def test_the_core_s_ids_are_those_of_the_bundles_that_exist() -> None:
    assert dict(ACTIONS.behaviour_ids) == {"click": 1, "cart": 2, "order": 3}


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ActionError, match="'click' is registered already") as caught:
        ActionTable(Action("click")).register(Action("click"))
    assert caught.value.exit_code == USAGE


def test_nothing_is_registered_after_the_table_was_used() -> None:
    table = ActionTable(Action("click"))
    assert table.final_behaviours() == ("click",)
    with pytest.raises(ActionError, match="too late"):
        table.register(Action("wish"))


def test_names_in_words() -> None:
    assert [either(("a",)), either(("a", "b")), either(("a", "b", "c"))] == ["a", "a or b", "a, b or c"]


PROGRAM = """
from artifacts.actions import ACTIONS, Action
ACTIONS.register(Action("wish"))
from artifacts.shop.values import action
from service.http.schemas import HistoryEntry, RecallRequest
assert action("wish") == "wish"
assert HistoryEntry(item_id="a", action="wish").action == "wish"
schema = RecallRequest.model_json_schema()["$defs"]["HistoryEntry"]
assert schema["properties"]["action"]["enum"][-1] == "wish"
"""


def test_a_registered_action_stands_in_the_log_and_in_the_request_schema() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
