"""``mrse capacity``: what a shop of some size needs.

::

    constants    what one item, one answer and one worker cost, as they were measured on a machine
    measure      measures them: a service over a bundle and an index, asked over HTTP
    model        from items and queries a second to replicas, memory, disk, Redis and Vespa nodes
"""
