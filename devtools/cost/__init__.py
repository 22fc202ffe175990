"""What a request costs a service, and requests that seek to cost much.

::

    watch      a loop that notes how long it was held, read from another process
    requests   requests written small, such as a text and how often it is repeated, and their mutations
    service    serves a bundle and an index under that loop
    client     sends any bytes
    judge      what a request costs a service
    corpus     the requests that cost most, of each endpoint; found by hand and by `benchmarks.cost_fuzz`
"""
