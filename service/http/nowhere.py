"""What is said where no route answers: the path that nobody knows, or the methods that are known of it."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request
from fastapi.routing import APIRoute

from service.http.problems import ProblemError, printable

#: The most characters of a path that are given back.
_MOST = 128


def told(request: Request, problem: ProblemError) -> ProblemError:
    """The router's 404 or 405 with the path in it, and for a 405 with every method that the path has.

    ``Allow`` then names the methods of all routes of the path; the router knows those of the first alone.
    """
    if problem.kind not in ("not-found", "method-not-allowed"):
        return problem
    path = printable(request.scope.get("raw_path", request.url.path.encode()).decode("latin-1"))
    if len(path) > _MOST:
        path = path[:_MOST] + "…"
    if problem.kind == "not-found":
        return replace(problem, detail=f"there is nothing at {path}; /docs lists every call")
    methods = {
        method
        for route in request.app.router.routes
        if isinstance(route, APIRoute) and route.path_regex.match(request.scope["path"])
        for method in route.methods or ()
    }
    if "GET" in methods:
        methods.add("HEAD")
    allowed = ", ".join(sorted(methods))
    return replace(
        problem,
        detail=f"{path} does not take {printable(request.method)[:_MOST]}; it takes {allowed}",
        headers={"Allow": allowed},
    )
