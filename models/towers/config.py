"""Every knob of model and training, frozen; its defaults are the preset ``demo`` (see `presets`).

The paper gives structure but no sizes: all values here are *inferred* unless a docstring says "paper".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from artifacts.bundle.manifest import Dimensions, PictureSpec, TextSpec
from common.errors import MrseError
from common.hints import meant
from models.towers.experts import EXPERTS
from models.towers.experts.config import ExpertsConfig, Frozen
from models.towers.image_config import ImageConfig
from models.towers.training_config import (
    DataConfig,
    DistilConfig,
    LossConfig,
    StageConfig,
    TasteConfig,
    TeacherConfig,
    ValidationConfig,
)

PresetName = Literal["tiny", "demo", "text", "pretrained-text", "pretrained-image", "paper"]


class ConfigError(MrseError, ValueError):
    """There is no such preset or key, or a value does not fit; the message names it."""


def dimensions(**sizes: int) -> Dimensions:
    """Dimensions for all experts that are registered."""
    return Dimensions(experts=tuple(EXPERTS), **sizes)


class FusionConfig(Frozen):
    """Sizes of the DSSM fusion and of the gate."""

    #: Width of the hidden layer of both fusions.
    hidden: int = 256
    #: Width of the gate's hidden layer.
    gate_hidden: int = 32
    #: Weights above 0 that the gate starts with, in the order of the experts; equal ones where it is empty.
    gate_start: tuple[Annotated[float, Field(gt=0.0, allow_inf_nan=False)], ...] = ()
    #: How the straight path of both towers starts. ``random``: a drawn projection. ``components``: the
    #: principal components of the items' features, so that an embedding narrower than the experts keeps
    #: what tells items apart. ``distilled``: from there it learns to order items as the experts side by side
    #: do, over queries made of titles and the log's queries, without clicks (``distil``).
    start: Literal["random", "components", "distilled"] = "random"
    #: Of ``components`` and ``distilled``: each is divided by its standard deviation to this power; 0 leaves
    #: them as they are, 1 makes all equally loud. Chosen on ESCI, where 0.3 to 0.7 came to much the same.
    whiten: float = Field(default=0.3, ge=0.0, le=1.0)
    #: Rate of dropout in fusions and gate.
    dropout: float = 0.1
    #: Whether the item's fusion reads how often it was clicked.
    popularity: bool = False


class UserConfig(Frozen):
    """How a user's history enters the query, and what it says by itself. All values are *inferred*."""

    #: ``context``: portraits are inputs of the query's DSSM. ``residual``: a sequence encoder reads them, and
    #: what it finds is added to a query that does not know them: unit(query + pull * taste). ``taste``: they
    #: are inputs of a query that says nothing (browse); for others a taste is read from them, which has
    #: dimensions of its own (`TasteConfig`).
    kind: Literal["context", "residual", "taste"] = "taste"
    #: Width of the sequence encoder.
    width: int = Field(default=64, ge=1)
    #: Its layers over the whole sequence.
    layers: int = Field(default=1, ge=0)
    #: Attention heads of each layer; ``width`` is a multiple of it.
    heads: int = Field(default=2, ge=1)
    #: Rate of dropout in the encoder.
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    #: Rows of the embedding of items by the hash of their ids; 0 for none.
    item_buckets: int = Field(default=0, ge=0, le=1 << 24)
    #: The pull that training starts from, of at most 1.
    pull: float = Field(default=0.2, gt=0.0, lt=1.0)
    #: Whether each dimension of the embedding has a pull of its own: what the words say then stays as they
    #: say it, and the taste turns the rest. The pull that is told is their mean.
    pull_each: bool = False
    #: Rate of behaviours that are left out of a history in training.
    slot_dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    #: Interest vectors of a user; 0 for none. Needs ``residual``.
    interests: int = Field(default=0, ge=0, le=16)

    @model_validator(mode="after")
    def _interests_need_the_encoder(self) -> UserConfig:
        if self.interests and self.kind != "residual":
            raise ValueError('user.interests needs user.kind = "residual"')
        if self.width % self.heads:
            raise ValueError(f"user.width {self.width} is no multiple of {self.heads} heads")
        return self


