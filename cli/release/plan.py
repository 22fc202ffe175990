"""What a release does: ``release.toml``. Defaults are *inferred*."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import MrseError

#: From 0 to 1, neither of them: some of the traffic, and not all.
SomeShare = Annotated[float, Field(gt=0, lt=1)]


class PlanError(MrseError, ValueError):
    """The plan cannot be used; the message names the file and the key."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Train(_Table):
    """How bundles are trained. Without this table none is: a release then brings the catalogue up to date."""

    #: As ``--preset`` of `mrse train`.
    preset: str = "demo"
    #: As ``--set`` of `mrse train`: ``{"image.epochs" = 40}``.
    set: dict[str, str | int | float | bool] = Field(default_factory=dict)
    #: As ``--teacher``.
    teacher: bool = False
    #: As ``--device``.
    device: str = "cpu"
    #: The bundle that serves is used again until its training is so many days old.
    every_days: float = Field(default=7.0, ge=0)


class Embed(_Table):
    """How items are embedded, as the options of `mrse embed`."""

    #: As ``--device``.
    device: str = "cpu"
    #: As ``--threads``.
    threads: int = Field(default=2, ge=1)


class Gate(_Table):
    """What keeps a bundle from being served: `mrse evaluate --against` the one that serves."""

    #: The held-out events that are asked.
    split: Literal["val", "test"] = "val"
    #: What must not be worse, by the names of `mrse evaluate`.
    measures: tuple[str, ...] = ("Recall@10", "Recall@100", "R-prec@10", "nDCG@10", "MRR")
    #: On which slices of the requests.
    slices: tuple[str, ...] = ("all",)
    #: The loss that is accepted: refused is what is surely worse by more, that is, where the whole 95%
    #: interval of the difference lies below minus this.
    loss: float = Field(default=0.0, ge=0, lt=1)
    #: Queries below which nothing can be said, so that the bundle is refused.
    queries: int = Field(default=50, ge=1)
    #: Bootstrap replicates.
    resamples: int = Field(default=1000, ge=100)


class Services(_Table):
    """The services that run by the configuration."""

    #: Where each answers ``/metrics``: its port, probe port or admin port. None: nothing is asked and nothing
    #: watched, and what passes the gate is promoted at once.
    urls: tuple[str, ...] = ()
    #: Ask every address that the names in ``urls`` have: all pods of a headless service in Kubernetes.
    resolve: bool = False
    #: A command that makes the services read their configuration again, as ``["systemctl", "reload",
    #: "mrse-recall"]``. None: they watch it themselves (``server.watch_config``).
    reload: tuple[str, ...] = ()
    #: Where one answers ``/admin/experiments``, its port or admin port: taking a canary back then takes less
    #: than a second. Needs ``assignment.path`` in the configuration, and a key of scope ``write``, ``--key``.
    admin: str | None = None
    #: Seconds for all services to have loaded what the configuration names.
    within_s: float = Field(default=300.0, gt=0)


class Canary(_Table):
    """The share of traffic that meets what is new, and what it must not do worse than the rest."""

    #: Of the units that keep their arms.
    share: SomeShare = 0.1
    #: Seconds that it is watched, at least; and until something is known of its latency.
    watch_s: float = Field(default=1800.0, ge=0)
    #: Seconds after which one that has not had ``requests``, or of whose latency nothing is known, is taken
    #: back.
    longest_s: float = Field(default=14_400.0, ge=0)
    #: Of the canary, below which nothing is promoted.
    requests: int = Field(default=500, ge=1)
    #: Seconds between two looks at ``/metrics``.
    every_s: float = Field(default=5.0, gt=0)
    #: Seconds in which its caches are cold: latency counts from then on.
    settle_s: float = Field(default=60.0, ge=0)
    #: How much larger than the control's the share of its requests may be that fail by the service's own
    #: fault.
    errors: float = Field(default=0.01, ge=0)
    #: The same of answers without an item.
    empty: float = Field(default=0.02, ge=0)
    #: The same of answers in which a route gave less than it should have.
    partial: float = Field(default=0.05, ge=0)
    #: How many times as long its p95 may be.
    slower: float = Field(default=1.5, ge=1)
    #: Milliseconds of its p95 below which it is never too slow.
    slow_from_ms: float = Field(default=50.0, ge=0)
    #: Seconds for which a service that has been ready may be away or not ready before the canary is taken
    #: back.
    silent_s: float = Field(default=30.0, ge=0)


