"""The item encoder: title, category, description and picture of an item to its vector and features.

Runs the item graphs as `mrse embed` does, in fp32, so that an item gets the same vector here and there, but
for the items that it is clicked with: of those only `mrse embed` knows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from artifacts.bundle import Bundle, ItemText, ItemTower
from common.arrays import F16, F32, U8
from common.deadline import Clock
from service.errors import ModelFailed, Overloaded
from service.query.batcher import Failure, MicroBatcher
from service.settings import BundleSettings, Items

log = logging.getLogger("mrse.items")

#: Seconds after which a tower that did not open is tried again.
_OPEN_AGAIN_S = 30.0
#: How far the squared length of a vector may be from 1.
_UNIT = 0.01
#: An item's text, and the pixels ``[side, side, 3]`` of its picture, None without one.
ItemJob: TypeAlias = tuple[ItemText, U8 | None]


class EncodedItem(NamedTuple):
    """Vector float32 ``[dim]`` of unit length, features float16 ``[E, d]``, and the picture's feature.

    The last is what the image encoder says of it, float32 ``[P]``; None without a picture.
    """

    vector: F32
    features: F16
    picture: F32 | None


class ItemEncoder:
    """The item side of one bundle, opened by the first item: a service that takes none has no use for it.

    All runs are on one thread, a few items at a time, so that queries get the machine in between.

    Args:
        bundle: whose graphs to open.
        settings: the device.
        knobs: of the batches.
        failed: told how a run failed.
        clock: seconds.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: BundleSettings,
        knobs: Items,
        failed: Callable[[Failure], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self._clock = clock
        self._bundle = bundle
        self._device = settings.device
        self._knobs = knobs
        self._failed = failed
        self._tower: ItemTower | None = None
        #: Until when a tower that did not open is not tried again, in seconds on the clock, and why.
        self._shut: tuple[float, Exception] | None = None
        self._batcher: MicroBatcher[ItemJob, EncodedItem] | None = None
        self._closed = False

    @property
    def depth(self) -> int:
        """Items that wait."""
        return 0 if self._batcher is None else self._batcher.depth

    async def encode(self, jobs: Sequence[ItemJob]) -> list[EncodedItem | ModelFailed]:
        """What the bundle says of each item, or why it says nothing of it.

        Cancelling the call drops the items whose run has not begun.

        Raises:
            Overloaded: too many items wait.
            ModelFailed: it says nothing of any of them.
        """
        if self._closed:
            raise Overloaded("the item encoder is closed")
        if self._batcher is None:
            self._batcher = MicroBatcher(
                self._run,
                max_batch=self._knobs.max_batch,
                queue=self._knobs.queue,
                name="mrse-item",
                failed=self._failed,
            )
        tasks = [asyncio.ensure_future(self._batcher.submit(job)) for job in jobs]
        try:
            await asyncio.wait(tasks) if tasks else None
        finally:
            for task in tasks:
                task.cancel()
        results = [_told(task) for task in tasks]
        failures = [result for result in results if isinstance(result, ModelFailed)]
        if results and len(failures) == len(results):
            raise failures[0]
        return results

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        if self._batcher is not None:
            self._batcher.close()

    def _run(self, jobs: list[ItemJob]) -> Sequence[EncodedItem | Exception]:
        tower = self._tower = self._tower or self._open()
        pictures: list[F32 | None] = [None] * len(jobs)
        if seen := [(row, pixels) for row, (_, pixels) in enumerate(jobs) if pixels is not None]:
            found = tower.picture_features(np.stack([pixels for _, pixels in seen]))
            for (row, _), feature in zip(seen, found, strict=True):
                pictures[row] = feature
        with np.errstate(over="ignore"):  # what is too large for a half is found below
            features = tower.features([text for text, _ in jobs], pictures).astype(np.float16)
        vectors = tower.embeddings(features)
        return [
            EncodedItem(vector, feature, picture)
            if np.isfinite(feature).all() and abs(float(vector @ vector) - 1.0) <= _UNIT
            else self._unusable()
            for vector, feature, picture in zip(vectors, features, pictures, strict=True)
        ]

    def _open(self) -> ItemTower:
        """The tower; one that does not open is left alone for a while, since a try may take seconds."""
        if self._shut is not None and self._clock() < self._shut[0]:
            raise self._shut[1]
        try:
            tower = ItemTower(self._bundle, device=self._device, check=True)
        except Exception as error:
            self._shut = self._clock() + _OPEN_AGAIN_S, error
            raise
        log.info("the item tower is open", extra={"bundle": self._bundle.version})
        return tower

    def _unusable(self) -> ModelFailed:
        self._failed("not_finite")
        return ModelFailed("the model gives no usable numbers for this item")


def _told(task: asyncio.Future[EncodedItem]) -> EncodedItem | ModelFailed:
    try:
        return task.result()
    except (ModelFailed, Overloaded) as error:
        if isinstance(error, ModelFailed):
            return error
        raise
    except Exception:  # the batcher has logged it
        return ModelFailed("the item could not be encoded")
