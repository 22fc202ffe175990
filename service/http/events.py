"""``POST /events``: what users did, for the histories that `mrse produce follow` keeps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

from artifacts.actions import ACTIONS
from artifacts.behaviours import AHEAD, MAX_ID_CHARACTERS, written
from common.deadline import Deadline
from common.schema import OneOf
from index.port import IndexUnavailable
from service.http import documentation as docs
from service.http.columnar import json_response
from service.http.cost import EVENTS, MAX_EVENTS
from service.http.problems import FieldProblem, ProblemError, problems_of
from service.http.requests import Call, parse_entries
from service.http.routing import RawRoute

#: Seconds that may pass until it is known which items there are.
_LOOK_UP_S = 0.5
_Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


class _Body(BaseModel):
    # Built when the first request comes: by then extensions have registered their event actions.
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class UserEvent(_Body):
    """One thing that a user did."""

    user_id: _Id
    item_id: _Id
    action: Annotated[str, OneOf(ACTIONS.final_behaviours)]
    ts: AwareDatetime | None = Field(
        default=None,
        description="ISO 8601 with a time zone; without it the event counts as just now. With it, an event "
        "that is sent twice counts once.",
    )


class UserEvents(_Body):
    """Events, in any order."""

    events: list[UserEvent] = Field(min_length=1, max_length=MAX_EVENTS)


class _Envelope(_Body):
    events: list[Any] = Field(min_length=1, max_length=MAX_EVENTS)


class RefusedEvent(TypedDict):
    """An event that was not taken, by its place in the call, and why."""

    place: int
    errors: list[FieldProblem]


class TakenEvents(TypedDict):
    """What is in the stream now."""

    taken: int
    unknown: Annotated[
        list[str] | None,
        Field(
            description="Items that no arm's index has; their events are taken. Null where that is not known."
        ),
    ]
    refused: list[RefusedEvent]


async def post_events(request: Request) -> Response:
    """Take events. One that cannot be used is told and leaves the others as they are."""
    call = Call(request)
    now = datetime.now(UTC)
    entries: list[dict[str, str]] = []
    refused: list[RefusedEvent] = []

    def read_one(entry: Any, place: int) -> None:
        try:
            # As JSON once more, for times are strings there.
            event = UserEvent.model_validate_json(_dumped(entry))
        except ValidationError as error:
            refused.append({"place": place, "errors": problems_of(error, "events", place)})
            return
        ts = event.ts or now
        if ts > now + AHEAD:
            told: FieldProblem = {"field": f"events.{place}.ts", "reason": "the time is over a day ahead"}
            refused.append({"place": place, "errors": [told]})
        else:
            entries.append(written(event.user_id, event.item_id, event.action, ts))

    await parse_entries(_Envelope, "events", await call.read(EVENTS), read_one)
    runtime = call.runtime
    runtime.guard.charge(request.scope, len(entries) + len(refused) - 1)
    runtime.metrics.events("refused", len(refused))
    if not entries:
        errors = [problem for event in refused for problem in event["errors"]]
        raise ProblemError(422, "invalid-request", f"{errors[0]['field']}: {errors[0]['reason']}", errors)
    unknown = await _unknown(call, list(dict.fromkeys(entry["item"] for entry in entries)))
    await runtime.events.add(entries)
    runtime.metrics.events("taken", len(entries))
    answer: TakenEvents = {"taken": len(entries), "unknown": unknown, "refused": refused}
    return json_response(answer, status=207 if refused else 200)


def _dumped(entry: Any) -> bytes:
    try:
        return orjson.dumps(entry)
    except TypeError:  # nested deeper than any event
        return b"null"


async def _unknown(call: Call, ids: list[str]) -> list[str] | None:
    """Those that no arm's index has; None where an index did not say of all."""
    left, deadline = ids, Deadline.after(_LOOK_UP_S)
    for index in {id(each.index): each.index for each in call.runtime.deployments.values()}.values():
        try:
            stored = await index.vectors(left, deadline)
        except IndexUnavailable:
            return None
        if stored.coverage < 1:
            return None
        known = set(stored.ids)
        left = [item_id for item_id in left if item_id not in known]
    return left


_EXAMPLE = {"user_id": "u42", "item_id": "i9", "action": "click", "ts": "2026-11-19T10:00:00Z"}
routes = [
    RawRoute(
        "/events",
        post_events,
        needs="events",
        methods=["POST"],
        operation_id="add_events",
        summary="Tell what users did",
        tags=["events"],
        responses={
            200: docs.answer("They are in the stream.", TakenEvents),
            207: docs.answer("Some are, and some were refused: `refused` says which and why.", TakenEvents),
            **docs.BODY_PROBLEMS,
            422: docs.problem("No event can be used; `errors` names the fields."),
            501: docs.problem("No stream is set."),
            503: docs.problem(
                "Redis does not answer, or its followers are too far behind; see Retry-After, and send again."
            ),
        },
        openapi_extra={
            "requestBody": docs.body(UserEvents, {"click": {"value": {"events": [_EXAMPLE]}}}),
            "security": [{"token": []}],
        },
    )
]
