"""``DELETE /users/{user_id}``: takes a user out of what the service can reach."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from service.access.guard import CALLER
from service.errors import FieldError
from service.http import documentation as docs
from service.http.columnar import json_response
from service.http.requests import Call
from service.http.routing import RawRoute

_MAX_USER_ID = 128
#: What an operator has to see to, because the service cannot.
NOT_REACHED = [
    "events of the user in the shop's files, and in streams that `events.stream` does not name: while they "
    "are there a portrait may be made again, as it may of events that a follower is at work on now",
    "portraits of bundles that this service does not serve: `mrse produce forget` removes them, else their "
    "time to live ends them",
    "logs at level debug, backups of Redis, and what proxies and clients keep",
]


class Forgotten(TypedDict):
    """What was removed, and what is left to others."""

    portraits: Annotated[int, Field(description="Stored portraits that were removed, of all bundles served.")]
    events: Annotated[int, Field(description="Events that were removed from the stream.")]
    not_reached: Annotated[list[str], Field(description="What the service cannot remove.")]


async def forget_user(request: Request) -> Response:
    """Forget a user. When it answers 200, no worker answers by the user's stored portrait any more.

    Portraits and events are kept in Redis alone, never in a worker, so that there is nothing to wait for.
    """
    call = Call(request)
    user_id: str = request.path_params["user_id"]
    if not 1 <= len(user_id) <= _MAX_USER_ID:
        raise FieldError("user_id", f"must have 1 to {_MAX_USER_ID} characters")
    who = request.scope[CALLER].name
    audit = call.runtime.audit
    async with audit.change(who, "forget", [user_id], shown=False, request_id=call.request_id):
        portraits, events = await call.runtime.forget(user_id)
    answer: Forgotten = {"portraits": portraits, "events": events, "not_reached": NOT_REACHED}
    return json_response(answer)


routes = [
    RawRoute(
        "/users/{user_id:path}",  # an id may hold slashes
        forget_user,
        needs="write",
        methods=["DELETE"],
        summary="Forget a user",
        tags=["admin"],
        responses={
            200: docs.answer("The user has no stored portrait here any more.", Forgotten),
            **docs.KEY_PROBLEMS,
            422: docs.problem("The id cannot be used."),
            503: docs.PROBLEM_503,
        },
        openapi_extra={
            "parameters": [
                docs.parameter("user_id", "path", {"type": "string", "maxLength": _MAX_USER_ID}, "The user.")
            ],
            "security": [{"token": []}],
        },
    )
]
