"""The towers of a bundle, opened to run: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from artifacts.bundle.graphs import Graph, open_graph
from artifacts.bundle.loader import Bundle
from artifacts.bundle.manifest import Precision, Role
from artifacts.bundle.portrait import PortraitBatch
from artifacts.bundle.signatures import expert_inputs, named_inputs, query_fusion_inputs
from artifacts.bundle.text import ItemText, TextBatch
from common.arrays import F16, F32, U8

#: Items that share a run of the experts.
_ITEMS_AT_ONCE = 64


class QueryEmbeddings(NamedTuple):
    """Query embeddings float32 ``[B, dim]`` of unit length, and the modality gate's weights ``[B, E]``.

    Of bundles that have them also the ``pull`` ``[B]``, how much the history turned each query, 0 to 1, and
    the users' ``interests`` ``[B, n, dim]`` of unit length.
    """

    embedding: F32
    gate: F32
    pull: F32 | None = None
    interests: F32 | None = None


class _Tower:
    """The graphs of one side. Thread-safe; runs release the GIL."""

    #: Its graphs; the first one comes in several precisions, the others as fp32.
    roles: tuple[Role, ...]

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: Precision = "fp32",
        device: str = "cpu",
        threads: int = 1,
        check: bool = False,
    ) -> None:
        """Open the graphs, see `open_graph`; ``precision`` is that of the experts, the rest runs as fp32.

        ``check`` compares the canonical outputs, as a service does when it starts. A service runs one
        intra-op thread a worker and scales by workers.

        Raises:
            BundleError: the bundle has no such precision, or an output is off the canonical one.
            GraphError: a graph does not open on the device.
        """
        self.bundle = bundle
        #: The precision that each graph runs in.
        self.precisions: Mapping[Role, Precision] = {
            role: precision if role == self.roles[0] else "fp32" for role in self.roles
        }
        self._graphs: dict[Role, Graph] = {}
        for role, each in self.precisions.items():
            graph = open_graph(bundle.graph(role, each), device=device, threads=threads)
            if check:
                bundle.check_canonical(role, graph, each)
            self._graphs[role] = graph

    @property
    def providers(self) -> Sequence[str]:
        """Where the graphs run, such as ``CPUExecutionProvider``."""
        return list(self._graphs[self.roles[0]].session.get_providers())

    def picture_features(self, pixels: U8) -> F32:
        """Picture features float32 ``[n, P]`` of pixels ``[n, S, S, 3]``, as `decode_picture` makes them."""
        return self._graphs["image_encoder"].run(named_inputs("image_encoder", pixels))["feature"]

    def experts(self, text: TextBatch, pictures: Sequence[F32 | None] = ()) -> F32:
        """What the experts say of ``B`` texts and pictures, see `expert_inputs`: float32 ``[B, E, d]``."""
        inputs = expert_inputs(text, pictures, self.bundle.manifest.picture.feature_dim)
        return self._graphs[self.roles[0]].run(inputs)["experts"]


class QueryTower(_Tower):
    """Queries to experts ``[E, d]``, experts and portraits to query embeddings."""

    roles = ("query_experts", "query_fusion", "image_encoder")

    def rounded_experts(self, text: TextBatch, pictures: Sequence[F32 | None] = ()) -> F16:
        """As `experts`, rounded to fp16: an answer is then the same whether they were cached or not.

        Values beyond fp16 become infinite.
        """
        with np.errstate(over="ignore"):
            return self.experts(text, pictures).astype(np.float16)

    def fuse(self, experts: F16 | F32, portraits: PortraitBatch) -> QueryEmbeddings:
        """Embeddings of queries ``[B, E, d]`` for their users. Takes tens of microseconds for one row."""
        graph = self._graphs["query_fusion"]
        own = experts.astype(np.float32, copy=False)
        outputs = graph.run(query_fusion_inputs(own, portraits, items="item" in graph.inputs))
        pull, interests = outputs.get("pull"), outputs.get("interests")
        return QueryEmbeddings(outputs["embedding"], outputs["gate"], pull, interests)

    @property
    def has_interests(self) -> bool:
        """Whether the bundle gives interests."""
        return "interests" in self._graphs["query_fusion"].outputs


class ItemTower(_Tower):
    """Item texts and pictures to item features ``[E, d]``, and these to item embeddings."""

    roles = ("item_experts", "item_fusion", "image_encoder")

    def features(self, items: Sequence[ItemText], pictures: Sequence[F32 | None] = ()) -> F32:
        """What the experts say of items and their pictures, see `expert_inputs`: float32 ``[N, E, d]``."""
        features = np.empty((len(items), *self.bundle.manifest.dimensions.shape), dtype=np.float32)
        # Rows of like length share a run: padding costs as much as text.
        order = sorted(range(len(items)), key=lambda i: len(items[i].title) + len(items[i].description))
        for rows in (order[i : i + _ITEMS_AT_ONCE] for i in range(0, len(order), _ITEMS_AT_ONCE)):
            text = self.bundle.text.items([items[row] for row in rows])
            features[rows] = self.experts(text, [pictures[row] for row in rows] if pictures else ())
        return features

    def embeddings(
        self, features: F16 | F32, coclick: F32 | None = None, statistics: F32 | None = None
    ) -> F32:
        """Item embeddings float32 ``[N, dim]`` of unit length, from features ``[N, E, d]``.

        ``coclick`` has the mean features of the items that were clicked together with each, ``[N, E, d]``;
        zeros for an item that has none. ``statistics`` ``[N, 1]`` say how often each was clicked (0: nothing
        is known); a bundle that does not read them does without.
        """
        own = features.astype(np.float32, copy=False)
        coclick = np.zeros_like(own) if coclick is None else coclick
        graph, known = self._graphs["item_fusion"], []
        if "statistics" in graph.inputs:
            known = [np.zeros((len(own), 1), np.float32) if statistics is None else statistics]
        return graph.run(named_inputs("item_fusion", own, coclick, *known))["embedding"]
