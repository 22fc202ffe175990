"""The query encoder: text and picture to experts ``[3, d]``, experts and portrait to the embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from artifacts.bundle.graphs import Graph, open_graph
from artifacts.bundle.loader import Bundle
from artifacts.bundle.manifest import Precision, Role
from artifacts.bundle.portrait import PortraitBatch
from artifacts.bundle.text import NormalText
from service.query.batcher import MicroBatcher
from service.query.picture import QueryPicture, picture_pixels
from service.settings import BundleSettings, Encoder

F16 = npt.NDArray[np.float16]
F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fused:
    """A query embedding ``[dim]`` of unit length and the weights of the modality gate ``[3]``."""

    embedding: F32
    gate: F32


class _Text(NamedTuple):
    text: NormalText
    #: Picture feature ``[P]``, None without a picture.
    picture: F32 | None


class QueryEncoder(Protocol):
    """Query side of one bundle."""

    async def experts(self, text: NormalText, picture: QueryPicture | None) -> F16:
        """Experts ``[3, d]`` of a query's text and picture, rounded to fp16 as the cache stores them.

        Cancelling the call drops the work if it has not started.

        Raises:
            EncoderBusy: the queue is full.
            PictureError: the picture is damaged.
        """

    def fuse(self, experts: F16, portrait: PortraitBatch) -> Fused:
        """The query's embedding for this user; ``portrait`` has one row. Takes tens of microseconds."""


class OnnxQueryEncoder:
    """`QueryEncoder` on onnxruntime.

    The experts run on a thread of their own in micro-batches, pictures on another, so that a large
    picture delays no text. The fusion is cheaper than a hop to a thread and runs where it is called.
    """

    def __init__(
        self, bundle: Bundle, query_experts: Graph, query_fusion: Graph, image_encoder: Graph, knobs: Encoder
    ) -> None:
        self._text = bundle.text
        self._dimensions = bundle.manifest.dimensions
        self._picture = bundle.manifest.picture
        self._query_experts = query_experts
        self._query_fusion = query_fusion
        self._image_encoder = image_encoder
        self.texts: MicroBatcher[_Text, F16] = MicroBatcher(
            self._run_texts, max_batch=knobs.max_batch, queue=knobs.queue, name="mrse-text"
        )
        self.pictures: MicroBatcher[QueryPicture, F32] = MicroBatcher(
            self._run_pictures, max_batch=1, queue=knobs.picture_queue, name="mrse-picture"
        )

    @classmethod
    def open(
        cls, bundle: Bundle, settings: BundleSettings, knobs: Encoder
    ) -> tuple[OnnxQueryEncoder, dict[Role, Precision]]:
        """Open the query-side graphs, compare their canonical outputs, and say which precisions run.

        Raises:
            BundleError: a graph is missing or its outputs are off.
            GraphError: a graph does not open on the device.
        """
        wanted: dict[Role, Precision] = {
            "query_experts": _precision(bundle, settings),
            "query_fusion": "fp32",
            "image_encoder": "fp32",
        }
        graphs: dict[Role, Graph] = {}
        for role, precision in wanted.items():
            graph = open_graph(
                bundle.graph(role, precision), device=settings.device, threads=settings.threads
            )
            bundle.check_canonical(role, graph, precision)
            graphs[role] = graph
        encoder = cls(bundle, graphs["query_experts"], graphs["query_fusion"], graphs["image_encoder"], knobs)
        return encoder, wanted

    @property
    def providers(self) -> Sequence[str]:
        """Where the graphs run, such as ``CPUExecutionProvider``."""
        return list(self._query_experts.session.get_providers())

    async def experts(self, text: NormalText, picture: QueryPicture | None) -> F16:
        """See `QueryEncoder.experts`."""
        feature = None if picture is None else await self.pictures.submit(picture)
        return await self.texts.submit(_Text(text, feature))

    def fuse(self, experts: F16, portrait: PortraitBatch) -> Fused:
        """See `QueryEncoder.fuse`."""
        outputs = self._query_fusion.run(
            {
                "experts": experts[None].astype(np.float32),
                "portrait": portrait.features,
                "behaviour": portrait.behaviour,
                "age_days": portrait.age_days,
            }
        )
        return Fused(outputs["embedding"][0], outputs["gate"][0])

    def close(self) -> None:
        """End the worker threads."""
        self.texts.close()
        self.pictures.close()

    def _run_texts(self, jobs: list[_Text]) -> list[F16]:
        batch = self._text.normal_queries([job.text for job in jobs])
        picture = np.zeros((len(jobs), self._picture.feature_dim), dtype=np.float32)
        has_picture = np.zeros(len(jobs), dtype=np.float32)
        for row, job in enumerate(jobs):
            if job.picture is not None:
                picture[row] = job.picture
                has_picture[row] = 1.0
        outputs = self._query_experts.run(
            {
                "input_ids": batch.input_ids,
                "ngram_ids": batch.ngram_ids,
                "picture": picture,
                "has_picture": has_picture,
            }
        )
        # Rounded here already, so that an answer is the same whether the value was cached or not.
        return list(outputs["experts"].astype(np.float16))

    def _run_pictures(self, jobs: list[QueryPicture]) -> list[F32]:
        pixels = np.stack([picture_pixels(job, self._picture.side) for job in jobs])
        return list(self._image_encoder.run({"pixels": pixels})["feature"])


def _precision(bundle: Bundle, settings: BundleSettings) -> Precision:
    if settings.precision != "auto":
        return settings.precision
    available = bundle.manifest.graphs["query_experts"]
    return "int8" if settings.device == "cpu" and "int8" in available else "fp32"
