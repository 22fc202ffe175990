"""Every knob of model and training, frozen; its defaults are the preset ``demo`` (see `presets`).

The paper gives structure but no sizes: all values here are *inferred* unless a docstring says "paper".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from artifacts.bundle.manifest import CoClickSpec, Dimensions, PictureSpec, Preprocessing, TextSpec
from common.errors import MrseError
from common.hints import meant
from models.towers.experts import EXPERTS
from models.towers.experts.config import ExpertsConfig, Frozen
from models.towers.image_config import ImageConfig

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
    gate_start: tuple[float, ...] = ()
    #: Rate of dropout in fusions and gate.
    dropout: float = 0.1
    #: Whether the item's fusion reads how often it was clicked.
    popularity: bool = False


class UserConfig(Frozen):
    """How a user's history enters the query, and what it says by itself. All values are *inferred*."""

    #: ``context``: portraits are inputs of the query's DSSM. ``residual``: a sequence encoder reads them, and
    #: what it finds is added to a query that does not know them: unit(query + pull * taste).
    kind: Literal["context", "residual"] = "context"
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


class LossConfig(Frozen):
    """Hybrid loss: alpha * MNSCE + beta * HNST."""

    #: Weight of MNSCE.
    alpha: float = 1.0
    #: 0 turns HNST off. A triplet's gradient is at most 1 a pair, that of MNSCE at most ``scale``.
    beta: float = 5.0
    #: HNST's share of the gradient at the cosines (`models.training.dose`), which sets beta anew in every
    #: step; 0 leaves beta as it is.
    hard_share: float = Field(default=0.3, ge=0.0, le=0.9)
    #: Most that ``hard_share`` may make of beta: where few triplets are active, each would weigh too much.
    beta_most: float = Field(default=50.0, gt=0.0)
    #: Scale of the cosines in MNSCE (1 / temperature).
    scale: float = 20.0
    #: Cosine that a hard negative of label 0 lies below the positive before HNST lets go of it.
    margin: float = 0.2
    #: Hard negatives for each positive.
    hard_negatives: int = 4
    #: Whether a row's hard negatives are columns of its MNSCE as well.
    hard_columns: bool = False
    #: Share of them that is mined where a query has labels of low relevance too.
    mined_share: float = 0.5
    #: Ranks that mined hard negatives come from, as 1-based first and last.
    hard_ranks: tuple[int, int] = (1, 100)
    #: Whether stage 1 mines as well; each time encodes the catalogue with all experts.
    mine_experts: bool = False
    #: What keeps relevant items out of what is mined. ``known``: what was clicked for the same intent or is
    #: labelled so. ``margin``: also what is ranked less than ``guide_margin`` below the mean of those.
    #: ``teacher``: also what the teacher does not grade as of low relevance.
    mined_filter: Literal["known", "margin", "teacher"] = "margin"
    #: Columns of MNSCE that are no negatives of a row. ``known``: as above. ``guide``: in stage 2 also what
    #: the experts of stage 1 put nearer than ``guide_margin`` below the positive. ``teacher``: in stage 2
    #: also what the teacher grades as relevant among the experts' first hundred.
    false_negatives: Literal["known", "guide", "teacher"] = "known"
    #: Cosine; negative to let the guide decide only where it is sure.
    guide_margin: float = Field(default=0.05, ge=-1.0, le=1.0)
    #: Weight of distillation (MarginMSE): mined items lie below the positive as far as the teacher says.
    distil: float = Field(default=0.0, ge=0.0)
    #: Labels up to this are low relevance: hard negatives, never positives. A label below is no mere yes or
    #: no: the margin of its triplet is ``margin`` times (1 - label).
    low_relevance: float = 0.45
    #: Share of stage 2 after which HNST joins (softmax first, hard negatives after).
    hard_after: float = 0.5
    #: Uniform negatives from the catalogue, over the batch size.
    uniform_share: float = 0.5
    #: Scale of the cosines in what co-clicks teach (see ``data.companion_share``).
    companion_scale: float = 10.0
    #: Correct negatives for how often a step draws them, in the batch and uniformly (logQ).
    logq: bool = False
    #: Weight of the choice among answers: what a user with a history clicked, against what others clicked for
    #: the same words (`models.training.rivals`).
    choice: float = Field(default=0.0, ge=0.0)
    #: How many of the others a row gets.
    rivals: int = Field(default=8, ge=1, le=256)
    #: Weight of the loss of a user's interests beside that of queries; it always has logQ.
    interests: float = Field(default=0.5, ge=0.0)
    #: Of a row that asks for something in the loss of interests; one of browsing weighs 1.
    interests_asked: float = Field(default=0.25, ge=0.0)


