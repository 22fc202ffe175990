"""All groups together, checked against each other."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from common.extensions import load_extensions
from index.engine import EngineSettings
from index.engines import ENGINES
from service.recall.settings import Recall, composed_recall
from service.settings.assigning import AssignmentSettings
from service.settings.caches import Cache, RedisSettings
from service.settings.exposing import Exposures
from service.settings.groups import (
    BundleSettings,
    Encoder,
    Experiments,
    IndexSettings,
    Playground,
    RulesSettings,
    Tracing,
)
from service.settings.limits import DeadlineSettings, Limits
from service.settings.server import Access, ConnectionSettings, Server
from service.settings.taking import Events, Items


class Settings(BaseModel):
    """Everything that can be set; frozen. `composed` adds the tables of engines and routes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: Server = Server()
    access: Access = Access()
    bundle: BundleSettings = BundleSettings()
    index: IndexSettings = IndexSettings()
    encoder: Encoder = Encoder()
    cache: Cache = Cache()
    redis: RedisSettings = RedisSettings()
    recall: Recall = Recall()
    rules: RulesSettings = RulesSettings()
    items: Items = Items()
    events: Events = Events()
    experiments: Experiments = Field(default_factory=dict)
    assignment: AssignmentSettings = AssignmentSettings()
    exposures: Exposures = Exposures()
    connections: ConnectionSettings = ConnectionSettings()
    limits: Limits = Limits()
    deadline: DeadlineSettings = DeadlineSettings()
    tracing: Tracing = Tracing()
    playground: Playground = Playground()

    @property
    def takes_changes(self) -> bool:
        """Whether there are calls that change something: only where somebody can be asked for a key."""
        server = self.server
        known = (server.admin_token, server.admin_token_file, self.access.keys)
        return any(each is not None for each in known)

    @property
    def engine_table(self) -> EngineSettings:
        """The table of the engine that ``index.engine`` chooses."""
        table: EngineSettings = getattr(self, self.index.engine)
        return table

    @model_validator(mode="after")
    def _experiments(self) -> Settings:
        for name in self.assignment.experiments:
            if name not in self.experiments:
                raise ValueError(f"assignment.experiments.{name}: there is no experiments.{name}")
        if "holdout" in self.experiments:
            raise ValueError("experiments.holdout: the name is taken by assignment.holdout")
        for name, arms in self.experiments.items():
            weights = sum(arm.weight for arm in arms.values())
            if weights <= 0:
                raise ValueError(f"experiments.{name}: no arm has a weight")
            if not math.isfinite(weights):
                raise ValueError(f"experiments.{name}: the weights are too large to be added up")
            for arm_name, arm in arms.items():
                if name != "towers" and (arm.bundle or arm.index):
                    raise ValueError(
                        f"experiments.{name}.{arm_name}: only arms of `towers` name a bundle or index"
                    )
                if (arm.bundle is None) != (arm.index is None):
                    raise ValueError(f"experiments.{name}.{arm_name}: bundle and index go together")
                try:  # a bad arm must fail now, not in the first request that draws it
                    self.recall.changed(arm.recall)
                except ValidationError as error:
                    first = error.errors(include_url=False)[0]
                    key = ".".join(["experiments", name, arm_name, "recall", *map(str, first["loc"])])
                    raise ValueError(f"{key}: {first['msg']}") from error
        return self


def composed() -> type[Settings]:
    """The settings with a table for each engine and each route that is registered, also by extensions."""
    load_extensions()
    recall = composed_recall()
    tables: dict[str, Any] = {"recall": (recall, Field(default_factory=recall))}
    tables |= {name: (engine.settings, engine.settings()) for name, engine in ENGINES.items()}
    return create_model("Settings", __base__=Settings, **tables)
