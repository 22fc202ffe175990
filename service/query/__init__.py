"""From a request's words, picture and history to the query's embedding.

::

    query      what one request asks for
    picture    base64 to a file
    decoder/   a file to pixels, in processes of their own
    encoder    text and picture to experts, experts and portrait to the embedding
    batcher    runs what is queued in one batch, on a thread
    portrait   the user's history as the fusion reads it
    singleflight   one computation for each key, however many callers want it
    cache/     what is not computed again
"""