class DataConfig(Frozen):
    """How events become examples."""

    #: Tokens that a tokenizer trained from the shop's texts has.
    vocabulary: int = 3000
    #: Share of the newest events held out for val, and for test, where the file marks no split.
    held_out: float = 0.05
    #: Rate of train queries that get a typo.
    typo_rate: float = 0.15
    #: Rate of examples whose query is emptied although the user has a history (browse).
    query_dropout: float = 0.1
    #: Rate of examples with a query picture whose text is emptied.
    picture_only: float = 0.3
    #: Rate of examples with a query picture whose picture is left out.
    query_picture_dropout: float = 0.3
    #: Rate of items whose picture is left out.
    item_picture_dropout: float = 0.1
    #: Rate of examples whose history is left out, so that the towers do without one too.
    history_dropout: float = 0.3
    #: Rate of items whose co-clicks are left out, as a new item has none.
    coclick_dropout: float = 0.2
    #: Co-clicked items kept for an item.
    coclick_top: int = 10
    #: A behaviour is paired with at most this many later ones of its visit; set it high where a visit is a
    #: basket whose items have one time and no order.
    coclick_following: int = 5
    #: Whether co-clicks are ranked and weighted by the cosine of the two items' behaviours instead of their
    #: count: what everybody buys is then nobody's companion.
    coclick_cosine: bool = False
    #: Stage 1: items in a step whose co-clicks teach FtAtt what goes together, over the batch size; for shops
    #: that are browsed more than searched. 0 for none.
    companion_share: float = 0.0
    #: Behaviours on the target item itself within this many days before count as the same visit and are
    #: cut from its portrait, so that the model does not learn to give back what was just clicked.
    same_item_days: float = 1.0
    #: Behaviours for the same words and picture within this many minutes before are of the same search, and
    #: cut from its portrait, in training and in evaluation: when the search was sent they had not happened.
    same_search_minutes: float = 60.0
    #: Whether several actions on one item take one place in a history, that of the last of them.
    one_slot: bool = False
    #: Examples drawn from item titles as if they were queries, as a share of a batch (weak supervision
    #: for items without events).
    title_share: float = 0.1
    #: Examples drawn from items' own pictures as if a shopper had searched with them, as a share of a batch:
    #: so the query side learns to read pictures though no search of the log has one.
    picture_share: float = 0.05

    @property
    def preprocessing(self) -> Preprocessing:
        """What a bundle says of how the log was read."""
        coclicks = CoClickSpec(
            top=self.coclick_top, following=self.coclick_following, cosine=self.coclick_cosine
        )
        return Preprocessing(
            held_out=self.held_out,
            same_item_days=self.same_item_days,
            same_search_minutes=self.same_search_minutes,
            one_slot=self.one_slot,
            coclicks=coclicks,
        )


class StageConfig(Frozen):
    """One training stage."""

    #: Steps of the stage.
    steps: int = 500
    #: Examples in a step.
    batch: int = 256
    #: Highest learning rate; it rises during the warmup and falls to 0 by a cosine.
    rate: float = 2e-3
    #: Of AdamW.
    weight_decay: float = 0.01
    #: Share of the steps in which the rate rises.
    warmup: float = 0.05
    #: Most that the norm of a step's gradient may be.
    clip: float = 1.0
    #: Times `LossConfig.uniform_share`. Over frozen experts an item more costs next to nothing.
    uniform: float = 1.0
    #: Rate of the experts in stage 2 over the stage's own; 0 freezes them.
    expert_rate: float = 0.0
    #: Steps after which hard negatives are mined anew, and portraits and co-click features made anew by
    #: experts that train in stage 2.
    refresh_every: int = Field(default=100, ge=1)
    #: Rows that are encoded at a time, and again for their gradient (cached gradients): memory is that of so
    #: many rows, not of the batch, for a third more time. 0 keeps all activations.
    cached_rows: int = Field(default=0, ge=0)
    #: Decay of the moving average of the weights, which then is what is kept, such as 0.999; 0 for none.
    ema: float = Field(default=0.0, ge=0.0, lt=1.0)


class ValidationConfig(Frozen):
    """Recall@K on val searches during stage 2; the best weights are kept. Off at ``every`` = 0."""

    #: Steps between two looks.
    every: int = Field(default=0, ge=0)
    #: Looks without a better one after which the stage ends; 0 goes on to the end and keeps the best.
    patience: int = Field(default=5, ge=0)
    #: K.
    at: int = Field(default=100, ge=1)
    #: Searches at most.
    requests: int = Field(default=1000, ge=1)


class TeacherConfig(Frozen):
    """The relevance teacher (`models.teacher`): a small cross-encoder of query and item. All *inferred*."""

    #: Whether a run trains one; `mrse train --teacher` turns it on and uses it.
    enabled: bool = False
    #: Width of the cross-encoder.
    hidden: int = Field(default=64, ge=8)
    #: Its layers.
    layers: int = Field(default=2, ge=1)
    #: Attention heads of each layer.
    heads: int = Field(default=4, ge=1)
    #: Rate of dropout.
    dropout: float = 0.1
    #: Steps of its training.
    steps: int = Field(default=800, ge=1)
    #: Queries of a step; each comes with what answers it and with items that do not.
    batch: int = Field(default=64, ge=2)
    #: Highest learning rate.
    rate: float = 2e-3
    #: Grade from which on an item counts as an answer that nobody clicked.
    answers: float = Field(default=0.7, ge=0.0, le=1.0)
    #: Cosine between what answers and what does not, in distillation.
    span: float = Field(default=0.5, gt=0.0, le=2.0)


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
    loss: LossConfig = Field(default_factory=LossConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    stage1: StageConfig = Field(default_factory=StageConfig)
    stage2: StageConfig = Field(
        default_factory=lambda: StageConfig(steps=600, batch=384, rate=2e-3, uniform=4.0)
    )
    validation: ValidationConfig = Field(default_factory=ValidationConfig)
    switches: Switches = Field(default_factory=Switches)
    teacher: TeacherConfig = Field(default_factory=TeacherConfig)

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

    @field_validator("dimensions")
    @classmethod
    def _known_experts(cls, value: Dimensions) -> Dimensions:
        if unknown := [name for name in value.experts if name not in EXPERTS]:
            raise ValueError(f"no expert {unknown[0]!r} is registered; there are {', '.join(EXPERTS)}")
        return value

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
