"""The online query side of MRSE Recall: encode a query, recall items, answer over HTTP.

::

    process/      starts the server and its workers
    app           the composition root: settings in, an application out
    http/         requests and answers
    explain       how an answer came about
    runtime       what a running worker holds
    pipeline      one request: cache, encode, fuse, run the routes, merge
    deployment    one bundle, one index, and everything that answers with them
    experiments   which arm of each experiment a request gets
    admission/    who is worked on, who waits, who is refused; sheds load
    query/        words, picture and history to the query's embedding
    telemetry/    metrics, logs, traces
    settings/     everything that can be set
    recall/       the query's embedding to items: the routes
    errors        what can go wrong with a request

Each imports only what stands below it.
"""
