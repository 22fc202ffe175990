"""What can go wrong, as exceptions. All are a `MrseError`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class MrseError(Exception):
    """Anything that this client raises."""


class ConnectionFailed(MrseError):  # noqa: N818 -- a state of the world
    """The service could not be reached, or the connection broke."""


class DeadlinePassed(MrseError):  # noqa: N818
    """The time that the caller gave ran out, here or in the service."""


class UnexpectedAnswer(MrseError):  # noqa: N818
    """What answered is not the service: a proxy's page, or a shape that this client does not know."""


class FieldError(NamedTuple):
    """One field that the service cannot use, such as ``requests.3.query``, and why."""

    field: str
    reason: str


class Problem(MrseError):  # noqa: N818
    """The service says what is wrong (RFC 9457).

    Attributes:
        status: of HTTP.
        kind: a stable name, such as ``invalid-request``; the end of the problem's ``type``.
        title: the kind in words.
        detail: what is wrong with this request.
        request_id: under which the service's log has it.
        errors: the fields to blame.
        retry_after_s: seconds after which it may be tried again, where the service says that.
    """

    def __init__(self, status: int, body: Mapping[str, Any], retry_after_s: float | None) -> None:
        self.status = status
        self.kind = str(body.get("type", "")).rpartition("/")[2]
        self.title = str(body.get("title", ""))
        self.detail = str(body.get("detail", ""))
        self.request_id = str(body.get("request_id") or "")
        self.errors = tuple(FieldError(each["field"], each["reason"]) for each in body.get("errors") or ())
        self.retry_after_s = retry_after_s
        super().__init__(f"{status} {self.kind}: {self.detail}")


class InvalidRequest(Problem):
    """400, 413, 415, 422: the request cannot be used; `errors` names the fields."""


class AccessDenied(Problem):
    """401, 403: a key is needed, is wrong, or is not for this."""


class NotFound(Problem):
    """404: there is no such item or path."""


class RateLimited(Problem):
    """429: the key has used up its rate."""


class Unavailable(Problem):
    """503: not ready, overloaded, or the index is away."""


class ServiceDeadlinePassed(Problem, DeadlinePassed):
    """504: the time ran out before any route answered."""


_KINDS: dict[int, type[Problem]] = {
    400: InvalidRequest,
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    503: Unavailable,
    504: ServiceDeadlinePassed,
}


def problem_of(status: int, body: Mapping[str, Any], retry_after_s: float | None = None) -> Problem:
    """The exception for a problem; for a kind that has no class of its own a plain `Problem`."""
    return _KINDS.get(status, Problem)(status, body, retry_after_s)
