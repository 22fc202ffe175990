"""Routes that call their endpoint with the raw request, and answers for the errors that endpoints raise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fastapi import FastAPI, Request, Response
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

    FastAPI describes it in the OpenAPI document, and puts nothing around it: dependencies, exit stacks and
    validation, which do nothing for such an endpoint, take as long as a search.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # a 405
            return
        response: Response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def install(app: FastAPI, routes: Sequence[RawRoute]) -> None:
    """Put routes ahead of all others, and answer every error with a problem."""
    app.router.routes[:0] = routes
    for kind in (HTTPException, ProblemError, RecallError):
        app.add_exception_handler(kind, _answer_error)


async def _answer_error(request: Request, error: Exception) -> Response:
    runtime = runtime_of(request)
    if isinstance(error, ClientGone):
        runtime.metrics.cancelled.inc()
        return Response(status_code=GONE)
    problem = problem_from(error, runtime.settings.limits.retry_after_s)
    return problem.response(request_id(request))
