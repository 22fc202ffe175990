"""A request to what is searched by: experts of its words and picture, the user's portrait, the photo."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from artifacts.bundle import Behaviour
from artifacts.bundle.photos import photo_vectors
from artifacts.bundle.text import NormalText
from artifacts.cache.codec import StoredPortrait
from artifacts.cache.keys import query_key
from common.arrays import F16, F32
from common.deadline import Deadline
from service.admission import LoadShedding
from service.deployment import Deployment
from service.errors import Unavailable
from service.query.cache.produced import NoPortrait
from service.query.cache.tiers import Tier
from service.query.picture import QueryPicture
from service.query.portrait import RequestPortrait, make_portrait, no_portrait, restore_portrait
from service.query.query import Query
from service.recall.routes.p2i import P2I
from service.recall.routes.route import RouteSettings
from service.stages import Stages


def begin_reading(
    deployment: Deployment, query: Query, shed: Sequence[str], deadline: Deadline
) -> asyncio.Task[StoredPortrait | NoPortrait] | None:
    """The read of the user's stored portrait, begun; None where there is none to read."""
    portraits, user = deployment.portraits, query.user_id
    if portraits is None or user is None or query.history or "no_portrait" in shed:
        return None
    return asyncio.create_task(portraits.get(user, deadline))


async def encoded(
    deployment: Deployment,
    query: Query,
    history: Sequence[Behaviour],
    reading: asyncio.Task[StoredPortrait | NoPortrait] | None,
    now: datetime,
    deadline: Deadline,
    stages: Stages,
    photo_for: QueryPicture | None,
) -> tuple[F16, Tier, RequestPortrait, F32 | None, list[str]]:
    """The query's experts and where they were, the user's portrait, the photo, and what was left out.

    Args:
        deployment: what answers.
        query: the checked request.
        history: behaviours that the portrait is made of, where none is being read.
        reading: see `begin_reading`.
        now: ages in the portrait are as of then.
        deadline: covers the queue of the encoder and caches.
        stages: measures.
        photo_for: see `photographed`.

    Returns:
        experts ``[E, d]`` and their tier; portrait; photo ``[picture_dim]`` or None; and words of
        `service.degraded`.

    Raises:
        Unavailable: a graph failed, the encoder's queue is full, or a picture without words cannot be used.
        FieldError: the picture is damaged.
    """
    skipped: list[str] = []
    try:
        experts, tier = await _experts(deployment, query.text, query.picture, deadline)
    except Unavailable:
        if query.picture is None or not query.text:
            raise
        experts, tier = await _experts(deployment, query.text, None, deadline)  # raises if it is the encoder
        skipped.append("picture_skipped")
    photo = None
    if photo_for is not None and not skipped:
        try:
            feature = await deployment.encoder.picture_feature(photo_for, deadline)
        except Unavailable:
            skipped.append(f"{P2I.name}_error")
        else:
            (photo,) = photo_vectors(feature[None])
    stages.mark("cache" if tier == "l1" else "encode")
    if reading is None:
        portrait = await make_portrait(history, deployment.features, now, deadline, deployment.shape)
    else:
        stored = await reading
        if isinstance(stored, NoPortrait):
            portrait = no_portrait(deployment.shape, unavailable=stored is NoPortrait.UNAVAILABLE)
        else:
            portrait = restore_portrait(stored, deployment.recent(stored.behaviours), now, deployment.shape)
    stages.mark("features")
    return experts, tier, portrait, photo, skipped


def photographed(
    deployment: Deployment, query: Query, tables: Mapping[str, RouteSettings], shedding: LoadShedding
) -> QueryPicture | None:
    """The query's picture, where a route searches by its feature."""
    if query.picture is None or deployment.photos is None:
        return None
    table = tables.get(P2I.name)
    wanted = table is not None and table.enabled and table.weight > 0 and not table.shed(shedding.load)
    return query.picture if wanted else None


async def _experts(
    deployment: Deployment, text: NormalText, picture: QueryPicture | None, deadline: Deadline
) -> tuple[F16, Tier]:
    key = query_key(deployment.bundle.version, text, picture.digest if picture else b"")
    compute = partial(deployment.encoder.experts, text, picture, deadline)
    return await deployment.experts.get(key, compute, deadline)
