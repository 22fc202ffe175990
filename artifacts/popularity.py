"""How popular an item is: the behaviours on it, each worth half as much after every half-life.

An item's popularity is an attribute, `POPULARITY`, as of a time that the embeddings folder names. All items
fade alike, so their order stays as it is until somebody does something; what happens later counts more.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from common.arrays import F64

#: The attribute that holds it. A shop that declares one of this name keeps its own.
POPULARITY: Final = "popularity"
#: Days after which a behaviour counts half. *Inferred*: the paper has no popular route.
HALF_LIFE_DAYS: Final = 30.0
_DAY_S: Final = 86_400.0
#: Behaviours further away than so many half-lives count as these do.
_MOST_HALVINGS: Final = 500.0


class PopularitySpec(BaseModel):
    """How the popularity in an embeddings folder was counted; ``as_of`` is in seconds since 1970."""

    model_config = ConfigDict(frozen=True)

    half_life_days: float = Field(gt=0, allow_inf_nan=False)
    as_of: float = Field(allow_inf_nan=False)

    def worth(self, at: F64) -> F64:
        """What behaviours at these times count, 1 at ``as_of``: float64 ``[n]`` from seconds since 1970."""
        halvings = (at - self.as_of) / (_DAY_S * self.half_life_days)
        worth: F64 = np.exp2(np.clip(halvings, -_MOST_HALVINGS, _MOST_HALVINGS))
        return worth
