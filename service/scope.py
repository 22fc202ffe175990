"""Keys that the parts of the service add to a request's scope, for each other."""

#: When the first byte of the request's head came, in seconds on ``time.monotonic``.
ARRIVED = "mrse.arrived"
#: Set where the answer, or a part of it, could not be sent: the client had gone.
CLIENT_GONE = "mrse.gone"
#: In the state of the server: the worker's `service.runtime.Runtime`.
RUNTIME = "mrse.runtime"
#: In the state of the server: the worker's `service.process.connections.Connections`.
CONNECTIONS = "mrse.connections"
