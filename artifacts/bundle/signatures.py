"""What each graph reads and what it gives: the only place that spells their inputs and outputs.

An input that a new expert needs is added here: to `_EXPERTS`, and to `expert_inputs`, which makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from artifacts.bundle.manifest import Role
from artifacts.bundle.portrait import PortraitBatch
from artifacts.bundle.text import TextBatch
from common.arrays import F32, Arrays

#: Axes whose length changes from run to run: rows, tokens, words, n-grams of a word, behaviours. The others
#: are experts (E), their width (D), the embedding (V), picture features (P), picture edge (S), colours (C),
#: interests (N), statistics of an item (F).
DYNAMIC_AXES = ("B", "L", "W", "G", "K")


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a graph: its axes by letter, and its type."""

    axes: str
    dtype: npt.DTypeLike = np.float32

    @property
    def dynamic(self) -> dict[int, str]:
        """Place and letter of the axes whose length changes."""
        return {place: axis for place, axis in enumerate(self.axes) if axis in DYNAMIC_AXES}


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs of a graph by name, in the order of the exported module's ``forward``.

    ``optional``: those that a graph may do without, as older ones and those of other configurations do.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    optional: frozenset[str] = field(default=frozenset())


_EXPERTS = Signature(
    {
        "input_ids": Tensor("BL", np.int64),
        "ngram_ids": Tensor("BWG", np.int64),
        "picture": Tensor("BP"),
        "has_picture": Tensor("B"),
    },
    {"experts": Tensor("BED")},
)

SIGNATURES: Mapping[Role, Signature] = {
    "query_experts": _EXPERTS,
    "item_experts": _EXPERTS,
    "query_fusion": Signature(
        {
            "experts": Tensor("BED"),
            "portrait": Tensor("BKED"),
            "behaviour": Tensor("BK", np.int64),
            "age_days": Tensor("BK"),
            "item": Tensor("BK", np.int64),
        },
        {
            "embedding": Tensor("BV"),
            "gate": Tensor("BE"),
            "pull": Tensor("B"),
            "interests": Tensor("BNV"),
        },
        frozenset({"item", "pull", "interests"}),
    ),
    "item_fusion": Signature(
        {"features": Tensor("BED"), "coclick": Tensor("BED"), "statistics": Tensor("BF")},
        {"embedding": Tensor("BV")},
        frozenset({"statistics"}),
    ),
    "image_encoder": Signature({"pixels": Tensor("BSSC", np.uint8)}, {"feature": Tensor("BP")}),
}


def expert_inputs(text: TextBatch, pictures: Sequence[F32 | None], width: int) -> Arrays:
    """Inputs of the query and item experts.

    ``pictures`` has for each row the feature ``[P]`` of its picture or None; none at all for no pictures.
    ``width`` is P.
    """
    rows = len(text.input_ids)
    picture = np.zeros((rows, width), dtype=np.float32)
    has_picture = np.zeros(rows, dtype=np.float32)
    for row, feature in enumerate(pictures):
        if feature is not None:
            picture[row], has_picture[row] = feature, 1.0
    return named_inputs("query_experts", text.input_ids, text.ngram_ids, picture, has_picture)


def named_inputs(role: Role, *arrays: npt.NDArray[Any]) -> Arrays:
    """Inputs of a graph by name, from arrays in the order of its signature; optional ones may lack."""
    signature = SIGNATURES[role]
    names = [name for name in signature.inputs if name not in signature.optional]
    names += [name for name in signature.inputs if name in signature.optional][: len(arrays) - len(names)]
    return dict(zip(names, arrays, strict=True))


def query_fusion_inputs(experts: F32, portraits: PortraitBatch, *, items: bool) -> Arrays:
    """Inputs of the query fusion: experts ``[B, E, d]`` and the users' portraits.

    ``items``: whether the graph reads which items they are of.
    """
    own = (portraits.features, portraits.behaviour, portraits.age_days)
    hashes = (portraits.item_hashes(),) if items else ()
    return named_inputs("query_fusion", experts, *own, *hashes)
