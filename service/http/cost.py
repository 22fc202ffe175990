"""What a request may cost, told before its body or query string is parsed.

Parsing makes objects of several times a body's size, one for each field and value, and an error for each
field that there is not. So the size of what is not a picture, and the number of fields and values, are
bounded first.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import QueryParams

from service.http.problems import ProblemError, unusable

#: Items that a batch may ask for, in answers of the largest k.
BATCH_ANSWERS = 16
#: Parameters of a query string, and its bytes: an item's filters are in it.
MAX_PARAMETERS = 32
MAX_QUERY_BYTES = 16_384
#: A body of fewer bytes costs little, whatever is in it.
_CHEAP_BYTES = 4096
_PICTURE = b'"picture"'
_OPENING = re.compile(rb'\s*:\s*"')


class Costing(NamedTuple):
    """What a body may cost to parse.

    Attributes:
        values: fields and values; commas in texts count as well.
        pictures: so many fields called ``picture`` are left out of the bytes.
        requests: times ``limits.request_bytes``, the bytes of what is not a picture; None: any.
        fields: as far as they are bounded below the values; colons in texts count as well. So many lists and
            objects there may be too: to read an empty list takes four to ten times what a number takes.
    """

    values: int
    pictures: int = 0
    requests: int | None = None
    fields: int | None = None

    def check(self, body: bytearray | bytes, request_bytes: int, what: str = "the body") -> None:
        """Refuse a body that would cost too much to parse; it need not be JSON.

        Raises:
            ProblemError: 413.
        """
        if len(body) <= _CHEAP_BYTES:
            return
        if self.requests is not None and len(body) > (most := self.requests * request_bytes):
            rest = len(body) - _picture_bytes(body, self.pictures)
            if rest > most:
                raise ProblemError(413, "too-large", f"{what} has {rest} bytes beside pictures, over {most}")
        if sum(map(body.count, (b",", b"[", b"{"))) > self.values:
            raise ProblemError(413, "too-large", f"{what} has over {self.values} fields and values")
        if self.fields is not None and body.count(b":") > self.fields:
            raise ProblemError(413, "too-large", f"{what} has over {self.fields} fields")
        if self.fields is not None and body.count(b"[") + body.count(b"{") > self.fields:
            raise ProblemError(413, "too-large", f"{what} has over {self.fields} lists and objects")


#: Four times the values of the longest history with the most values in filters.
ONE_REQUEST = Costing(values=8192, pictures=1, requests=1)
BATCH = Costing(values=16 * 8192, pictures=1024, requests=16)
#: Changes to an index: features of 256 items as numbers, or of as many as fit in base64.
CHANGES = Costing(values=1 << 18, fields=1 << 15)
#: Items by content, of some hundred fields and values each; commas and colons in descriptions count too.
MAX_ITEMS = 256
ITEMS = Costing(values=1 << 17, pictures=MAX_ITEMS, fields=1 << 15)
#: One of them: its description may be 16,384 characters, and lists of its attributes twice that.
ONE_ITEM = Costing(values=1 << 14, pictures=1, requests=8, fields=1 << 12)
#: Events of users, of four fields each.
MAX_EVENTS = 1000
EVENTS = Costing(values=8 * MAX_EVENTS, fields=16 * MAX_EVENTS)
#: Ids of items.
IDS = Costing(values=8192)


def query_parameters(
    request: Request, most: int = MAX_PARAMETERS, most_bytes: int = MAX_QUERY_BYTES
) -> QueryParams:
    """The query string, parsed.

    Raises:
        ProblemError: 422 for too many parameters or bytes.
    """
    written: bytes = request.scope["query_string"]
    if len(written) > most_bytes:
        raise unusable(f"the query string has {len(written)} bytes; at most {most_bytes} are allowed")
    if (found := written.count(b"&") + 1) > most:
        raise unusable(f"the query string has {found} parameters; at most {most} are allowed")
    return request.query_params


def _picture_bytes(body: bytearray | bytes, most: int) -> int:
    """Bytes of the first pictures. What only looks like one is a string too, and as cheap to parse."""
    total = at = 0
    for _ in range(most):
        at = body.find(_PICTURE, at)
        if at < 0:
            break
        at += len(_PICTURE)
        opening = _OPENING.match(body, at)
        if opening is not None:
            end = body.find(b'"', opening.end())
            at = len(body) if end < 0 else end
            total += at - opening.end()
    return total
