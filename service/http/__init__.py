"""The HTTP side of the service. How one request passes::

    middleware     `Observe`: request id, metrics, access log, an answer for bugs
    routing        `FixedPaths`: to the route of this path, ahead of the router, which has the other paths;
                   `RawRoute`: FastAPI documents it, and calls its endpoint with the raw request;
                   errors that an endpoint raises become answers here, by `problems.problem_from`
    recall         POST /recall, /recall/batch ┐  each: `requests.Call` reads the body, `requests.parse`
    similar        GET /items/{id}/similar     ├  checks it against `schemas` (admin has its own),
    admin          POST /admin/index/…         ┘  `checks` chooses what answers, the work runs unless the
                   client leaves, and `answers` builds the answer, `columnar` its other form
    rules          GET and POST /admin/rules…, as admin
    experiments    GET and POST /admin/experiments, as admin
    health, playground, reference              what operators and people who try queries ask for
    versions       ``/v1``: the version leaves the path ahead of the routes
    documentation  what each endpoint says of itself in the OpenAPI document

To add an endpoint, write a coroutine that takes a request and gives a response, put a `RawRoute` for it into
its module's ``routes``, and add those to `service.app`.
"""
