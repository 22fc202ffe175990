"""Items by content: what an item says of itself to what the index of every arm holds of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from artifacts.bundle import ItemText, photo_vectors
from artifacts.bundle.pictures import as_pixels
from artifacts.popularity import POPULARITY
from common.arrays import U8
from common.deadline import Deadline
from common.turns import Turns
from index.changes import KEEP_NOTHING, ItemPut, Keep, WritableIndex
from index.port import IndexUnavailable
from service.deployment import Deployment
from service.errors import FieldError, ModelFailed, Overloaded, Unavailable
from service.item_encoder import EncodedItem
from service.query.decoder.decoder import Outcome, PictureDecoder
from service.query.picture import QueryPicture
from service.settings import Settings

#: Seconds until it is known how popular items are.
_LOOK_UP_S = 5.0


@dataclass(frozen=True, slots=True)
class ItemContent:
    """An item as its shop tells it: as a row of the items file, with the picture itself."""

    id: str
    text: ItemText
    attributes: Mapping[str, object] = field(default_factory=dict)
    picture: QueryPicture | None = None


class Refusal(FieldError):  # noqa: N818 -- a verdict on what was asked for
    """An item that cannot be taken; ``field`` is the part of it that is to blame, empty for all of it."""


#: Items that the index of each arm shall hold, by arm; and why no arm takes the others, by place.
Taken = tuple[dict[str, list[ItemPut]], dict[int, list[Refusal]]]
#: Attributes of one item that are named; more of them are not.
_MOST_NAMED = 16


class Intake:
    """Makes items for the indexes of all arms of a worker; an item is taken by each of them or by none.

    Pictures are decoded in processes of their own, apart from those of queries; the item graphs of each
    bundle run on a thread of their own.

    Args:
        settings: the groups ``items``, ``encoder`` and ``limits``.
        count: told what became of each picture.
    """

    def __init__(self, settings: Settings, count: Callable[[Outcome], None]) -> None:
        items = settings.items
        self._limit = items.queue
        self._lanes = items.picture_lanes
        knobs = {"picture_lanes": items.picture_lanes, "picture_queue": items.queue}
        self._decoder = PictureDecoder(
            settings.encoder.model_copy(update=knobs), settings.limits.picture_pixels, count
        )
        #: Items that are being worked on.
        self.under_way = 0

    @contextmanager
    def room(self, items: int) -> Iterator[None]:
        """Hold places for so many items.

        Raises:
            Overloaded: there are not so many.
        """
        if self.under_way and self.under_way + items > self._limit:
            raise Overloaded(f"{self.under_way} items are being worked on; at most {self._limit} are")
        self.under_way += items
        try:
            yield
        finally:
            self.under_way -= items

    async def take(self, arms: Mapping[str, Deployment], items: Sequence[ItemContent]) -> Taken:
        """Make what the indexes shall hold. ``arms`` take changes.

        Raises:
            Overloaded, Unavailable: pictures or items cannot be worked on now.
            ModelFailed: a bundle has no use for any of the items.
        """
        refused = await self._misfits(arms, items)
        left = [place for place in range(len(items)) if place not in refused]
        encoded: dict[str, dict[int, EncodedItem]] = {}
        for deployment in arms.values():
            if (version := deployment.bundle.version) not in encoded:
                encoded[version] = await self._encoded(deployment, items, left, refused)
        left = [place for place in left if place not in refused]
        puts: dict[str, list[ItemPut]] = {}
        for arm, deployment in arms.items():
            said = encoded[deployment.bundle.version]
            popularity = await _popularity(deployment, [items[place] for place in left])
            puts[arm] = [
                _put(item, said[place], popularity.get(item.id))
                for place, item in ((place, items[place]) for place in left)
            ]
        return puts, refused

    def close(self) -> None:
        """End the picture processes; blocks."""
        self._decoder.close()

    async def _misfits(
        self, arms: Mapping[str, Deployment], items: Sequence[ItemContent]
    ) -> dict[int, list[Refusal]]:
        """What some index would not take, whatever its vectors."""
        turns = Turns()
        refused: dict[int, list[Refusal]] = {}
        for place, item in enumerate(items):
            for arm, deployment in arms.items():
                await turns.take()
                assert deployment.writable is not None
                reason = deployment.writable.refusal(item.id, item.text.category, item.attributes)
                if reason is not None:
                    found = _to_blame(deployment.writable, item) or {"": reason}
                    of_arm = "" if len(arms) == 1 else f" ({arm})"
                    refused[place] = [Refusal(part, f"{why}{of_arm}") for part, why in found.items()]
                    break
        return refused

    async def _encoded(
        self,
        deployment: Deployment,
        items: Sequence[ItemContent],
        wanted: Sequence[int],
        refused: dict[int, list[Refusal]],
    ) -> dict[int, EncodedItem]:
        """What a bundle says of the items in these places; where it says nothing, ``refused`` gets why."""
        side = deployment.bundle.manifest.picture.side
        pixels = await self._pixels({place: items[place].picture for place in wanted}, side, refused)
        places = [place for place in wanted if place not in refused]
        results = await deployment.items.encode([(items[place].text, pixels[place]) for place in places])
        encoded: dict[int, EncodedItem] = {}
        for place, result in zip(places, results, strict=True):
            if isinstance(result, ModelFailed):
                refused[place] = [Refusal("", str(result))]
            else:
                encoded[place] = result
        return encoded

    async def _pixels(
        self, pictures: Mapping[int, QueryPicture | None], side: int, refused: dict[int, list[Refusal]]
    ) -> dict[int, U8 | None]:
        """The pixels of each picture, uint8 ``[side, side, 3]``; those that are damaged go to ``refused``."""
        pixels: dict[int, U8 | None] = {}
        # No more at once than there are lanes: a call that is given up then leaves nothing behind.
        lanes = asyncio.Semaphore(self._lanes)

        async def decode(place: int, picture: QueryPicture) -> None:
            async with lanes:
                try:
                    pixels[place] = as_pixels(await self._decoder.rgb(picture, side), side)
                except FieldError as error:
                    refused[place] = [Refusal("picture", str(error))]

        try:
            async with asyncio.TaskGroup() as group:
                for place, picture in pictures.items():
                    if picture is None:
                        pixels[place] = None
                    elif place not in refused:
                        group.create_task(decode(place, picture))
        except BaseExceptionGroup as errors:  # each says the same: not now
            raise errors.exceptions[0] from errors
        return pixels


def _to_blame(index: WritableIndex, item: ItemContent) -> dict[str, str]:
    """Why an item that is refused cannot be taken, by the attributes that do not fit, each by itself."""
    found: dict[str, str] = {}
    for name, value in item.attributes.items():
        if (reason := index.refusal(item.id, "", {name: value})) is not None:
            found[f"attributes.{name}"] = reason
            if len(found) == _MOST_NAMED:
                break
    return found


async def _popularity(deployment: Deployment, items: Sequence[ItemContent]) -> dict[str, float]:
    """How popular the items are by the index, where it says so and they do not: they stay as popular.

    It is counted from the log of events, which who tells of an item's content seldom has at hand. By the time
    of the write it may be another: `ItemPut.keep` says that the index's own counts then.

    Raises:
        Unavailable: the index did not say it of all of them.
    """
    if deployment.ranked is None or deployment.values is None:
        return {}
    ids = [item.id for item in items if POPULARITY not in item.attributes]
    try:
        stored = await deployment.values.values(ids, [POPULARITY], Deadline.after(_LOOK_UP_S))
    except IndexUnavailable as error:
        raise Unavailable(f"the index does not say how popular the items are: {error}") from error
    if stored.coverage < 1:
        raise Unavailable("a part of the index did not say how popular the items are")
    found = zip(stored.ids, stored.values[POPULARITY], strict=True)
    return {item_id: value for item_id, value in found if value is not None}


def _put(item: ItemContent, encoded: EncodedItem, popularity: float | None) -> ItemPut:
    text, picture = item.text, None
    if encoded.picture is not None:
        found = photo_vectors(encoded.picture[None])[0]
        picture = found if found.any() else None
    return ItemPut(
        item.id,
        encoded.vector,
        encoded.features,
        text.category,
        item.attributes if popularity is None else {**item.attributes, POPULARITY: popularity},
        {"title": text.title, "description": text.description},
        picture,
        KEEP_NOTHING if POPULARITY in item.attributes else Keep(frozenset((POPULARITY,))),
    )
