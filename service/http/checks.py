"""From a parsed request to a checked one: refuses everything that can be refused without work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from artifacts.bundle import Behaviour
from artifacts.bundle.text import NormalText, normalise
from common.deadline import Deadline
from index.filters import Filter, FilterError, parse_filter
from service.access.guard import CALLER
from service.deployment import Deployment
from service.errors import DeadlinePassed, FieldError
from service.experiments import Assignment, Unit
from service.http.requests import Call
from service.http.schemas import RecallRequest
from service.query.picture import parse_picture
from service.query.query import Query
from service.recall.controls.asked import NONE, check_controls
from service.settings import Limits


class Target(NamedTuple):
    """What answers a request: its arms and their deployment. ``filters`` are in the form of its index."""

    assignment: Assignment
    deployment: Deployment
    filters: Filter | None
    unit: Unit


class CheckedRequest(NamedTuple):
    """A request whose fields have been checked against the index that will answer it."""

    request: RecallRequest
    text: NormalText
    target: Target
    request_id: str

    async def query(self, limits: Limits, deadline: Deadline) -> Query:
        """What to recall by; the picture is read on a thread.

        Raises:
            FieldError: the picture cannot be used.
            DeadlinePassed: reading it took too long.
        """
        request, picture = self.request, None
        if request.picture is not None:
            bounds = {"max_bytes": limits.picture_bytes, "max_pixels": limits.picture_pixels}
            try:
                async with asyncio.timeout(deadline.remaining()):
                    picture = await asyncio.to_thread(parse_picture, request.picture, **bounds)
            except TimeoutError as error:
                raise DeadlinePassed("reading the picture") from error
        history = [Behaviour(entry.item_id, entry.action, entry.ts) for entry in request.history]
        return Query(
            self.text,
            request.k,
            history,
            self.target.filters,
            picture,
            request.user_id,
            request.controls,
            self.request_id,
        )


def check_request(call: Call, request: RecallRequest, request_id: str) -> CheckedRequest:
    """Check a request and choose what answers it.

    Raises:
        FieldError: as `choose_target` and `check_controls` do.
    """
    text = normalise(request.query)
    unit = unit_of(call, request.user_id, request.session_id, text, request_id)
    target = choose_target(call, unit, request.k, request.filters)
    controls = request.controls
    if controls is not NONE:
        deployment = target.deployment
        check_controls(
            controls,
            deployment.index.attributes,
            readable=deployment.values is not None,
            titled=deployment.titles is not None,
        )
    return CheckedRequest(request, text, target, request_id)


def unit_of(call: Call, user: str | None, session: str | None, words: str, request_id: str) -> Unit:
    """What keeps its arms: the user, else the session, else the words or the request, as it is set."""
    if user is not None:
        return Unit("user", user)
    if session is not None:
        return Unit("session", f"session:{session}")
    if words and call.runtime.settings.assignment.without_user == "query":
        return Unit("query", f"query:{words}")
    return Unit("request", request_id)


def choose_target(call: Call, unit: Unit, k: int, filters: Mapping[str, object]) -> Target:
    """Choose the arms for a unit, and check k and filters against them.

    Raises:
        FieldError: k is above the limit, or the index has no such attribute or cannot compare it so.
    """
    limit = call.runtime.settings.limits.max_k
    if k > limit:
        raise FieldError("k", f"Input should be less than or equal to {limit}")
    header = call.headers.get("x-experiment")
    any_arm = header is not None and "experiments" in call.request.scope[CALLER].scopes
    assignment = call.runtime.experiments.assign(unit.value, header, any_arm=any_arm)
    deployment = call.runtime.deployments[assignment.towers]
    try:
        parsed = parse_filter(filters, deployment.index.attributes) if filters else None
    except FilterError as error:
        field = "filters" if error.field == "filters" else f"filters.{error.field}"
        raise FieldError(field, str(error)) from error
    return Target(assignment, deployment, parsed, unit)
