"""What operators see.

::

    metrics     Prometheus' metrics of a worker
      arms, calls, reloads, process, labels    parts of them
      exposition  what a scraper gets
      exemplars   traces by how long requests took
      gpu         memory of graphics cards
    tracing     spans by OpenTelemetry
    logs        JSON lines
"""
