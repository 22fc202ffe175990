"""Every error is answered with a problem, and what an error means stands in one place."""

from __future__ import annotations

import httpx
import pytest

from service.errors import DeadlinePassed, FieldError, NotReady, Overloaded, Unavailable, UnknownItem
from service.http.problems import problem_from
from tests.support.answers import check_problem


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (FieldError("filters.price", "no number"), 422, "invalid-request"),
        (UnknownItem("there is no item 'i0'"), 404, "unknown-item"),
        (Unavailable("the index gave no answer"), 503, "unavailable"),
        (Overloaded("too many requests"), 503, "overloaded"),
        (NotReady("verifying the bundle"), 503, "not-ready"),
        (DeadlinePassed("search"), 504, "deadline"),
        (ValueError("a bug, with a secret"), 500, "internal"),
    ],
)
def test_an_error_means_one_thing_to_the_client(error: Exception, status: int, kind: str) -> None:
    problem = problem_from(error, retry_after_s=7)
    assert (problem.status, problem.kind) == (status, kind)
    assert problem.headers == ({"Retry-After": "7"} if status == 503 else {})
    assert "secret" not in problem.body("r1")["detail"]


def test_unknown_paths_and_methods_are_problems(client: httpx.Client) -> None:
    nowhere = client.get("/nowhere")
    check_problem(nowhere, 404)
    assert nowhere.json()["detail"] == "there is nothing at /nowhere; /docs lists every call"
    check_problem(client.get("/recall/"), 404)
    response = client.get("/v1/recall")
    check_problem(response, 405)
    assert response.headers["allow"] == "POST"
    assert response.json()["detail"] == "/v1/recall does not take GET; it takes POST"
    check_problem(client.post("/livez"), 405)
    assert client.post("/livez").headers["allow"] == "GET, HEAD"


def test_a_path_that_nobody_knows_is_given_back_bounded_and_printable(client: httpx.Client) -> None:
    detail = client.get("/" + "é" * 4_000).json()["detail"]
    assert len(detail) < 200
    assert "/%C3%A9%C3%A9" in detail
