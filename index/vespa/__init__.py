"""The Vespa engine: an item index in a Vespa application, over HTTP.

::

    engine        the engine as `index.engines` knows it
    table         the table ``[vespa]``
    version       embedding versions, a file each: document type, width and attributes
    names         names that package, client and feeder share
    settings      how to reach containers and config servers, which version they hold, how it is fed
    client        the index: one query for each vector, side by side
    joined        the same where several things are asked in one query
    shadow        a share of live searches, asked again without the graph
      stored        what is held of items that are named
      asking        a query in the time that is left, several side by side
      query         the requests; `yql` writes filters, `tensors` vectors and `text` strings
      endpoints     several containers as one: turns, circuit breakers, the one retry that is safe
      transport     one HTTP attempt
      credentials   certificates and token, which are renewed
      answer        errors and coverage first, then hits
      errors        what can go wrong, told apart by type
    package       the application package: rendered, checked, deployed
    feed          filling a version, and verifying it before it takes traffic

The client imports neither package nor feed: a server only searches.
"""
