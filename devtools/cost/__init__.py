"""What a request costs a service, and requests that seek to cost much.

::

    watch      a loop that notes how long it was held, read from another process
    requests   requests written small, such as a text and how often it is repeated, and their mutations
    service    serves the demo shop under that loop
    corpus     the requests that cost most, of each endpoint; found by hand and by `benchmarks.cost_fuzz`
"""
