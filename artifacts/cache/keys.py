"""Cache keys. Every key carries the bundle version, so that values of two bundles never meet.

The precision is not part of a key: every precision of a bundle agrees with fp32 to the cosine that export
and start-up check, so a value that the Embed-Producer made in fp16 serves a worker that runs int8.
"""

from __future__ import annotations

import hashlib

from artifacts.bundle.text import NormalText

PREFIX = "mrse"
_DIGEST_BYTES = 16
#: Of what the digest of a query is made; another one makes values under the older keys miss.
_QUERY_FORM = b"mrse-query-2"


def query_key(bundle_version: str, text: NormalText, picture_digest: bytes = b"") -> str:
    """Key of the experts ``[E, d]`` of a query and, where it has one, the `picture_digest` of its picture."""
    # The length stands first, so no text can imitate another text's pair with a picture.
    content = bytes([len(picture_digest)]) + picture_digest + text.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(content, digest_size=_DIGEST_BYTES, person=_QUERY_FORM)
    return f"{PREFIX}:{bundle_version}:q:{digest.hexdigest()}"


def item_key(bundle_version: str, item_id: str) -> str:
    """Key of an item's features ``[E, d]``."""
    return f"{PREFIX}:{bundle_version}:i:{item_id}"


def user_key(bundle_version: str, user_id: str) -> str:
    """Key of a user's `artifacts.cache.codec.StoredPortrait`."""
    return f"{PREFIX}:{bundle_version}:u:{user_id}"


def picture_digest(data: bytes) -> bytes:
    """Digest of a picture's file."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
