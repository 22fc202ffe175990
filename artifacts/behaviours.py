"""A user's behaviour as an entry of a Redis Stream, as the service writes it and the producers read it.

An entry has the fields ``user``, ``item``, ``action`` and, where it did not happen just now, ``ts`` (ISO 8601
with a time zone), as in a shop's events file. Others are ignored.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

#: Characters of a user's and of an item's id.
MAX_ID_CHARACTERS = 128
#: How far an entry's clock may be ahead of ours: an entry from next year would stay first in its portrait
#: until then.
AHEAD = timedelta(days=1)
#: Of the stream of dead letters, behind the stream's name; and of an entry's own fields there, so that none
#: can pass for ours.
DEAD_SUFFIX, ENTRY_PREFIX = ":dead", b"entry:"


def written(user: str, item: str, action: str, ts: datetime | None) -> dict[str, str]:
    """The fields of an entry; without ``ts`` the time is when the entry is added."""
    fields = {"user": user, "item": item, "action": action}
    return fields if ts is None else {**fields, "ts": ts.astimezone(UTC).isoformat()}
