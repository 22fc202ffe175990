"""From a parsed request to a checked one: refuses everything that can be refused without work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from artifacts.bundle import Behaviour
from artifacts.bundle.text import normalise
from common.deadline import Deadline
from index.filters import Filter, FilterError, parse_filter
from service.deployment import Deployment
from service.errors import DeadlinePassed, FieldError
from service.experiments import Assignment
from service.http.schemas import RecallRequest
from service.query.picture import parse_picture
from service.query.query import Query
from service.runtime import Runtime
from service.settings import Limits


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request whose fields have been checked against the index that will answer it."""

    request: RecallRequest
    assignment: Assignment
    deployment: Deployment
    #: Without the picture, which is read when the deadline is known.
    query: Query

    async def with_picture(self, limits: Limits, deadline: Deadline) -> Query:
        """The query and its picture, which is read on a thread.

        Raises:
            FieldError: the picture cannot be used.
            DeadlinePassed: reading it took too long.
        """
        text = self.request.picture
        if text is None:
            return self.query
        bounds = {"max_bytes": limits.picture_bytes, "max_pixels": limits.picture_pixels}
        try:
            async with asyncio.timeout(deadline.remaining()):
                picture = await asyncio.to_thread(parse_picture, text, **bounds)
        except TimeoutError as error:
            raise DeadlinePassed("reading the picture") from error
        return replace(self.query, picture=picture)


def check_request(
    runtime: Runtime, request: RecallRequest, request_id: str, experiment: str | None
) -> CheckedRequest:
    """Check a request and choose its arms.

    Raises:
        FieldError: nothing to search by, k above the limit, or a filter that the index cannot answer.
    """
    text = normalise(request.query)
    stored = request.user_id is not None and runtime.settings.redis.url is not None
    if not (request.history or stored or request.picture is not None or text):
        raise FieldError("query", "there is nothing to search by: give a query, a picture or a history")
    check_k(request.k, runtime.settings.limits)
    assignment = runtime.experiments.assign(request.user_id or request_id, experiment)
    deployment = runtime.deployments[assignment.towers]
    history = [Behaviour(entry.item_id, entry.action, entry.ts) for entry in request.history]
    filters = check_filters(deployment, request.filters)
    query = Query(text, request.k, history, filters, user_id=request.user_id)
    return CheckedRequest(request, assignment, deployment, query)


def check_k(k: int, limits: Limits) -> None:
    """Refuse a k above the configured limit.

    Raises:
        FieldError: it is.
    """
    if k > limits.max_k:
        raise FieldError("k", f"Input should be less than or equal to {limits.max_k}")


def check_filters(deployment: Deployment, raw: Mapping[str, object]) -> Filter | None:
    """The filters in the form that the deployment's index reads.

    Raises:
        FieldError: they do not fit its attributes.
    """
    try:
        return parse_filter(raw, deployment.index.attributes) if raw else None
    except FilterError as error:
        field = "filters" if error.field == "filters" else f"filters.{error.field}"
        raise FieldError(field, str(error)) from error
