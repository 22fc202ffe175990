"""The query encoder: text and picture to experts ``[E, d]``, experts and portrait to the embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from artifacts.bundle.loader import Bundle
from artifacts.bundle.manifest import Precision
from artifacts.bundle.pictures import as_pixels
from artifacts.bundle.portrait import PortraitBatch
from artifacts.bundle.text import NormalText
from artifacts.bundle.towers import QueryTower
from common.arrays import F16, F32, U8
from service.query.batcher import MicroBatcher
from service.query.decoder.decoder import PictureDecoder
from service.query.picture import QueryPicture
from service.settings import BundleSettings, Encoder, Limits


@dataclass(frozen=True, slots=True)
class Fused:
    """A query embedding ``[dim]`` of unit length and the weights of the modality gate ``[E]``."""

    embedding: F32
    gate: F32


#: A query's text and its picture's feature ``[P]``, None without a picture.
_Job: TypeAlias = tuple[NormalText, F32 | None]


class QueryEncoder:
    """The query side of one bundle.

    The experts run on a thread of their own in micro-batches, the image encoder on another, so that pictures
    delay no text; their files are decoded in other processes. The fusion is cheaper than a hop to a thread
    and runs where it is called.

    Args:
        bundle: whose graphs to open.
        settings: how to run them.
        knobs: of the batches.
        decoder: decodes pictures; belongs to the caller, who closes it. Without one it has its own.

    Raises:
        BundleError: a graph is missing or its canonical outputs are off.
        GraphError: a graph does not open on the device.
    """

    def __init__(
        self, bundle: Bundle, settings: BundleSettings, knobs: Encoder, decoder: PictureDecoder | None = None
    ) -> None:
        #: The bundle's graphs, checked.
        self.tower = QueryTower(
            bundle,
            precision=_precision(bundle, settings),
            device=settings.device,
            threads=settings.threads,
            check=True,
        )
        self.texts: MicroBatcher[_Job, F16] = MicroBatcher(
            self._run_texts, max_batch=knobs.max_batch, queue=knobs.queue, name="mrse-text"
        )
        self._decoder = decoder or PictureDecoder(knobs, Limits().picture_pixels)
        self._owns_decoder = decoder is None
        self._side = bundle.manifest.picture.side
        self.pictures: MicroBatcher[U8, F32] = MicroBatcher(
            self._run_pictures, max_batch=1, queue=knobs.picture_queue, name="mrse-picture"
        )

    async def experts(self, text: NormalText, picture: QueryPicture | None) -> F16:
        """Experts ``[E, d]`` of a query's text and picture, rounded to fp16 as the cache stores them.

        Cancelling the call drops the work if it has not started.

        Raises:
            Overloaded: the queue is full.
            FieldError: the picture is damaged, or takes too much to decode.
            Unavailable: the picture cannot be decoded now.
        """
        feature = None
        if picture is not None:
            rgb = await self._decoder.rgb(picture, self._side)
            feature = await self.pictures.submit(as_pixels(rgb, self._side))
        return await self.texts.submit((text, feature))

    def fuse(self, experts: F16, portrait: PortraitBatch) -> Fused:
        """The query's embedding for this user; ``portrait`` has one row. Takes tens of microseconds."""
        fused = self.tower.fuse(experts[None], portrait)
        return Fused(fused.embedding[0], fused.gate[0])

    def close(self) -> None:
        """End the worker threads."""
        self.texts.close()
        self.pictures.close()
        if self._owns_decoder:
            self._decoder.close()

    def _run_texts(self, jobs: list[_Job]) -> list[F16]:
        text = self.tower.bundle.text.normal_queries([text for text, _ in jobs])
        return list(self.tower.rounded_experts(text, [picture for _, picture in jobs]))

    def _run_pictures(self, jobs: list[U8]) -> list[F32]:
        return list(self.tower.picture_features(np.stack(jobs)))


def _precision(bundle: Bundle, settings: BundleSettings) -> Precision:
    if settings.precision != "auto":
        return settings.precision
    available = bundle.manifest.graphs["query_experts"]
    return "int8" if settings.device == "cpu" and "int8" in available else "fp32"
