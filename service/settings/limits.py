"""The groups of how much requests may ask for, and how long they may take."""

from __future__ import annotations

from pydantic import Field, model_validator

from service.recall.routes.route import Share
from service.settings.groups import Group


class Limits(Group):
    """How much one request, and all requests together, may ask for."""

    #: Items that a request may ask for.
    max_k: int = Field(default=1000, ge=1, le=10_000)
    #: Bytes of a body, pictures included.
    body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    #: Of these, what is not a picture, in one request; a batch may have 16 times as many. A history of 200
    #: behaviours takes up to 45 kB, 1,000 values of a filter 20 kB.
    request_bytes: int = Field(default=64 * 1024, ge=1024)
    #: How long a client may take to send its body.
    body_timeout_s: float = Field(default=10.0, gt=0)
    #: Bytes of a picture, before base64.
    picture_bytes: int = Field(default=2 * 1024 * 1024, ge=1)
    #: Pixels of a picture: what is larger is refused by its head, before it is decoded.
    picture_pixels: int = Field(default=20_000_000, ge=1)
    #: Requests in one batch.
    batch: int = Field(default=64, ge=1, le=1024)
    #: Entries of one batch that are worked on at once.
    batch_parallel: int = Field(default=16, ge=1)
    #: Requests worked on at once, where each entry of a batch counts; fewer while that makes them quicker.
    #: More wait for their turn, or are refused with 503 where they would wait too long.
    in_flight: int = Field(default=256, ge=1)
    #: Load above which requests get fewer candidates. The load of a request is from 0 to 1, where requests
    #: are refused: how long it waited, as a share of how long it may wait; or the share of ``in_flight`` that
    #: is being worked on, if that is more. When a route is left out stands in its own table,
    #: ``recall.<name>.shed_at``.
    shed_candidates_at: Share = 0.7
    #: Load above which requests are answered without a portrait.
    shed_portrait_at: Share = 0.85
    #: Share of k that is looked for where there are to be fewer candidates.
    shed_k: Share = 0.5
    #: What a client that is refused is told to wait, at least; up to three times as long, for they are not to
    #: come back all together.
    retry_after_s: int = Field(default=1, ge=1)
    #: The header in which a proxy tells the client's address, such as ``X-Forwarded-For``; its last value
    #: counts. Only for a service that is reached through that proxy alone, since any client can send it.
    #: Without it all clients behind a proxy are one, and have one share together.
    client_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,64}$")

    @model_validator(mode="after")
    def _order(self) -> Limits:
        if self.shed_candidates_at > self.shed_portrait_at:
            raise ValueError("shed_candidates_at is above shed_portrait_at")
        return self


class DeadlineSettings(Group):
    """Time for one request, counted from its first byte, waiting included.

    What a client takes to send the rest of its body is not counted.
    """

    #: Of a request that names no ``timeout_ms``.
    default_ms: int = Field(default=250, ge=1, le=10_000)
    #: Kept back from the routes, for merging and writing the answer.
    reserve_ms: float = Field(default=2.0, ge=0)
