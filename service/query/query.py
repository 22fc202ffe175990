"""What one request asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from artifacts.bundle import Behaviour
from artifacts.bundle.text import NormalText
from index.filters import Filter
from service.query.picture import QueryPicture
from service.recall.controls.asked import NONE, Controls


@dataclass(frozen=True, slots=True)
class Query:
    """A checked request: words, a picture, a history, or any of them together.

    ``text`` is normalised once, where the request is checked; cache keys, the encoder and ``explain`` take it
    as it is. ``filters`` fit the index that answers.
    """

    text: NormalText
    k: int
    history: Sequence[Behaviour] = ()
    filters: Filter | None = None
    picture: QueryPicture | None = None
    user_id: str | None = None
    #: What the shop wants of the answer beside that it fits.
    controls: Controls = NONE
    #: Of the request, by which teams draw.
    request_id: str = ""

    @property
    def browse(self) -> bool:
        """Whether there are no words and no picture, only a history."""
        return self.picture is None and not self.text