class Exposed(_Table):
    """The exposure log and what users did, for `mrse experiment report` at the end of the watch."""

    #: The log: a file or its folder.
    exposures: Path
    #: What users did, as for `mrse experiment report`.
    outcomes: Path
    #: What must not be surely lower.
    metric: str = "click rate"


class Vespa(_Table):
    """Needed where the service's engine is ``vespa``."""

    #: The package folder.
    package: Path
    #: Containers that are fed and asked.
    endpoints: tuple[str, ...] = Field(min_length=1)
    #: Where the package is deployed to.
    config_servers: tuple[str, ...] = Field(min_length=1)
    #: As ``--vectors`` of `mrse vespa add-version`.
    vectors: Literal["bfloat16", "int8"] = "bfloat16"
    #: Share of all items that may have left the catalogue.
    prune: float = Field(default=0.1, ge=0, le=1)


class Plan(_Table):
    """A release.

    Attributes:
        file: where it was read.
    """

    file: Path
    #: What bundles are called.
    name: str = Field(default="shop", pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    #: The shop's folder.
    shop: Path
    #: The service's TOML file, which names what serves.
    config: Path
    #: Folder of all releases: a folder for each, and the state.
    work: Path
    #: Releases of which files are kept, beside what serves.
    keep: int = Field(default=3, ge=1)
    #: A bundle that somebody else trained, in place of the one that serves.
    bundle: Path | None = None
    #: Fit `mrse calibrate` for the new index. Its vectors then leave out the behaviours that are held out.
    calibrate: bool = False
    #: What changed in the catalogue since it was exported (JSON lines, as of `mrse index update`): prices and
    #: stock that the new index would otherwise have from before. Embedded indexes alone; Vespa keeps its own.
    changes: Path | None = None
    #: What `mrse produce` fills the Redis of the configuration with, for the new bundle.
    produce: tuple[Literal["items", "queries", "portraits"], ...] = ()
    #: Left out, no bundle is trained.
    train: Train | None = None
    embed: Embed = Embed()
    gate: Gate = Gate()
    services: Services = Services()
    canary: Canary = Canary()
    #: Left out, the metrics alone decide on the canary.
    exposed: Exposed | None = None
    #: Where Vespa is, for that engine.
    vespa: Vespa | None = None


#: Keys that are paths, which are relative to the plan's folder.
_PATHS = ("shop", "config", "work", "bundle", "changes")
_NESTED = {"exposed": ("exposures", "outcomes"), "vespa": ("package",)}


def _refuse_unguarded(plan: Plan) -> None:
    """Refuse what would let a bundle or a canary pass without being asked."""
    if plan.gate.measures != Gate().measures:  # whose names are right; the registry takes a second to import
        from models.evaluation.measures import MEASURES

        if unknown := [name for name in plan.gate.measures if name not in MEASURES]:
            raise PlanError(
                f"{plan.file}: gate.measures: there is no measure {unknown[0]!r}; there are "
                f"{', '.join(MEASURES)}"
            )
    its = plan.canary
    longest = max(its.watch_s, its.longest_s)
    if plan.services.urls and its.settle_s >= longest > 0:
        raise PlanError(
            f"{plan.file}: canary.settle_s: latency would count from {its.settle_s:g} s on, and the watch "
            f"ends after {longest:g} s at the latest (canary.watch_s, canary.longest_s)"
        )


def read_plan(file: Path) -> Plan:
    """Read a plan; paths in it are relative to its folder.

    Raises:
        PlanError: it cannot be read, or a key or value is wrong.
    """
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{file}: not TOML: {error}") from error
    folder = file.resolve().parent
    for table, keys in (("", _PATHS), *_NESTED.items()):
        found = values.get(table, {}) if table else values
        for key in keys:
            if isinstance(found, dict) and isinstance(found.get(key), str):
                found[key] = folder / found[key]
    try:
        plan = Plan.model_validate({**values, "file": file.resolve()})
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_input=False):
            key = ".".join(map(str, problem["loc"]))
            reason = "there is no such key" if problem["type"] == "extra_forbidden" else problem["msg"]
            lines.append(f"{file}: {key}: {reason}")
        raise PlanError("\n".join(lines)) from error
    _refuse_unguarded(plan)
    if plan.train is not None and plan.bundle is not None:
        raise PlanError(f"{file}: bundle: give a bundle, or the table [train], not both")
    return plan
