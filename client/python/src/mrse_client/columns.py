"""An answer whose items are numpy arrays: for who ranks hundreds of them further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mrse_client.errors import UnexpectedAnswer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEDIA_TYPE = "application/vnd.mrse.columnar+json"


@dataclass(frozen=True, eq=False)
class SourceColumns:
    """All sources of all items; a row is one source.

    Attributes:
        item: place of its item, int64 ``[s]``.
        route: of unicode ``[s]``.
        trigger: the item whose neighbour it is; None beside I2I.
        rank: from 1, int64 ``[s]``.
        score: float64 ``[s]``.
    """

    item: NDArray[np.int64]
    route: NDArray[np.str_]
    trigger: list[str | None]
    rank: NDArray[np.int64]
    score: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Columns:
    """Items, best first.

    Attributes:
        item_id: ``[n]``.
        score: float64 ``[n]``.
        sources: how the items were found.
        answer: the whole answer as it came, with what else it tells.
    """

    item_id: list[str]
    score: NDArray[np.float64]
    sources: SourceColumns
    answer: Mapping[str, Any]


def decode(answer: Mapping[str, Any]) -> Columns:
    """The columns of a columnar answer.

    Raises:
        UnexpectedAnswer: its items are no columns, as those of a service that does not know them.
    """
    try:
        return _decode(answer, answer["items"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedAnswer(f"the items of the answer are no columns: {error!r}") from error


def _decode(answer: Mapping[str, Any], items: Mapping[str, Any]) -> Columns:
    import numpy as np

    sources = items["sources"]
    return Columns(
        item_id=items["item_id"],
        score=np.array(items["score"], dtype=np.float64),
        sources=SourceColumns(
            item=np.array(sources["item"], dtype=np.int64),
            route=np.array(sources["route"], dtype=np.str_),
            trigger=sources["trigger"],
            rank=np.array(sources["rank"], dtype=np.int64),
            score=np.array(sources["score"], dtype=np.float64),
        ),
        answer=answer,
    )
