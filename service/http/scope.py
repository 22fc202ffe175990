"""What the service keeps in the ASGI scope of a request."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Scope

#: Set by `service.http.middleware.Observe`.
REQUEST_ID = "mrse.request_id"
#: Query and user, for a line of the access log at level debug; never at info.
NOTES = "mrse.notes"


def request_id(request: Request) -> str:
    """The id of the request, as the client sent it or as it was made."""
    return str(request.scope[REQUEST_ID])


def route_template(scope: Scope) -> str | None:
    """The path template of the route that answers, which names no item; None where there is none."""
    return getattr(scope.get("route"), "path_format", None)
