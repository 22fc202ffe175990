"""The query encoder: text and picture to experts ``[E, d]``, experts and portrait to the embedding."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, TypeVar, get_args

import numpy as np

from artifacts.bundle.loader import Bundle
from artifacts.bundle.manifest import Precision
from artifacts.bundle.pictures import as_pixels
from artifacts.bundle.portrait import PortraitBatch
from artifacts.bundle.text import NormalText
from artifacts.bundle.towers import QueryTower
from common.arrays import F16, F32, U8
from common.deadline import Deadline
from common.lru import Lru
from common.seldom import Seldom
from service.errors import ModelFailed, RecallError
from service.query.batcher import Failure, MicroBatcher
from service.query.decoder.decoder import PictureDecoder
from service.query.picture import QueryPicture
from service.query.singleflight import SingleFlight
from service.settings import BundleSettings, Encoder, Limits

log = logging.getLogger("mrse.encode")

#: What of a bundle can fail, and how; labels of the metric. ``item`` is its item side, others its query side.
Fallible = Literal["encoder", "picture", "fusion", "item"]
FALLIBLE: tuple[Fallible, ...] = get_args(Fallible)
FAILURES: tuple[Failure, ...] = get_args(Failure)
#: Graphs that run several jobs together.
Batched = Literal["encoder", "picture"]
BATCHED: tuple[Batched, ...] = get_args(Batched)
#: Told which part failed, and how.
Failed = Callable[[Fallible, Failure], None]

_NOT_FINITE = "the model gave numbers for this query that are not finite"
#: How far the squared length of an embedding may be from 1.
_UNIT = 0.01


@dataclass(frozen=True, slots=True)
class Fused:
    """A query embedding ``[dim]`` of unit length and the weights of the modality gate ``[E]``.

    Where the bundle gives them also the ``pull`` of the history, 0 to 1, and the user's ``interests``
    ``[n, dim]``, of unit length.
    """

    embedding: F32
    gate: F32
    pull: float = 0.0
    interests: F32 | None = None


#: Bytes of picture features that are kept, so that a picture is decoded once for all that ask with it.
_KEPT_BYTES = 8 << 20

Row = TypeVar("Row", F16, F32)
#: A query's text and its picture's feature ``[P]``, None without a picture.
_Job: TypeAlias = tuple[NormalText, F32 | None]


class QueryEncoder:
    """The query side of one bundle.

    The experts run on a thread of their own in micro-batches, the image encoder on another, so that pictures
    delay no text; their files are decoded in other processes. The fusion is cheaper than a hop to a thread
    and runs where it is called. Only finite numbers leave it.

    Args:
        bundle: whose graphs to open.
        settings: how to run them.
        knobs: of the batches.
        decoder: decodes pictures; belongs to the caller, who closes it. Without one it has its own.
        failed: told of each run of a graph that failed.
        patience_s: no job waits longer for its turn.
        ran: told how many jobs a graph ran together; called on the event loop.

    Raises:
        BundleError: a graph is missing or its canonical outputs are off.
        GraphError: a graph does not open on the device.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: BundleSettings,
        knobs: Encoder,
        decoder: PictureDecoder | None = None,
        failed: Failed = lambda part, how: None,
        patience_s: float = float("inf"),
        ran: Callable[[Batched, int], None] = lambda part, jobs: None,
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
            self._run_texts,
            max_batch=knobs.max_batch,
            queue=knobs.queue,
            patience_s=patience_s,
            name="mrse-text",
            failed=lambda how: failed("encoder", how),
            ran=lambda jobs: ran("encoder", jobs),
        )
        self._decoder = decoder or PictureDecoder(knobs, Limits().picture_pixels)
        self._owns_decoder = decoder is None
        self._side = bundle.manifest.picture.side
        self.pictures: MicroBatcher[U8, F32] = MicroBatcher(
            self._run_pictures,
            max_batch=1,
            queue=knobs.picture_queue,
            patience_s=patience_s,
            name="mrse-picture",
            failed=lambda how: failed("picture", how),
            ran=lambda jobs: ran("picture", jobs),
        )
        self._features: Lru[bytes, F32] = Lru(_KEPT_BYTES, cost=lambda _, feature: feature.nbytes)
        self._flights: SingleFlight[F32] = SingleFlight()
        self._failed = failed
        self._fusion_told = Seldom()

    async def experts(
        self, text: NormalText, picture: QueryPicture | None, deadline: Deadline | None = None
    ) -> F16:
        """Experts ``[E, d]`` of a query's text and picture, rounded to fp16 as the cache stores them.

        Cancelling the call drops the work if it has not started.

        Args:
            text: see there.
            picture: see there.
            deadline: what would not be done by then is refused at once, rather than given up when half done.

        Raises:
            Overloaded: the queue is full.
            FieldError: the picture is damaged, or takes too much to decode.
            Unavailable: the picture cannot be decoded now.
            ModelFailed: a graph raised, or gave no finite numbers.
        """
        try:
            feature = None
            if picture is not None:
                feature = await self.picture_feature(picture, deadline)
            return await self.texts.submit((text, feature), _left_s(deadline))
        except RecallError:
            raise
        except Exception as error:  # the batcher has logged it
            raise ModelFailed("the query could not be encoded") from error

    async def picture_feature(self, picture: QueryPicture, deadline: Deadline | None = None) -> F32:
        """The feature float32 ``[P]`` of a query's picture; made once for those who ask at the same time.

        Raises:
            FieldError: the picture is damaged, or takes too much to decode.
            Overloaded: the queue is full.
            Unavailable: the picture cannot be decoded now, or the graph failed.
        """
        feature = self._features.get(picture.digest)
        if feature is None:
            make = partial(self._make_feature, picture, deadline)
            feature = await self._flights.run(picture.digest.hex(), make)
        return feature

    async def _make_feature(self, picture: QueryPicture, deadline: Deadline | None) -> F32:
        # Half of what is left, and then of that: there is more to do after it.
        rgb = await self._decoder.rgb(picture, self._side, _left_s(deadline) / 2)
        feature = await self.pictures.submit(as_pixels(rgb, self._side), _left_s(deadline) / 2)
        if feature.base is not None:
            feature = feature.copy()  # a row that is kept would keep its whole batch
        self._features.put(picture.digest, feature)
        return feature

    def fuse(self, experts: F16, portrait: PortraitBatch) -> Fused:
        """The query's embedding for this user; ``portrait`` has one row. Takes tens of microseconds.

        Raises:
            ModelFailed: the graph raised, or gave no embedding of unit length.
        """
        try:
            fused = self.tower.fuse(experts[None], portrait)
            embedding, gate = fused.embedding[0], fused.gate[0]
            # Both sums are NaN where a number is.
            usable = abs(float(embedding @ embedding) - 1.0) <= _UNIT and float(gate @ gate) < np.inf
            pull = 0.0 if fused.pull is None else float(fused.pull[0])
            interests = None if fused.interests is None else fused.interests[0]
            if interests is not None and not np.isfinite(interests).all():
                usable = False
        except Exception as error:
            self._note_fusion("error", error)
            raise ModelFailed("the query could not be fused with the history") from error
        if not usable:
            self._note_fusion("not_finite")
            raise ModelFailed("the query's embedding is not of unit length")
        return Fused(embedding, gate, pull, interests)

    def close(self) -> None:
        """End the worker threads."""
        self.texts.close()
        self.pictures.close()
        if self._owns_decoder:
            self._decoder.close()

    def _run_texts(self, jobs: list[_Job]) -> Sequence[F16 | Exception]:
        text = self.tower.bundle.text.normal_queries([text for text, _ in jobs])
        rows = self.tower.rounded_experts(text, [picture for _, picture in jobs])
        return self._usable("encoder", rows)

    def _run_pictures(self, jobs: list[U8]) -> Sequence[F32 | Exception]:
        return self._usable("picture", self.tower.picture_features(np.stack(jobs)))

    def _usable(self, part: Fallible, rows: Iterable[Row]) -> Sequence[Row | Exception]:
        """Each row, or an error where it is not finite."""
        checked = [row if np.isfinite(row).all() else ModelFailed(_NOT_FINITE) for row in rows]
        for _ in range(sum(isinstance(row, ModelFailed) for row in checked)):
            self._failed(part, "not_finite")
        return checked

    def _note_fusion(self, how: Failure, error: Exception | None = None) -> None:
        self._failed("fusion", how)
        if (left_out := self._fusion_told.now()) is not None:
            extra = {"how": how, "left_out": left_out}
            log.error("the fusion failed", exc_info=error, extra=extra)


def _precision(bundle: Bundle, settings: BundleSettings) -> Precision:
    if settings.precision != "auto":
        return settings.precision
    available = bundle.manifest.graphs["query_experts"]
    return "int8" if settings.device == "cpu" and "int8" in available else "fp32"


def _left_s(deadline: Deadline | None) -> float:
    return math.inf if deadline is None else deadline.remaining()
