"""Fills an embedding version over document/v1, and verifies it.

::

    source        what is fed, as numbered operations: an embeddings folder, or a file of changes
    operations    puts, updates and removals of items, checked, and their requests
    feeder        in order for each item, as fast as Vespa takes them
      delivery      one operation, sent until there is an outcome
      window        how many requests may be under way
      journal       what is settled, on disk, so that a killed feed goes on
      report        what came of a feed
    verify        counts, sampled vectors, recall and latency, compared with the embeddings folder
"""