class Switches(BaseModel):
    """Parts turned off for ablations; graphs keep their shapes. Each expert has a switch of its name."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, bool] = Field(init=False)

    #: Off: pictures of queries and items are left out.
    picture: bool = True
    #: Off: histories are left out.
    history: bool = True
    #: Off: the experts weigh the same, whoever asks.
    gate: bool = True
    #: Off: an item's co-clicks are left out.
    coclick: bool = True

    @model_validator(mode="before")
    @classmethod
    def _every_expert(cls, values: dict[str, Any]) -> dict[str, Any]:
        if unknown := values.keys() - cls.model_fields.keys() - EXPERTS.keys():
            raise ValueError(f"there is no part and no expert {min(unknown)!r}")
        return {**dict.fromkeys(EXPERTS, True), **values}

    def expert(self, name: str) -> bool:
        """Whether an expert is on."""
        return self.__pydantic_extra__.get(name, True)


class Config(Frozen):
    """The whole configuration of a training run; its JSON goes into the bundle's manifest."""

    #: The preset that the defaults are of: ``--preset``.
    preset: PresetName = "demo"
    #: Of every draw: the same seed, threads and data give the same weights.
    seed: int = 7
    #: torch threads; part of the configuration because sums depend on it.
    threads: int = 1
    #: Minutes between two checkpoints, to which a killed run goes back.
    checkpoint_minutes: float = 5.0
    #: Batches that threads draw ahead while a step runs; nothing of the outcome depends on it.
    prefetch: int = Field(default=2, ge=0, le=64)
    #: bfloat16 inside of the towers where a GPU trains; cosines and losses stay float32.
    bf16: bool = True
    dimensions: Dimensions = Field(default_factory=dimensions)
    text: TextSpec = Field(default_factory=TextSpec)
    picture: PictureSpec = Field(default_factory=PictureSpec)
    image: ImageConfig = Field(default_factory=ImageConfig)
    experts: ExpertsConfig = Field(default_factory=ExpertsConfig)
    fusion: FusionConfig = Field(default_factory=FusionConfig)
    user: UserConfig = Field(default_factory=UserConfig)
    taste: TasteConfig = Field(default_factory=TasteConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    stage1: StageConfig = Field(default_factory=StageConfig)
    stage2: StageConfig = Field(
        default_factory=lambda: StageConfig(steps=600, batch=384, rate=2e-3, uniform=4.0)
    )
    validation: ValidationConfig = Field(default_factory=ValidationConfig)
    switches: Switches = Field(default_factory=Switches)
    teacher: TeacherConfig = Field(default_factory=TeacherConfig)
    distil: DistilConfig = Field(default_factory=DistilConfig)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Config:
        """A configuration from its JSON.

        Raises:
            ConfigError: a value does not fit, or an expert is not registered.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            says = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{where}: {says}" if where else says) from error

    def with_overrides(self, overrides: Mapping[str, Any]) -> Config:
        """A copy with dotted keys replaced, such as ``{"image.epochs": 40}``; strings are parsed.

        Raises:
            ConfigError: there is no such key, or the value does not fit.
        """
        values = self.model_dump(mode="json")
        for key, value in overrides.items():
            at = values
            *parents, last = key.split(".")
            for part in parents:
                at = at.get(part) if isinstance(at, dict) else None  # type: ignore[assignment]
            if not isinstance(at, dict) or last not in at:
                raise ConfigError(f"unknown config key {key!r}{meant(key, _keys(values))}")
            at[last] = _parsed(value)
        return Config.read(values)

    @model_validator(mode="after")
    def _teacher_is_there(self) -> Config:
        loss = self.loss
        for key, value in (("mined_filter", loss.mined_filter), ("false_negatives", loss.false_negatives)):
            if value == "teacher" and not self.teacher.enabled:
                raise ValueError(f"loss.{key} is teacher, but the run has none: mrse train --teacher")
        if loss.distil and loss.mined_filter != "teacher":
            raise ValueError("loss.distil needs grades: loss.mined_filter=teacher (mrse train --teacher)")
        return self

    @model_validator(mode="after")
    def _tastes_leave_room(self) -> Config:
        if self.tastes and self.taste_dim < 2:
            width = self.dimensions.embedding_dim
            raise ValueError(f"dimensions.embedding_dim {width} has no room for tastes (user.kind)")
        return self

    @field_validator("dimensions")
    @classmethod
    def _known_experts(cls, value: Dimensions) -> Dimensions:
        if unknown := [name for name in value.experts if name not in EXPERTS]:
            raise ValueError(f"no expert {unknown[0]!r} is registered; there are {', '.join(EXPERTS)}")
        return value

    @property
    def tastes(self) -> bool:
        """Whether tastes have dimensions of their own."""
        return self.user.kind == "taste" and self.switches.history

    @property
    def taste_dim(self) -> int:
        """Dimensions of the embedding that tastes have."""
        return min(self.taste.dims, self.dimensions.embedding_dim // 4) if self.tastes else 0

    @property
    def words_dim(self) -> int:
        """Dimensions that are left for queries and items themselves."""
        return self.dimensions.embedding_dim - self.taste_dim

    def fingerprint(self) -> str:
        """16 hex digits over everything that the outcome depends on."""
        content = self.model_copy(update={"checkpoint_minutes": 0.0, "prefetch": 0}).model_dump_json()
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _keys(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every dotted key."""
    for key, value in values.items():
        yield above + key
        if isinstance(value, dict):
            yield from _keys(value, f"{above}{key}.")


def _parsed(value: Any) -> Any:
    """A value from the command line: JSON where it is JSON, such as ``[32, 64]``."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
