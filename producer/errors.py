"""What stops a producer, told apart by type."""

from __future__ import annotations

from common.errors import NOT_IN_ORDER, MrseError


class ProduceError(MrseError):
    """Redis cannot be used; what was written stays, and starting again goes on from there."""

    exit_code = NOT_IN_ORDER
