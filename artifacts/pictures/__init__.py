"""Picture files to pixels: the one decoder that training, embedding, the Embed-Producer and serving share.

Imports Pillow and nothing else that is heavy: the service runs it in small processes of their own::

    head     what a file says of itself, and the bounds on what it may cost, without decoding
    decode   a file to letterboxed RGB
"""
