"""What is kept so that it is not computed again.

::

    tiers          experts of queries: in process, in Redis, or computed
    fusions        embeddings of queries without a history
    redis          the shared cache
    produced       what `mrse produce` keeps in it: item features and user portraits

Neighbour lists are kept beside the routes that search for them (`service.recall.routes.neighbours`).
"""
