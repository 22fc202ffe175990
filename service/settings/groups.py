"""What a group of settings is, and those of one table each: every key, its default and what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from index.engines import ENGINES
from service.recall.routes.route import Share

#: Names of experiments and arms travel in headers and metric labels.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Group(BaseModel):
    """A group of keys: frozen, and none beside those it has."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RulesSettings(Group):
    """Pins and bans by query."""

    #: A JSON file, which need not be there yet: ``/admin/rules`` writes it, and a person may. What changes
    #: there is in the next answer of every worker.
    path: Path | None = None


class Playground(Group):
    """The page at ``/``."""

    #: Whether there is such a page; without it ``/`` is 404.
    enabled: bool = True
    #: Titles, pictures and attributes of items, a file that ``mrse serve --shop`` writes.
    previews: Path | None = None


class BundleSettings(Group):
    """The model. ``precision`` ``auto`` is int8 where the bundle has it and the device is a CPU."""

    #: The bundle's folder: ``--bundle``.
    path: Path | None = None
    #: ``auto`` is int8 where the bundle has it and the device is a CPU, else fp32.
    precision: Literal["auto", "fp32", "fp16", "int8"] = "auto"
    #: ``cuda`` needs the extra ``gpu``.
    device: Literal["cpu", "cuda"] = "cpu"
    #: Threads that each graph computes with, in each worker.
    threads: int = Field(default=1, ge=1)


def _known_engine(name: str) -> str:
    if name not in ENGINES:
        raise PydanticCustomError("engine", f"Input should be {' or '.join(map(repr, ENGINES))}")
    return name


class IndexSettings(Group):
    """The item index."""

    #: One of `index.engines`; each has a table of its own, such as ``[embedded]`` or ``[vespa]``.
    engine: Annotated[str, AfterValidator(_known_engine)] = "embedded"
    #: The index folder; for ``vespa`` the version's file that ``mrse vespa add-version`` wrote, such as
    #: ``vespa-package/versions/item_demo_1a2b3c4d.json``.
    path: Path | None = None


class Encoder(Group):
    """The micro-batching query encoder."""

    #: Queries that share a run of the graph.
    max_batch: int = Field(default=32, ge=1)
    #: Queries that may wait; more are refused with 503.
    queue: int = Field(default=256, ge=1)
    #: Pictures that may wait to be decoded.
    picture_queue: int = Field(default=16, ge=1)
    #: Processes that decode them, about 5 MB each beside a parent of 20 MB.
    picture_lanes: int = Field(default=2, ge=1, le=64)
    #: Longest time that decoding one may take, ms: four times what 20 million pixels take on a quiet machine.
    #: Then its process is killed and the picture refused.
    picture_ms: int = Field(default=1000, ge=50, le=60_000)


class Tracing(Group):
    """OpenTelemetry traces; needs the ``tracing`` extra. What is not set here, ``OTEL_*`` variables say."""

    #: OTLP over HTTP, such as ``http://collector:4318/v1/traces``. Without it nothing is traced, unless
    #: ``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_TRACES_EXPORTER=otlp`` asks for it.
    endpoint: str | None = None
    #: Share of the requests without a sampled parent that are traced: 0.01, unless ``OTEL_TRACES_SAMPLER``
    #: says otherwise.
    sample: Share | None = None
    #: Longest wait for the collector, which no request waits for.
    timeout_s: float | None = Field(default=None, gt=0)


class Arm(Group):
    """One arm of an experiment. Only arms of ``towers`` name another bundle and index."""

    #: Its share of the units, over the sum of the experiment's weights.
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    #: Of an arm of ``towers``: the bundle that answers it. Without one it is ``bundle.path``.
    bundle: Path | None = None
    #: Of an arm of ``towers``: the index that goes with that bundle.
    index: Path | None = None
    #: Whether any caller may choose it by ``X-Experiment``; a key of scope ``experiments`` may anyway.
    forced: bool = False
    #: What this arm changes in ``[recall]``, such as ``{i2i = {enabled = false}}``.
    recall: dict[str, Any] = Field(default_factory=dict)


Experiments = dict[Name, dict[Name, Arm]]
