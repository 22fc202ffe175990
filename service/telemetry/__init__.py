"""What operators see.

::

    metrics     Prometheus' metrics of a worker
      arms, index (calls), reloads, process    parts of them, each of one subject
      children    counts by the value of a label; `labels`: the sets of values
      gauges      what is read when a scraper asks
      exposition  what a scraper gets
      exemplars   traces by how long requests took
      gpu         memory of graphics cards
    tracing     spans by OpenTelemetry; `unsampled`: of requests that nobody traces
    logs        JSON lines
"""
