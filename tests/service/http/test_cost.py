"""What a body may cost to parse is told from its bytes."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.cost import BATCH, CHANGES, ITEMS, MAX_ITEMS, ONE_ITEM, ONE_REQUEST, Costing
from service.http.problems import ProblemError
from tests.support.answers import check_problem

JSON = {"Content-Type": "application/json"}
LIMIT = 65_536


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{" + b'"a":1,' * 20_000 + b"}", "beside pictures"),
        (b'{"filters":' + b"[" * 9_000, "over 8192 fields and values"),
        (b'{"query":"' + b"," * 8_193 + b'"}', "over 8192 fields and values"),
        (b'{"picture":"' + b"A" * 70_000 + b'","picture":"' + b"A" * 70_000 + b'"}', "beside pictures"),
        (b'{"picture":[' + b'"AAAA",' * 20_000 + b'""]}', "beside pictures"),
        (b'{"picture"' + b" " * 70_000 + b':""}', "beside pictures"),
        (b"{" + b'"picture":"",' * 10_000 + b"}", "beside pictures"),
    ],
)
def test_what_costs_too_much_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ProblemError) as caught:
        ONE_REQUEST.check(bytearray(body), LIMIT)
    assert caught.value.status == 413
    assert reason in caught.value.detail


@pytest.mark.parametrize("space", ["", " ", "\n\t "])
def test_a_picture_is_not_counted(space: str) -> None:
    picture = f'"picture"{space}:{space}"{"A" * 3_000_000}"'
    ONE_REQUEST.check(bytearray(f'{{"query":"a",{picture}}}'.encode()), LIMIT)
    ONE_REQUEST.check(bytearray(f"{{{picture}"[:2_000_000].encode()), LIMIT)
    entries = ",".join([f"{{{picture}}}"] * 3)
    BATCH.check(bytearray(f'{{"requests":[{entries}]}}'.encode()), LIMIT)
    CHANGES.check(bytearray(b'{"items":[' + b"0.1234567890123," * 250_000), LIMIT)


@given(st.binary(max_size=60).map(lambda part: part * 90))
def test_any_bytes_are_let_through_or_refused(body: bytes) -> None:
    for costing in (ONE_REQUEST, BATCH, CHANGES):
        costing.check(bytearray(body), LIMIT)


def test_changes_may_have_many_numbers_but_not_as_many_fields() -> None:
    with pytest.raises(ProblemError) as caught:
        CHANGES.check(b'{"items":[{' + b'"a":1,' * 33_000, LIMIT)
    assert "over 32768 fields" in caught.value.detail


@pytest.mark.parametrize("costing", [CHANGES, ITEMS])
def test_changes_may_have_many_numbers_but_not_as_many_lists(costing: Costing) -> None:
    with pytest.raises(ProblemError) as caught:
        costing.check(b'{"items":[{"vector":[' + b"[]," * 40_000, LIMIT)
    assert "over 32768 lists and objects" in caught.value.detail


def test_the_largest_item_passes_and_larger_ones_do_not() -> None:
    item = {"title": "\u00fc" * 2048, "description": "\U0001f457" * 16_384, "picture": "A" * 3_000_000}
    one = json.dumps(item | {"attributes": {"tags": ["\u00fc" * 32] * 1024}})
    ONE_ITEM.check(one.encode(), LIMIT)
    ITEMS.check(f'{{"items":[{",".join([one[:9000]] * MAX_ITEMS)}]}}'.encode(), LIMIT)
    for costly in (json.dumps({"title": "\u0149" * 700_000}), json.dumps({f"x{n}": 1 for n in range(5000)})):
        with pytest.raises(ProblemError) as caught:
            ONE_ITEM.check(costly.encode(), LIMIT)
        assert caught.value.status == 413


def test_a_body_of_many_errors_names_none(client: httpx.Client) -> None:
    body = json.dumps({f"x{number}": 1 for number in range(5_000)}).encode()
    problem = check_problem(client.post("/recall", content=body, headers=JSON), 422)
    assert "errors" not in problem
    assert "5000 fields cannot be used" in problem["detail"]
    few = json.dumps({f"x{number}": 1 for number in range(100)}).encode()
    problem = check_problem(client.post("/recall", content=few, headers=JSON), 422)
    assert len(problem["errors"]) == 20


def test_a_query_string_is_bounded(client: httpx.Client) -> None:
    many = "&".join(f"x{number}=1" for number in range(40))
    assert "40 parameters" in check_problem(client.get(f"/items/i1/similar?{many}"), 422)["detail"]
    long = "filters=" + "%20" * 6_000
    assert "18008 bytes" in check_problem(client.get(f"/items/i1/similar?{long}"), 422)["detail"]
