"""What one item, one answer and one worker cost."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import MrseError
from common.files import read_bounded

FORMAT = 1
_MOST_BYTES = 1024 * 1024


class CapacityError(MrseError, ValueError):
    """Constants or a load cannot be used; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Part):
    """Where it was measured."""

    cpu: str
    cores: int
    measured: str


class Measured(_Part):
    """What `mrse capacity --measure` measures."""

    #: Items of the index that was measured.
    items: int = Field(ge=1)
    #: Whether its search is exact (``flat_fp16``) or by lists.
    kind: str
    #: Bytes of an item's files, which all workers map into memory together.
    index_bytes: float = Field(gt=0)
    #: MB that each worker has for itself.
    worker_mb: float = Field(gt=0)
    #: MB that all workers share beside the index: libraries and the bundle.
    shared_mb: float = Field(ge=0)
    #: ms of CPU of a recall (k = 100) whose query was asked before, without a history.
    hit_ms: float = Field(gt=0)
    #: The same of one whose words are known and which comes with a history, and so is searched.
    history_ms: float = Field(gt=0)
    #: The same of a query that is new.
    miss_ms: float = Field(gt=0)
    #: The part of the latter two that grows with the items: the search of Q2I, ms.
    search_ms: float = Field(ge=0)
    #: ms of CPU of embedding an item with its picture, without decoding it.
    embed_ms: float = Field(gt=0)
    #: Numbers of an item's features, which a query's experts have too.
    features: int = Field(ge=1)
    #: Behaviours that a portrait holds.
    history: int = Field(ge=1)


class Assumed(_Part):
    """What is not measured here. *Inferred*, from `vespa_app/README.md` and the layouts of the caches."""

    #: A key of Redis with its name, entry and expiry, beside its value.
    redis_key_bytes: float = 160.0
    #: An item on a Vespa content node, with room for compaction and growth.
    vespa_item_bytes: float = 740.0
    #: The share of a node's memory that may hold items, for Vespa blocks feed above 0.8.
    vespa_memory_share: float = 0.6
    #: Recalls with a history that a core of a content node answers a second.
    vespa_recalls_per_core: float = 45.0
    #: Queries that a core of a query container passes on a second; two a recall.
    vespa_queries_per_core: float = 250.0
    #: Items from which on the embedded search is by lists, whose cost grows as the root of the items.
    cluster_rows: int = 200_000
    #: Items above which the embedded index takes hours to build and to copy: Vespa then.
    embedded_items: int = 20_000_000


class Constants(_Part):
    """Everything that the model reckons with."""

    format: int = FORMAT
    machine: Machine
    measured: Measured
    assumed: Assumed = Assumed()


#: Constants that come with the package.
SHIPPED = Path(__file__).with_name("constants.json")


def read_constants(path: Path | None = None) -> Constants:
    """Read constants; without a path those that come with the package.

    Raises:
        CapacityError: the file cannot be used.
    """
    path = path or SHIPPED
    try:
        constants = Constants.model_validate_json(read_bounded(path, _MOST_BYTES))
    except OSError as error:
        raise CapacityError(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CapacityError(
            f"{path}: {where}: {first['msg']}; `mrse capacity --measure` writes one"
        ) from error
    if constants.format != FORMAT:
        raise CapacityError(f"{path} is of format {constants.format}; this version reads {FORMAT}")
    return constants
