"""Boosts: more or less for items by a numeric attribute, such as popularity, margin or newness.

An item's score moves by ``weight`` times a share from 0 to 1, which its attribute has by a bounded curve: no
attribute, however large, does more than the weight says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Boosts of one request.
MAX_BOOSTS = 8
Weight = Annotated[float, Field(ge=-1, le=10, allow_inf_nan=False)]
_Number = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
_DAY_S = 86_400.0


class Boost(BaseModel):
    """A boost by one attribute. The score becomes ``score + |score| * weight * share``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: A declared attribute of numbers. An item without it has the share 0.
    attribute: str = Field(min_length=1, max_length=128)
    weight: Weight
    #: ``linear``: the share grows from 0 at ``low`` to 1 at ``high``. ``log``: the same of log(1 + value).
    #: ``newness``: the attribute is a time, in seconds since 1970; the share is 1 now and halves every
    #: ``half_life_days``.
    shape: Literal["linear", "log", "newness"] = "linear"
    low: _Number = 0.0
    high: _Number = 1.0
    half_life_days: float = Field(default=30.0, gt=0, le=36_500, allow_inf_nan=False)

    @model_validator(mode="after")
    def _bounds(self) -> Boost:
        if self.high <= self.low:
            raise ValueError("high is not above low")
        if self.shape == "log" and self.low < 0:
            raise ValueError("low is below 0, where the shape log has no value")
        return self

    def share(self, now: datetime) -> Callable[[float], float]:
        """The share of an attribute's value, 0 to 1."""
        if self.shape == "newness":
            at, half_life_s = now.timestamp(), self.half_life_days * _DAY_S
            return lambda value: 0.5 ** (max(at - value, 0.0) / half_life_s)
        if self.shape == "log":
            base = math.log1p(self.low)
            width = math.log1p(self.high) - base
            return lambda value: _clamped((math.log1p(max(value, 0.0)) - base) / width)
        low, width = self.low, self.high - self.low
        return lambda value: _clamped((value - low) / width)


def boosted(score: float, worth: float) -> float:
    """A score with what its boosts are worth together; more never means less, also below 0."""
    return round(score + abs(score) * worth, 6)


def worths(boosts: Sequence[Boost], now: datetime) -> Callable[[Sequence[object]], float]:
    """What the values of an item's attributes, in the order of the boosts, are worth together."""
    parts = [(boost.weight, boost.share(now)) for boost in boosts]

    def worth(values: Sequence[object]) -> float:
        return sum(
            weight * share(float(value))
            for (weight, share), value in zip(parts, values, strict=True)
            if isinstance(value, int | float)
        )

    return worth


def _clamped(share: float) -> float:
    return min(max(share, 0.0), 1.0)
