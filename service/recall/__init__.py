"""From the query's embedding to items: the routes are run and their items merged.

::

    routes/    what a route is, Q2I, I2I, and the registry
    settings   the table ``[recall]``, with a table for each route
    run        runs the routes within the deadline
    merge      quotas, scores, sources; `calibration` and `interleave` for its methods
    boosts, diversity    controls that settings have too
    controls/  what a shop wants of an answer beside that it fits the query
    similar    I2I alone, for one item

Nothing here knows the other settings, deployments or HTTP: `service.pipeline` puts it together.
"""
