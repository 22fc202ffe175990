"""The groups that say who takes part in experiments. Defaults take everybody, as without the groups."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from service.recall.routes.route import Share
from service.settings.groups import Experiments, Group, Name

#: Travels into the key of a hash, which has at most 64 bytes.
Salt = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,40}$")]


class Part(Group):
    """Who takes part in one experiment. Who does not is answered as if there were no such experiment."""

    #: The kill switch: false takes everybody out.
    on: bool = True
    #: Share of the slot that takes part. Raise it step by step: who takes part stays, with the same arm.
    ramp: Share = 1.0
    #: Experiments of one layer share its places, from 0 to 1, one place a unit: those whose slots do not
    #: overlap exclude each other. Without a layer an experiment has places of its own.
    layer: Name | None = None
    #: From which place to which of the layer the experiment reaches.
    slot: tuple[Share, Share] = (0.0, 1.0)
    #: Draws the arms; the experiment's name where it is left out. Another one draws everybody anew.
    salt: Salt | None = None

    @field_validator("slot")
    @classmethod
    def _slot(cls, slot: tuple[float, float]) -> tuple[float, float]:
        if slot[0] >= slot[1]:
            raise ValueError("the slot ends where it begins, or before")
        return slot

    @property
    def everybody(self) -> bool:
        """Whether nobody is left out."""
        return self.on and self.ramp == 1 and self.slot == (0.0, 1.0)


class Layer(Group):
    """Experiments that divide the units among themselves; layers are independent of each other."""

    #: Gives each unit its place; the layer's name where it is left out.
    salt: Salt | None = None


class AssignmentSettings(Group):
    """Who takes part in which experiment."""

    #: A JSON file, which need not be there yet: ``POST /admin/experiments`` writes it, and a person may. What
    #: it says of weights, ramps and switches holds in every worker within a second.
    path: Path | None = None
    #: Share of the units that take part in no experiment of the settings, to see what all do together.
    holdout: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    #: Draws the holdout; another one draws others.
    holdout_salt: Salt = "holdout"
    #: What keeps its arms where a request names neither user nor session: the request alone, or the query's
    #: words (the item of ``/similar``), which weighs arms by how often a query is asked.
    without_user: Literal["request", "query"] = "request"
    layers: dict[Name, Layer] = Field(default_factory=dict)
    experiments: dict[Name, Part] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _layers(self) -> AssignmentSettings:
        slots: dict[str, list[tuple[float, float, str]]] = {}
        for name, part in self.experiments.items():
            if part.layer is None:
                continue
            if part.layer not in self.layers:
                raise ValueError(f"experiments.{name}.layer: there is no assignment.layers.{part.layer}")
            slots.setdefault(part.layer, []).append((*part.slot, name))
        for layer, taken in slots.items():
            taken.sort()
            for (_, end, one), (start, _, other) in itertools.pairwise(taken):
                if start < end:
                    raise ValueError(f"the slots of {one} and {other} overlap in the layer {layer}")
        return self

    def part(self, experiment: str) -> Part:
        """Who takes part in an experiment."""
        return self.experiments.get(experiment, _EVERYBODY)


class LivePart(Group):
    """What is changed of an experiment while the service runs; null leaves it as the settings have it."""

    on: bool | None = None
    ramp: Share | None = None
    weights: dict[Name, Annotated[float, Field(ge=0, le=1e9)]] | None = None


class Live(Group):
    """What the watched file says."""

    holdout: Annotated[float, Field(ge=0, le=0.9)] | None = None
    experiments: dict[Name, LivePart] = Field(default_factory=dict, max_length=256)


def overlaid(
    experiments: Experiments, plan: AssignmentSettings, live: Live
) -> tuple[Experiments, AssignmentSettings, list[str]]:
    """The experiments and who takes part, as a file changes them, and what of the file cannot be used."""
    problems: list[str] = []
    arms, parts = dict(experiments), dict(plan.experiments)
    for name, change in live.experiments.items():
        its = arms.get(name)
        if its is None:
            problems.append(f"experiments.{name}: there is no such experiment")
            continue
        switches = {key: value for key in ("on", "ramp") if (value := getattr(change, key)) is not None}
        parts[name] = plan.part(name).model_copy(update=switches)
        weights = change.weights or {}
        unknown = sorted(weights.keys() - its.keys())
        changed = {arm: weights.get(arm, each.weight) for arm, each in its.items()}
        if unknown:
            problems.append(f"experiments.{name}.weights.{unknown[0]}: there is no such arm")
        elif sum(changed.values()) <= 0:
            problems.append(f"experiments.{name}.weights: no arm has a weight")
        elif weights:
            arms[name] = {arm: each.model_copy(update={"weight": changed[arm]}) for arm, each in its.items()}
    holdout = plan.holdout if live.holdout is None else live.holdout
    return arms, plan.model_copy(update={"experiments": parts, "holdout": holdout}), problems


_EVERYBODY = Part()
