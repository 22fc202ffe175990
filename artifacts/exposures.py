"""The exposure log: one event for each answer with items, as the service writes it and a report reads it.

The names are those of User Behavior Insights (UBI) where it has any, so that its ``queries`` and these can be
read side by side. Format 1, an object a line, or columns of Parquet of the same names:

====================================  =====================================================================
``format``                            1
``application``                       ``mrse-recall``
``query_id``                          the request's id; an entry of a batch has ``<id>.<place>``
``client_id``                         hash of the unit that keeps its arms: see `client_id`
``timestamp``                         when it was answered, ISO 8601 in UTC with milliseconds
``query_response_hit_ids``            item ids, best first
``query_attributes.unit``             ``user``, ``session``, ``query`` or ``request``
``query_attributes.query_hash``       hash of the normalised words, or of the item of ``/similar``; or empty
``query_attributes.arms``             experiment to arm, of those in which the request takes part
``query_attributes.forced``           experiments whose arm a header chose
``query_attributes.shares``           experiment to the share of its units that this arm is to get
``query_attributes.bundle, index``    versions that answered
``query_attributes.routes``           route to the item ids of the answer that it found
``query_attributes.teams``            who drafted each item, with interleaving; empty where it is pinned
``query_attributes.partial``          whether a route gave less than it should have
``query_attributes.degraded``         words for each way in which the answer is less than was asked for
``query_attributes.took_ms``          milliseconds from the first byte in
====================================  =====================================================================
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

FORMAT = 1
APPLICATION = "mrse-recall"
#: What the files of a folder are called, whatever comes behind.
FILE_PREFIX = "exposures-"
#: The field of a stream's entry.
STREAM_FIELD = "event"
_KEY_BYTES = 64


def client_id(unit: str, key: str = "") -> str:
    """The hash of a unit: a user's id, ``session:`` and a session's, or a request's.

    Args:
        unit: it.
        key: ``exposures.key`` of the service.

    Returns:
        32 hexadecimal digits.
    """
    return _hashed(unit, key, b"unit")


def query_hash(words: str, key: str = "") -> str:
    """The hash of a query's words, by which the answers of two arms to one query are compared."""
    return _hashed(words, key, b"query") if words else ""


def _hashed(text: str, key: str, person: bytes) -> str:
    hashed = _keyed(key, person).copy()
    hashed.update(text.encode("utf-8", "surrogatepass"))
    return hashed.hexdigest()


@lru_cache(maxsize=8)
def _keyed(key: str, person: bytes) -> hashlib.blake2b:
    """A hash that nothing was put to yet but its key."""
    secret = key.encode("utf-8", "surrogatepass")
    if len(secret) > _KEY_BYTES:
        secret = hashlib.blake2b(secret).digest()
    return hashlib.blake2b(key=secret, person=person, digest_size=16)
