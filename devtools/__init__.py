"""What tests, benchmarks and `make run-vespa` share; nothing of it is shipped.

::

    redis, waiting    a Redis server, and waiting for something to come true
    embeddings        embeddings folders of random vectors
    fill_process      a producer's job in a process of its own, to be killed
    vespa_fakes       servers that answer as Vespa does, with the faults that a test asks for
    vespa_peer        Vespa's own container over small content nodes
"""
