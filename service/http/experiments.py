"""``/admin/experiments``: weights, ramps and the kill switch, changed while the service runs.

When a call answers 200 its change is on disk and in this worker's next answer, and within a second in that of
every other. Mounted with the admin API.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from service.access.guard import CALLER
from service.errors import FieldError, InsufficientStorage
from service.http import documentation as docs
from service.http.columnar import json_response
from service.http.cost import CHANGES
from service.http.problems import ProblemError
from service.http.requests import Call, parse
from service.http.routing import RawRoute
from service.live_experiments import LiveError
from service.settings.assigning import Live


class ChangeExperiments(Live):
    """What is to be otherwise; what is left out stays as it is."""


class LivePartTold(TypedDict):
    """An experiment: whether it is on, who takes part, and the weights of its arms."""

    on: bool
    ramp: float
    layer: str | None
    slot: list[float]
    weights: dict[str, float]


class ExperimentsTold(BaseModel):
    """The experiments as they are."""

    holdout: float = Field(description="Share of the units that take part in none.")
    experiments: dict[str, LivePartTold]


async def list_experiments(request: Request) -> Response:
    """The experiments as the settings and the file have them now."""
    call = Call(request)
    if call.runtime.live_experiments.look():
        call.runtime.take_experiments()
    return json_response(call.runtime.experiments.details())


async def change_experiments(request: Request) -> Response:
    """Throw a switch, raise a ramp, move weights."""
    call = Call(request)
    live = call.runtime.live_experiments
    if live.path is None:
        raise ProblemError(501, "not-writable", "the service has no file of experiments: set assignment.path")
    change = parse(ChangeExperiments, await call.read(CHANGES))
    audited = call.runtime.audit.change(
        call.request.scope[CALLER].name,
        "experiments",
        sorted(change.experiments),
        change=change.model_dump_json(exclude_none=True)[:2000],
        address=(call.request.scope.get("client") or ("",))[0],
        request_id=call.request_id,
    )
    async with audited:
        try:
            await live.change(call.runtime.settings, change)
        except LiveError as error:
            raise FieldError(error.field, str(error)) from error
        except OSError as error:
            raise InsufficientStorage(f"nothing was changed: {error.strerror or error}") from error
        if live.look():
            call.runtime.take_experiments()
    return json_response(call.runtime.experiments.details())


def _route(endpoint: Any, method: str, summary: str, more: docs.Docs) -> RawRoute:
    return RawRoute(
        "/admin/experiments",
        endpoint,
        needs="write",
        methods=[method],
        summary=summary,
        tags=["admin"],
        responses={
            200: docs.answer("The experiments as they are now.", ExperimentsTold),
            **(docs.BODY_PROBLEMS if method == "POST" else docs.PROBLEMS),
            501: docs.problem("The service has no file of experiments."),
            507: docs.problem("The file cannot be written; nothing was changed."),
        },
        openapi_extra={**more, "security": [{"token": []}]},
    )


_EXAMPLES = {
    "off": {"summary": "Off, now", "value": {"experiments": {"merge": {"on": False}}}},
    "ramp": {"summary": "More users", "value": {"experiments": {"merge": {"ramp": 0.5}}}},
}
routes = [
    _route(list_experiments, "GET", "Who takes part in which experiment", {}),
    _route(
        change_experiments,
        "POST",
        "Switch an experiment off, or change its ramp or weights",
        {"requestBody": docs.body(ChangeExperiments, _EXAMPLES)},
    ),
]
