"""The online query side of MRSE Recall: encode a query, recall items, answer over HTTP.

::

    process/      starts the server and its workers
    app           the composition root: settings in, an application out
    http/         requests and answers
    playground/   what the page at ``/`` is made of: HTML, styles and JavaScript modules
    explain       how an answer came about
    reloading     SIGHUP: the settings are read again
    reload_retry  when a reload that was refused is tried again by itself
    runtime       what a running worker holds
      opening     opens and checks the deployments that arms name
      retiring    closes those that none names any more, once no request uses them
      gauges      what it tells of itself whenever its metrics are asked for
    recalling     a worker's recalls: by the rules of the moment, and counted
    health        whether it can answer, and what keeps it from that
      canary        asks it a query, twice a second
      upkeep        how the files of its indexes fare
      recall_checks asks live searches again exactly, in idle time
    offline       requests without a server, for `mrse calibrate`
    intake        items by content: to what the index of every arm holds of them
    events        what users did, into a Redis Stream
    pipeline      one request: cache, encode, fuse, run the routes, merge
      encoding    its first part: what is searched by
      stages      the seconds of its stages, and a span for each where it is traced
    deployment    one bundle, one index, and everything that answers with them
    item_encoder  an item's content to its vector and features
    exposures/    what was shown to whom, for reports of experiments
    live_experiments    what a file changes of experiments while the service runs
    experiments   which arm of each experiment a request gets
    options       what those arms together change of ``[recall]``
    access/       keys: who may what, how much, and who changed what
    admission/    who is worked on, who waits, who is refused; sheds load
    query/        words, picture and history to the query's embedding
    redis_errors  what says that Redis cannot be used now
    telemetry/    metrics, logs, traces
    settings/     everything that can be set
    recall/       the query's embedding to items: the routes
    degraded      the words for answers that are less than what was asked for
    errors        what can go wrong with a request
    scope         what parts of the service note in a request's scope for each other

Each imports only what stands below it.
"""
