"""What can go wrong with a request that was well-formed, told apart by type.

::

    RecallError
    ├── FieldError        the request names something that cannot be used        422
    ├── UnknownItem       there is no such item                                  404
    ├── NotHere           the call is answered on another port                   404
    ├── Unavailable       the service has no answer now                          503
    │   ├── NotReady      bundle and index are being loaded                      503
    │   ├── ModelFailed   a graph of the bundle raised, or gave no usable number 503
    │   └── Overloaded    too much is being worked on                            503
    ├── DeadlinePassed    the time ran out before any route answered             504
    ├── Unauthorized      it shows no key, or a wrong one                        401
    ├── Forbidden         its key is not for this                                403
    ├── TooManyRequests   its key has used up its rate; says how long to wait    429
    └── NotTaken          this service is not set up for it                      501
"""

from __future__ import annotations

from common.errors import MrseError


class RecallError(Exception):
    """Base of them all; the message is fit to be shown."""


class FieldError(RecallError):
    """A field of the request cannot be used; ``field`` is its path, such as ``filters.price``."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class UnknownItem(RecallError):  # noqa: N818 -- reads as what it is
    """The item is not in the index."""


class NotHere(RecallError):  # noqa: N818
    """The call is answered on another port; the message says which setting names it."""


class Unavailable(RecallError):  # noqa: N818
    """No route has an answer, and trying again may help."""


class NotReady(Unavailable):
    """Bundle and index are being loaded; the message says which."""


class ModelFailed(Unavailable):
    """A graph of the bundle raised, or gave what cannot be used; the message says which part."""


class Overloaded(Unavailable):
    """Too much is being worked on at once."""


class InsufficientStorage(RecallError):  # noqa: N818
    """The disk of the index has no room for a change; nothing of it was done."""


class DeadlinePassed(RecallError):  # noqa: N818
    """The time ran out; ``stage`` says where."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"the time ran out during {stage}")
        self.stage = stage


class Unauthorized(RecallError):  # noqa: N818
    """The request shows no key, or a wrong one."""


class Forbidden(RecallError):  # noqa: N818
    """The request's key is not for this."""


class TooManyRequests(RecallError):  # noqa: N818
    """The caller has to wait ``wait_s`` seconds."""

    def __init__(self, reason: str, wait_s: float) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class NotTaken(RecallError):  # noqa: N818
    """This service is not set up for what is asked; the message says what is not set."""


class StartError(MrseError):
    """The service cannot start with these settings; the message says what is wrong with which part."""


def not_set(part: str) -> StartError:
    """The error of a bundle or index that nobody named; says how to."""
    return StartError(
        f"no {part}: give --{part} FOLDER, or set MRSE_{part.upper()}_PATH, or path under [{part}] in the "
        "configuration file"
    )
