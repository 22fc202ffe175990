"""Keys and values of the shared cache, as producer and service agree on them.

::

    keys    one for each query, item and user, with the bundle's version in it
    codec   query experts, item features and portraits as bytes
    forget  takes a user out of it
"""
