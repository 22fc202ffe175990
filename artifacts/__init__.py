"""What the commands hand to each other, as files and as values. Free of torch; imports `common` alone.

::

    shop         a shop's own files: catalogue, log and pictures; importers of public data sets
    bundle       the trained towers as ONNX graphs, with all that training and serving must agree on
    previews     what the playground shows of a shop's items, which a server reads without the shop
    pictures     picture files to pixels: the decoder that training and serving share
    embeddings   the folder of item features and embeddings that an index is built from
    cache        keys and values of the shared cache
    actions      what a user can do with an item
    behaviours   what a user did, as an entry of a Redis Stream
    exposures    what was shown to whom, an event an answer
    attributes   the types of an item's attributes
    parquet      writes rows to Parquet
"""

import os

# From 1.29 on onnxruntime reports every session to its vendor unless this is set before its first import;
# here, because every module that imports it is below or imports something that is. Who sets it is heard.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
