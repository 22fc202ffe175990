"""Keys that the parts of the service add to a request's scope, for each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: When the first byte of the request's head came, in seconds on ``time.monotonic``.
ARRIVED = "mrse.arrived"
#: Set where the answer, or a part of it, could not be sent: the client had gone.
CLIENT_GONE = "mrse.gone"
#: In the state of the server: the worker's `service.runtime.Runtime`.
RUNTIME = "mrse.runtime"
#: In the state of the server: the worker's `service.process.connections.Connections`.
CONNECTIONS = "mrse.connections"
#: The id of the request, as the client sent it or as it was made.
REQUEST_ID = "mrse.request_id"
#: The kind of the problem that answers the request.
PROBLEM = "mrse.problem"
#: What a request that was given its arms says of itself: a `Told`.
TOLD = "mrse.told"


@dataclass(slots=True)
class Told:
    """What a request says of itself, for metrics and log.

    Attributes:
        arms: experiment to arm.
        own_deadline: whether the client gave it less time than it has by default.
        routes: what became of each route that had something to do.
        degraded: the words of the answer.
        partial: whether a route gave less than it should have.
        items: how many the answer has.
    """

    arms: Mapping[str, str]
    own_deadline: bool = False
    routes: Mapping[str, str] = field(default_factory=dict)
    degraded: Sequence[str] = ()
    partial: bool = False
    items: int = 0

    def cause(self, problem: str) -> str:
        """The cause of an error: the kind of its problem, or the client's own short time."""
        return CLIENT_DEADLINE if problem == "deadline" and self.own_deadline else problem


#: The time ran out that the client gave, which is less than the service would have taken: no error of ours.
CLIENT_DEADLINE = "client-deadline"
#: The client did not wait for the answer.
CLIENT_LEFT = "client-gone"
