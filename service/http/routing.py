"""Routes that call their endpoint with the raw request, and answers for the errors that endpoints raise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from service.errors import RecallError
from service.http.middleware import request_id
from service.http.problems import ProblemError, problem_from
from service.http.requests import ClientGone, runtime_of

Endpoint = Callable[[Request], Awaitable[Response]]
#: Seen by nobody but the access log: the client has gone.
GONE = 499


class RawRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response.

    FastAPI describes it in the OpenAPI document and puts nothing around it. That gains over half of the time
    that a request spends outside its endpoint: dependencies, exit stacks and validation do nothing for it.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # a 405
            return
        response: Response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer for an error that an endpoint or the router raised."""
    runtime = runtime_of(request)
    if isinstance(error, ClientGone):
        runtime.metrics.cancelled.inc()
        return Response(status_code=GONE)
    problem = problem_from(error, runtime.settings.limits.retry_after_s)
    return problem.response(request_id(request))


#: Of the application; any other error is a bug, which `service.http.middleware.Observe` answers.
ERROR_HANDLERS: dict[Any, Any] = dict.fromkeys((HTTPException, ProblemError, RecallError), answer_error)
