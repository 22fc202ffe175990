from models.evaluation.heldout import HeldOut
from tests.models.evaluation.requests import ROWS, Graded, request


def test_requests_are_numbered_by_what_was_asked() -> None:
    held_out = HeldOut.number(
        [
            request("Red", "a"),
            request("red ", "b"),
            request("blue", "z"),
            request("", "a", "u1", "browse"),
            request("", "a", "u2", "browse"),
        ],
        ROWS,
        None,
    )
    assert held_out.query.tolist() == [0, 0, 1, 2]
    assert held_out.wanted.tolist() == [0, 1, 0, 0]
    assert [places.tolist() for places in held_out.by_query] == [[0, 1], [2], [3]]
    assert (held_out.queries, held_out.gains) == (3, "clicks")


def test_of_browsing_no_grade_is_known() -> None:
    held_out = HeldOut.number([request("red", "a"), request("red", "a", "u", "browse")], ROWS, Graded())
    assert held_out.known_grades(0) is not None
    assert held_out.known_grades(1) is None
    assert held_out.gains == "judge"
