"""Routes that call their endpoint with the raw request, and answers for the errors that endpoints raise."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from service import settings
from service.errors import RecallError
from service.http.compression import LEAST, compress
from service.http.middleware import request_id
from service.http.nowhere import told
from service.http.problems import ProblemError, problem_from
from service.http.requests import ClientGone, runtime_of
from service.http.versions import unversioned
from service.scope import PROBLEM

Endpoint = Callable[[Request], Awaitable[Response]]
#: Seen by nobody but the access log: the client has gone.
GONE = 499


class RawRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response; FastAPI only describes it.

    Args:
        needs: what the caller's key must be good for; None lets everybody in.
    """

    def __init__(self, *args: Any, needs: settings.Scope | None = "read", **options: Any) -> None:
        super().__init__(*args, **{"operation_id": _operation_id(*args)} | options)
        self.needs: settings.Scope | None = needs

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server leaves the body off
        if method not in (self.methods or ()):
            await super().handle(scope, receive, send)  # a 405
            return
        request = Request(scope, receive, send)
        try:
            if self.needs is not None:
                runtime_of(request).guard.enter(scope, self.needs)
            response: Response = await self.endpoint(request)
            if (size := len(response.body)) >= LEAST and size >= _compress_from(request):
                await compress(response, request.headers.get("accept-encoding", ""))
        except (ProblemError, RecallError) as error:
            response = await answer_error(request, error)
        await response(scope, receive, send)


def _compress_from(request: Request) -> int:
    return runtime_of(request).settings.server.compress_from


def _operation_id(path: str, endpoint: Endpoint) -> str:
    """What clients that are generated call it: the endpoint's name without its method."""
    return re.sub("^(get|post)_", "", endpoint.__name__)


class FixedPaths:
    """The routes of fixed paths, mounted ahead of the router: a request goes to the route of its very path.

    Here the version leaves the path, for these routes and for the router.

    Gains the time of the router and of all that FastAPI puts around it: a third of what a request of
    ``POST /recall`` spends outside its endpoint. The routes are the router's own.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[RawRoute]) -> None:
        self._app = app
        fixed = [route for route in routes if not route.param_convertors]
        self._routes = {(method, route.path): route for route in fixed for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; every other one, and what is no request, is the router's."""
        method = scope.get("method", "")
        if "path" in scope:
            scope["path"] = unversioned(scope["path"])
        route = self._routes.get(("GET" if method == "HEAD" else method, scope.get("path", "")))
        if route is None:
            await self._app(scope, receive, send)
        else:
            scope["route"] = route  # as the router does
            await route.handle(scope, receive, send)


#: Where calls that change something stand, and what is said while there are none.
_WRITING = ("/items", "/events", "/users", "/admin")
_NO_CHANGES = "calls that change something are off: set server.admin_token or access.keys"


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer for an error that an endpoint or the router raised; any other is a bug, for `Observe`."""
    runtime = runtime_of(request)
    if isinstance(error, ClientGone):
        runtime.metrics.cancelled.inc()
        return Response(status_code=GONE)
    problem = problem_from(error, runtime.retry_after())
    request.scope[PROBLEM] = problem.kind
    if isinstance(error, HTTPException):  # the router's
        problem = told(request, problem)
    if (
        problem.kind == "not-found"
        and not runtime.settings.takes_changes
        and request.url.path.startswith(_WRITING)
    ):
        problem = replace(problem, detail=_NO_CHANGES)
    return problem.response(request_id(request))
