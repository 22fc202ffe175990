"""Answers requests without a server: what the routes find for each, for `mrse calibrate`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from artifacts.bundle import Behaviour
from artifacts.bundle.text import normalise
from artifacts.cache.keys import picture_digest
from common.deadline import Deadline
from common.lru import Lru
from service.admission import LoadShedding
from service.deployment import Folders, Worker, open_deployment
from service.errors import RecallError
from service.pipeline import recall
from service.query.decoder.decoder import PictureDecoder
from service.query.picture import QueryPicture
from service.query.query import Query
from service.recall.routes.outcome import Candidate
from service.settings import Settings
from service.telemetry.metrics import Metrics

#: Seconds that a request may take: nobody waits.
_PATIENCE_S = 60.0
_AT_EASE = LoadShedding(0.0, 1.0, no_portrait=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: words, the bytes of a picture, a history, or any of them."""

    text: str
    picture: bytes | None = None
    history: Sequence[Behaviour] = ()


async def collect(
    settings: Settings, requests: Sequence[Asked], k: int, told: Callable[[int, int], None]
) -> list[dict[str, Sequence[Candidate]]]:
    """The candidates of each route for each request, by the bundle, index and routes of the settings.

    A request that cannot be answered has none.

    Args:
        settings: as a service would have them.
        requests: what is asked.
        k: items that each route is asked for.
        told: the requests done, and all of them.

    Raises:
        StartError: bundle or index cannot be used.
    """
    decoder = PictureDecoder(settings.encoder, settings.limits.picture_pixels)
    worker = Worker(settings, Metrics(), Lru(0), decoder)
    folders = Folders(settings.bundle.path, settings.index.path)
    deployment = open_deployment(worker=worker, folders=folders, announce=lambda step: None)
    found: list[dict[str, Sequence[Candidate]]] = []
    try:
        if deployment.check is not None:
            await deployment.check()
        for done, asked in enumerate(requests):
            told(done, len(requests))
            picture = None
            if asked.picture is not None:
                picture = QueryPicture(asked.picture, picture_digest(asked.picture))
            query = Query(normalise(asked.text), k, asked.history, None, picture)
            try:
                result = await recall(
                    deployment, query, settings.recall, _AT_EASE, Deadline.after(_PATIENCE_S), 0.0
                )
            except RecallError:
                found.append({})
            else:
                found.append({name: each.candidates for name, each in result.routes.items()})
        told(len(requests), len(requests))
    finally:
        await deployment.close()
        await asyncio.to_thread(decoder.close)
    return found
